"""``CALL_LOG``: a line of JSON for each call that has ended, for log shippers and reports."""

from __future__ import annotations

import errno
import json
import logging
import os
import select
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.events import CallEnded, CallEvent
from audiosocket_gw.ledger.losses import Losses
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import shown
from audiosocket_gw.runtime.writer import Writer, WriterLimits

logger = logging.getLogger("audiosocket_gw.ledger")

STANDARD_OUTPUT = Path("-")

LIMITS = WriterLimits(jobs=2_000, stop_s=1.0)


class CallLog:
    """Appends the records of calls to a file, a FIFO or standard output while its context is open.

    A thread encodes and writes them. A reader that stops, a full or a frozen disk costs records, which
    `losses` counts, and nothing else. A line is written at once, or not at all.
    """

    def __init__(self, path: Path, numbers: CallerNumbers, limits: WriterLimits = LIMITS) -> None:
        self._path = path
        self._numbers = numbers
        self._writer = Writer("call log", limits=limits)
        self._descriptor = -1  # used only by the thread while it runs
        self.losses = Losses(f"CALL_LOG={path}")

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            ConfigurationError: it can't be opened.
        """
        try:
            self._open()
        except OSError as error:
            if error.errno != errno.ENXIO:  # a FIFO that no one reads: somebody may, later
                raise ConfigurationError(
                    f"CALL_LOG={str(self._path)!r}: it can't be written: {error.strerror}. "
                    "Name a file in a folder that the gateway's user may write to, or - for standard output."
                ) from None
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what waits, for a second at most."""
        self._writer.submit(self._close)
        self._writer.__exit__(kind, error, traceback)
        self.losses.close()

    def follow(self, event: CallEvent, record: CallRecord) -> None:
        """Log a call that has ended: a `Follower`."""
        if not isinstance(event, CallEnded):
            return
        if self._writer.overloaded:
            self.losses.add("its reader has stopped, or its disk hangs")
        else:
            self._writer.submit(lambda: self._append(record))

    def reopen(self) -> None:
        """Open the file again, after `logrotate` has moved it; if that fails, keep the old one."""
        self._writer.submit(self._reopen)

    # In the thread

    def _append(self, record: CallRecord) -> None:
        line = json.dumps(shown(record, self._numbers), ensure_ascii=False)
        try:
            if self._descriptor < 0:
                self._open()
            _write(self._descriptor, f"{line}\n".encode("utf-8", "backslashreplace"))
        except OSError as error:
            no_reader = error.errno == errno.ENXIO
            self.losses.add("no one reads the FIFO" if no_reader else error.strerror or str(error))
        else:
            self.losses.recovered()

    def _reopen(self) -> None:
        if self._path == STANDARD_OUTPUT:
            return
        before = self._descriptor
        try:
            self._open()
        except OSError as error:
            logger.warning(
                "CALL_LOG=%s: it can't be opened again: %s. Lines go on to the file that was open",
                self._path,
                error.strerror,
            )
            return
        if before >= 0:
            os.close(before)

    def _open(self) -> None:
        if self._path == STANDARD_OUTPUT:
            self._descriptor = 1
            return
        self._descriptor = _open(self._path)
        with suppress(OSError):
            _end_torn_line(self._descriptor)

    def _close(self) -> None:
        if self._path != STANDARD_OUTPUT and self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def _open(path: Path) -> int:
    """Raises: OSError: the file can't be opened; ENXIO: it is a FIFO without a reader."""
    access = os.O_RDWR
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            access = os.O_WRONLY
    # Non-blocking to open, since a FIFO without a reader would block for ever; writing may block.
    flags = access | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(path, flags, 0o600)
    os.set_blocking(descriptor, True)
    return descriptor


def _end_torn_line(descriptor: int) -> None:
    """End a line that the death of a machine has torn, so that the next one is whole."""
    size = _size(descriptor)
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")


def _write(descriptor: int, line: bytes) -> None:
    """Write the whole line, or nothing.

    Raises:
        OSError: it can't be written.
    """
    rest = memoryview(line)
    try:
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:  # another process made standard output non-blocking
                select.select([], [descriptor], [])
    except OSError:
        with suppress(OSError):
            _take_back(descriptor, line[: len(line) - len(rest)])
        raise


def _take_back(descriptor: int, part: bytes) -> None:
    """Remove the beginning of a line, which is all that fits on a disk that is nearly full."""
    start = _size(descriptor) - len(part)
    if part and start >= 0 and os.pread(descriptor, len(part), start) == part:
        os.ftruncate(descriptor, start)


def _size(descriptor: int) -> int:
    """Return the size of a regular file, or 0."""
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
