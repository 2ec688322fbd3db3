"""The handler of all log records: it applies the rate limit, formats, and passes lines to the writer."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable
from uuid import UUID

from audiosocket_gw.log.formatter import LineFormatter, is_ours, stamped
from audiosocket_gw.log.limit import WINDOW_S, RateLimit, Topic
from audiosocket_gw.log.writer import LineWriter


class LogHandler(logging.Handler):
    """Writes records to ``descriptor`` without blocking the caller.

    A line is formatted where it is logged: values may change afterwards, and a thread that formats thousands
    of lines would take Python's lock from the event loop for milliseconds at a time. Lines beyond the
    `RateLimit` are not formatted at all. The level ``DEBUG`` has no limit: it is for seeing everything.
    """

    def __init__(self, descriptor: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self._clock = clock
        self._limit = RateLimit()
        self._writer = LineWriter(descriptor, on_idle=self._on_idle)
        self._writer.start()

    def stop(self) -> bool:
        """Write the waiting lines, for at most a second. Return False if they could not be written."""
        self._say_held_back(math.inf)
        return self._writer.close()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            now = self._clock()
            self._say_held_back(now)
            if record.levelno <= logging.DEBUG or self._limit.accepts(_topic(record), now):
                self._writer.put(self.format(record))
        except Exception:  # noqa: BLE001 (a defect in a line must not harm who logs it)
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Log where the bad line is. The base class would print the error, and block on standard error."""
        error = sys.exc_info()[0]
        what = error.__name__ if error else "an error"
        line = f"a log line can't be formatted, {what}: {record.pathname}:{record.lineno}"
        self._writer.put(stamped(record.created, "ERROR", line))

    def _on_idle(self) -> None:
        self._say_held_back(self._clock())

    def _say_held_back(self, now: float) -> None:
        self.acquire()  # the thread calls this, too
        try:
            for topic, lines in self._limit.ended(now):
                line = f"{topic} ... and {lines:,} more like this in {WINDOW_S:g} s"
                self._writer.put(stamped(time.time(), logging.getLevelName(topic.level), line))
        finally:
            self.release()


def _topic(record: logging.LogRecord) -> Topic:
    if not is_ours(record.name):
        return Topic(record.name, record.levelno, "")
    first = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return Topic(record.name, record.levelno, str(record.msg), first if isinstance(first, UUID) else None)
