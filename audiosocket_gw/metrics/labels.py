"""The values of labels, of which there are few whatever peers send. Pure.

Prometheus keeps a series for each combination of values for ever, so a UUID, a number or a conversation's id
is never one.
"""

from __future__ import annotations

import re

from audiosocket_gw.ledger.record import CallRecord

MAX_VALUES = 100
"""Distinct values of a label that others than the operator choose."""

MAX_PLACES = 200
"""Distinct pairs of a PBX and an agent."""

UNKNOWN = "unknown"
"""The value isn't known (yet)."""

OTHER = "other"
"""One more than there may be, or no name."""

_NAME = re.compile(r"[\w.:@+/-][\w .:@+/-]{0,99}", re.ASCII)
_NUMBER = re.compile(r"\+?(?:[ ()/-]*\d){7,}[ ()/-]*", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


class CappedLabel:
    """The values of one label: the first distinct names, then `OTHER`."""

    def __init__(self, limit: int = MAX_VALUES) -> None:
        self._limit = limit
        self._values: set[str] = set()

    def __call__(self, value: str) -> str:
        """Return the value to use for this one."""
        if value in self._values:
            return value
        if not value:
            return UNKNOWN
        if len(self._values) >= self._limit or not is_name(value):
            return OTHER
        self._values.add(value)
        return value


class Places:
    """The values of the labels ``pbx`` and ``agent``: together few, too."""

    def __init__(self) -> None:
        self._pbx = CappedLabel()
        self._agent = CappedLabel()
        self._pairs: dict[tuple[str, str], None] = {}

    def __call__(self, record: CallRecord) -> tuple[str, str]:
        """Return the values for a call."""
        pair = (self._pbx(record.pbx), self._agent(record.agent))
        if pair not in self._pairs:
            if len(self._pairs) >= MAX_PLACES:
                return (OTHER, OTHER)
            self._pairs[pair] = None
        return pair

    @property
    def known(self) -> tuple[tuple[str, str], ...]:
        """All pairs that there were."""
        return tuple(self._pairs)


def is_name(value: str) -> bool:
    """Return whether ``value`` may be a label's: short, of plain characters, no number and no UUID."""
    return bool(_NAME.fullmatch(value)) and not _NUMBER.fullmatch(value) and not _UUID.search(value)
