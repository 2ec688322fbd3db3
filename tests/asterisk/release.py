"""Which Asterisk is it, and since when can an Asterisk do something?"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

HEAD = 9_999
"""The number of a build from the head of a branch, and the branch of one from master: it has all there is."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release, by the words of ``asterisk -V``."""

    words: str
    branch: int
    number: int

    @classmethod
    def parse(cls, words: str) -> Release:
        """Read ``Asterisk 22.10.1+dfsg``, ``Asterisk certified-20.7-cert1`` or ``Asterisk GIT-22-0abc``.

        Raises:
            ValueError: it is none of these.
        """
        if head := re.fullmatch(r"Asterisk GIT-(master|\d+)\b.*", words):
            return cls(words, HEAD if head[1] == "master" else int(head[1]), HEAD)
        if (found := re.match(r"Asterisk (?:certified[-/])?(\d+)\.(\d+)", words)) is None:
            raise ValueError(f"no release of Asterisk: {words!r}")
        return cls(words, int(found[1]), int(found[2]))

    def is_since(self, first: tuple[str, ...]) -> bool:
        """Say whether this is one of the releases ``first`` of each branch, or later.

        A branch that ``first`` doesn't name never got it, unless it is newer than all of them.
        """
        numbers = {int(branch): int(number) for branch, _, number in (text.partition(".") for text in first)}
        if self.branch in numbers:
            return self.number >= numbers[self.branch]
        return self.branch > max(numbers)


def since(*first: str) -> pytest.MarkDecorator:
    """Skip a test on releases before ``first``: the first of each branch that can do what it is about."""
    return pytest.mark.since(*first)


FILTERS_BY_HEADER = since("18.26", "20.11", "21.6", "22.1", "23.0")
"""``eventfilter(name(...),header(...),method(...))``."""

ORDERLY_END = since("20.14", "21.9", "22.4", "23.0")
"""0x00 lets the dialplan go on; the 2 s timer of `AudioSocket()` works; what isn't known ends the call."""

KEYS = ORDERLY_END
"""DTMF is passed on."""

LATE_PAYLOAD = since("20.15", "21.10", "22.5", "23.0")
"""A payload may come 5 ms after its header."""

WIDEBAND = since("20.17", "21.12", "22.7", "23.1")
"""Each rate has a kind of its own."""

SPLIT_HEADER = since("20.19", "22.9", "23.3")
"""A header in two TCP segments is read right."""

COMFORT_NOISE = since("20.20", "22.10", "23.4")
"""`Dial()` passes over a caller's comfort noise."""
