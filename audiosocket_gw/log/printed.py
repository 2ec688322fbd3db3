"""What tools or libraries print goes by the log: to print is to wait for whoever reads."""

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
"""Bytes without a line break that are kept; more of them are a line."""


@contextmanager
def print_to_log() -> Iterator[None]:
    """Log each line that is printed on standard output or error, at the level ``INFO``."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(_stream(1)))
        stack.enter_context(redirect_stderr(_stream(2)))
        yield


def _stream(descriptor: int) -> io.TextIOWrapper:
    """Return a standard stream as Python makes them, with a ``buffer`` for bytes."""
    return io.TextIOWrapper(
        _Printed(descriptor),
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )


class _Printed(io.RawIOBase):
    """Takes what is printed, and logs each line; ``descriptor`` is where it would have gone."""

    name = "<log>"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begun = b""

    def fileno(self) -> int:
        """For those who hand it to a child process."""
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
