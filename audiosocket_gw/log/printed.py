"""What tools or libraries print goes by the log: to print is to wait for whoever reads."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

from audiosocket_gw.log.text import Sentence

logger = logging.getLogger("audiosocket_gw.printed")

MAX_LINE = 4_096
"""Characters without a line break that are kept; more of them are a line."""


@contextmanager
def print_to_log() -> Iterator[None]:
    """Log each line that is printed on standard output or error, at the level ``INFO``."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(_Printed(1)))
        stack.enter_context(redirect_stderr(_Printed(2)))
        yield


class _Printed(io.TextIOBase):
    """A standard stream whose lines become lines of the log; ``descriptor`` is where they would have gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._begun = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def fileno(self) -> int:
        """For those who hand it to a child process."""
        return self._descriptor

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = f"{self._begun}{text}".split("\n")
        if len(self._begun) > MAX_LINE:
            lines.append(self._begun)
            self._begun = ""
        for line in lines:
            if line.strip():
                logger.info("printed: %s", Sentence(line))
        return len(text)
