"""How the guests share the places: calls and rate of new calls, per address and in all. Pure.

A guest is an address that may connect, but isn't a known PBX: neither listed by itself in ``ALLOWED_PEERS``
nor a PBX with a manager interface. Known PBXs have no share: they may take every place, and guests never take
the half that is reserved for them.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, ip_network

from audiosocket_gw.server.settings import parse_address

CALLS_PER_S = 10.0
BURST = 50
"""New calls of one guest: many for one PBX, few for the gateway."""

ALL_CALLS_PER_S = 30.0
ALL_BURST = 150
"""New calls of all guests."""

MAX_REMEMBERED = 4_096
"""Guests whose rate is remembered; the limit of all guests holds whatever is forgotten."""

_ALL = ""


def guest_name(address: str) -> str:
    """Return what shares: an IPv4 address, or the /64 network of an IPv6 address, which one machine may have.

    Raises:
        ValueError: it is no address.
    """
    ip = parse_address(address)
    return str(ip_network((ip, 64), strict=False)) if isinstance(ip, IPv6Address) else str(ip)


class Guests:
    """Counts the calls of the guests. Times are in seconds, of any monotonic clock."""

    def __init__(self, max_calls: int, *, reserves: bool) -> None:
        """``reserves``: half of the places are the known PBXs'. Otherwise there are none, and no overload
        of their calls to prevent.
        """
        self._max_calls = max_calls
        self._reserves = reserves
        self._calls: Counter[str] = Counter()
        self._rate = CallRate()

    @property
    def calls(self) -> int:
        """The number of calls of all guests."""
        return self._calls.total()

    def places(self, capacity: int) -> int:
        """Return how many calls all guests together may have; ``capacity``: as many calls as fit."""
        return min(self._max_calls, capacity) // 2 if self._reserves else self._max_calls

    def reject(self, guest: str, now: float, capacity: int) -> str | None:
        """Return why this guest may not begin a call, or None: it may.

        A guest may have as many calls as places are left for guests (a dynamic threshold, as in the shared
        memory of switches): one alone gets half, and one that comes later still finds places.
        """
        calls, left = self._calls[guest], self.places(capacity) - self.calls
        if calls >= left:
            return f"it has {calls} calls, and {max(left, 0)} places are left for guests"
        if not self._rate.accepts(guest, now):
            return f"it begins over {CALLS_PER_S:g} calls a second, or all guests over {ALL_CALLS_PER_S:g}"
        return None

    def begin(self, guest: str) -> None:
        """Count a call that begins."""
        self._calls[guest] += 1

    def end(self, guest: str) -> None:
        """Count a call that is over, and whose connection is closed."""
        self._calls[guest] -= 1
        if not self._calls[guest]:
            del self._calls[guest]


class CallRate:
    """Limits the rate of new calls, by the generic cell rate algorithm (ITU-T I.371).

    It keeps one number for each guest: when its bucket will be full again.
    """

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}  # the one that called last is the last

    def accepts(self, guest: str, now: float) -> bool:
        """Return whether a call of this guest conforms; if so, count it."""
        own = self._after(guest, CALLS_PER_S, now)
        everyones = self._after(_ALL, ALL_CALLS_PER_S, now)
        if own - now > BURST / CALLS_PER_S or everyones - now > ALL_BURST / ALL_CALLS_PER_S:
            return False
        self._full_at.pop(guest, None)
        self._full_at[guest] = own
        self._full_at[_ALL] = everyones
        if len(self._full_at) > MAX_REMEMBERED:
            oldest = next(name for name in self._full_at if name != _ALL)
            del self._full_at[oldest]
        return True

    def __len__(self) -> int:
        """Return the number of guests that are remembered."""
        return len(self._full_at.keys() - {_ALL})

    def _after(self, guest: str, per_s: float, now: float) -> float:
        return max(self._full_at.get(guest, now), now) + 1 / per_s
