"""Limitations of Asterisk releases, from its history and from tests on builds from 18.26 to master.

Certified releases count as the release that they started from: none got later changes to AudioSocket.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

_VERSION = re.compile(r"(?:certified[/-])?(\d{1,4})\.(\d{1,4})")


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Asterisk, such as 22.10: the branch, and its number in that."""

    branch: int
    number: int

    @classmethod
    def parse(cls, version: str) -> Self | None:
        """Parse ``AsteriskVersion`` of `CoreSettings`; None if it isn't a release (``GIT-master-...``)."""
        match = _VERSION.match(version)
        return cls(int(match[1]), int(match[2])) if match else None

    def has(self, since: Mapping[int, int]) -> bool:
        """Return whether it has a feature that each branch has since a number, and all later branches
        have.
        """
        if self.branch in since:
            return self.number >= since[self.branch]
        return self.branch > max(since)


AUDIOSOCKET = {18: 0}
QUIET_APPLICATION = {18: 20, 20: 5, 21: 0}
KEYS = {20: 14, 21: 9, 22: 4, 23: 0}
WIDEBAND = {20: 17, 21: 12, 22: 7, 23: 1}
WHOLE_FRAMES = {20: 19, 22: 9, 23: 3}
COMFORT_NOISE = {20: 20, 22: 10, 23: 4}
UUID_FUNCTION = {20: 12, 21: 7, 22: 2, 23: 0}
EVENT_FILTERS = {18: 26, 20: 11, 21: 6, 22: 1, 23: 0}
"""First releases with eventfilter lines of the form ``name()``, and MatchCriteria in a Filter action."""


@dataclass(frozen=True, slots=True)
class _Limitation:
    text: str
    applies: Callable[[Release], bool]


_LIMITATIONS = (
    _Limitation("its AudioSocket is not supported", lambda release: not release.has(AUDIOSOCKET)),
    _Limitation(
        "each call of AudioSocket() keeps a processor core busy",
        lambda release: not release.has(QUIET_APPLICATION),
    ),
    _Limitation(
        "DTMF keys don't arrive, a call that the agent ends in AudioSocket() counts as failed (TRYSTATUS), a "
        "gateway that dies may go unnoticed",
        lambda release: not release.has(KEYS),
    ),
    _Limitation(
        "comfort noise from the telephone ends calls of Dial(AudioSocket/...)",
        lambda release: release.has(KEYS) and not release.has(COMFORT_NOISE),
    ),
    _Limitation(
        "a frame that the network splits ends the call, so keep the gateway on the same machine",
        lambda release: not release.has(WHOLE_FRAMES),
    ),
    _Limitation("wideband is labelled as 8 kHz", lambda release: not release.has(WIDEBAND)),
    _Limitation("the dialplan has no UUID()", lambda release: not release.has(UUID_FUNCTION)),
    _Limitation("eventfilter lines with name() are ignored", lambda release: not release.has(EVENT_FILTERS)),
)


def limitations(release: Release) -> tuple[str, ...]:
    """Return what to know of this release, or nothing."""
    if not release.has(AUDIOSOCKET):
        return (_LIMITATIONS[0].text,)
    return tuple(limitation.text for limitation in _LIMITATIONS if limitation.applies(release))
