"""The handler of all log records: it applies the rate limit, formats, and passes lines to the writer."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable
from uuid import UUID

from audiosocket_gw.log.formatter import PACKAGE, Line, LineFormatter, LogFormat, call_of, is_ours
from audiosocket_gw.log.limit import BURST, WINDOW_S, RateLimit, Topic
from audiosocket_gw.log.writer import LineWriter


class LogHandler(logging.Handler):
    """Writes records to ``descriptor`` without blocking the caller.

    A line is formatted where it is logged: values may change afterwards, and a thread that formats thousands
    of lines would take Python's lock from the event loop for milliseconds at a time. Lines beyond the
    `RateLimit` are not formatted at all. The level ``DEBUG`` has no limit: it is for seeing everything.
    """

    def __init__(self, descriptor: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._lines = LineFormatter()
        self.setFormatter(self._lines)
        self._clock = clock
        self._limit = RateLimit()
        self._writer = LineWriter(descriptor, self._on_idle, self._dropped)
        self._writer.start()

    @property
    def dropped_lines(self) -> int:
        """Lines that were never written, since nothing took them."""
        return self._writer.dropped_lines

    def stop(self) -> bool:
        """Write the waiting lines, for at most a second. Return False if they could not be written."""
        self._say_held_back(math.inf)
        return self._writer.close()

    @property
    def log_format(self) -> LogFormat:
        """The format of further lines."""
        return self._lines.log_format

    @log_format.setter
    def log_format(self, log_format: LogFormat) -> None:
        self._lines.log_format = log_format

    def emit(self, record: logging.LogRecord) -> None:
        try:
            now = self._clock()
            self._say_held_back(now)
            if record.levelno <= logging.DEBUG or self._accepts(record, now):
                self._writer.put(self.format(record))
        except Exception:  # noqa: BLE001 (a defect in a line must not harm who logs it)
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Log where the bad line is. The base class would print the error, and block on standard error."""
        error = sys.exc_info()[0]
        what = error.__name__ if error else "an error"
        message = f"a log line can't be formatted, {what}: {record.pathname}:{record.lineno}"
        self._writer.put(self._lines.write(Line(record.created, "ERROR", record.name, message)))

    def _accepts(self, record: logging.LogRecord, now: float) -> bool:
        if not is_ours(record.name):
            return self._limit.accepts(Topic(record.name, record.levelno, ""), now)
        about: UUID | str | None = getattr(record, "about", None) or call_of(record)
        topic = Topic(record.name, record.levelno, str(record.msg), about)
        return self._limit.accepts(topic, now, getattr(record, "burst", BURST))

    def _on_idle(self) -> None:
        self._say_held_back(self._clock())

    def _say_held_back(self, now: float) -> None:
        self.acquire()  # the thread calls this, too
        try:
            for topic, lines in self._limit.ended(now):
                self._writer.put(self._lines.write(_held_back(topic, lines)))
        finally:
            self.release()

    def _dropped(self, lines: int, why: str) -> str:
        message = f"{lines:,} log lines were dropped: {why}"
        return self._lines.write(Line(time.time(), "WARNING", PACKAGE, message, fields={"dropped": lines}))


def _held_back(topic: Topic, lines: int) -> Line:
    return Line(
        time.time(),
        logging.getLevelName(topic.level),
        topic.logger,
        f"{topic} ... and {lines:,} more like this in {WINDOW_S:g} s",
        topic.about if isinstance(topic.about, UUID) else None,
        {"more": lines},
    )
