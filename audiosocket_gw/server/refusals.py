"""Counts what is refused before a call begins: in all, and how long it has been going on. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from audiosocket_gw.end_reasons import EndReason

PAUSE_S = 600.0
"""After so long without one, the next refusal begins another row."""


class Refusal(StrEnum):
    """Why a connection or a call was refused before a call began, for those who count."""

    FULL = "full"
    """``MAX_CALLS`` calls are in progress, or too many connections are open."""
    OVERLOADED = "overloaded"
    DRAINING = "draining"
    """The gateway is stopping."""
    PEER = "peer"
    """The address may not connect, or has its share of the places."""
    HANDSHAKE = "handshake"
    """No UUID came in time, or one that isn't valid or is in use."""


REFUSALS = {
    EndReason.GATEWAY_FULL: Refusal.FULL,
    EndReason.OVERLOADED: Refusal.OVERLOADED,
    EndReason.PEER_LIMIT: Refusal.PEER,
    EndReason.UUID_INVALID: Refusal.HANDSHAKE,
}


@dataclass(frozen=True, slots=True)
class Row:
    """Refusals of one sort without a pause; ``since`` and ``last``: when the first and the last one were."""

    count: int
    since: float
    last: float


class Refusals:
    """All of one gateway. All times are in seconds, of one monotonic clock."""

    def __init__(self) -> None:
        self._rows: dict[Refusal, Row] = {}
        self.counts: Counter[str] = Counter(dict.fromkeys(Refusal, 0))
        """Connections and calls that were refused, since the start."""

    def add(self, refusal: Refusal, now: float) -> None:
        """Count one."""
        self.counts[refusal] += 1
        row = self._rows.get(refusal)
        if row is None or now - row.last > PAUSE_S:
            row = Row(0, now, now)
        self._rows[refusal] = Row(row.count + 1, row.since, now)

    def going_on(self, now: float) -> Iterator[tuple[Refusal, Row]]:
        """Yield the rows that may not be over."""
        yield from ((refusal, row) for refusal, row in self._rows.items() if now - row.last <= PAUSE_S)
