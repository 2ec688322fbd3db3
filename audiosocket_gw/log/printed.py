"""Logs what tools and libraries print: printing would block on standard output."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

from audiosocket_gw.log.text import Sentence

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

logger = logging.getLogger("audiosocket_gw.printed")

MAX_LINE = 4_096
"""Bytes without a line break that are buffered; more are logged as a line."""


@contextmanager
def print_to_log() -> Iterator[None]:
    """Log each line that is printed to standard output or error, at the level ``INFO``."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(_stream(1)))
        stack.enter_context(redirect_stderr(_stream(2)))
        yield


def _stream(descriptor: int) -> io.TextIOWrapper:
    """Return a standard stream like Python's own, with a ``buffer`` for bytes."""
    return io.TextIOWrapper(
        _Printed(descriptor),
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )


class _Printed(io.RawIOBase):
    """Logs each printed line; ``descriptor`` is where it would have been printed."""

    name = "<log>"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begun = b""

    def fileno(self) -> int:
        """Return the descriptor, for a child process."""
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        printed = bytes(data)
        *lines, self._begun = (self._begun + printed).split(b"\n")
        if len(self._begun) > MAX_LINE:
            lines.append(self._begun)
            self._begun = b""
        for line in lines:
            if line.strip():
                logger.info("printed: %s", Sentence(line.decode(errors="backslashreplace")))
        return len(printed)
