"""The open connections, and how many of the guests' may be outside a call: without a UUID, or rejected. Pure.

Asterisk sends its UUID at once, so a connection that hasn't is suspect, and the longer the more. So a new one
is never rejected: beyond the limits the oldest is closed for it. Then a flood closes its own connections,
while that of an Asterisk among the guests is long in a call. Guests are defined in `guests`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Generic, TypeVar

PER_GUEST = 20
IN_ALL = 50
"""Connections of guests outside a call: half of the spare ones (`SPARE_CONNECTIONS`)."""

C = TypeVar("C")


class Connections(Generic[C]):
    """All open connections."""

    def __init__(self) -> None:
        self._open: set[C] = set()
        self._waiting: dict[C, str] = {}  # those of guests outside a call, the oldest first
        self._by_guest: defaultdict[str, dict[C, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[C]:
        return iter(self._open)

    def add(self, connection: C, guest: str | None) -> C | None:
        """Add a connection; return the one to close for it, if any. ``guest`` is None for a known PBX."""
        self._open.add(connection)
        if guest is None:
            return None
        waiting = self._by_guest[guest]
        oldest = None
        if len(waiting) >= PER_GUEST:
            oldest = next(iter(waiting))
        elif len(self._waiting) >= IN_ALL:
            oldest = next(iter(self._waiting))
        self._waiting[connection] = guest
        waiting[connection] = None
        if oldest is not None:
            self._stop_waiting(oldest)
        return oldest

    def begin_call(self, connection: C) -> None:
        """Record that the connection is in a call."""
        self._stop_waiting(connection)

    def discard(self, connection: C) -> None:
        """Remove a connection, if it is there: it is closed."""
        self._stop_waiting(connection)
        self._open.discard(connection)

    def _stop_waiting(self, connection: C) -> None:
        guest = self._waiting.pop(connection, None)
        if guest is not None:
            del self._by_guest[guest][connection]
            if not self._by_guest[guest]:
                del self._by_guest[guest]
