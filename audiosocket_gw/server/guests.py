"""How the guests share the places: calls, and rate of new connections and calls. Pure.

A guest is an address that may connect, but isn't a known PBX: neither listed by itself in ``ALLOWED_PEERS``
nor a PBX with a manager interface. Known PBXs have no share: they may take every place, and guests never take
the half that is reserved for them.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, ip_network

from audiosocket_gw.server.settings import parse_address

CONNECTIONS_PER_S = 5.0
CONNECTIONS_AT_ONCE = 50
"""New connections of one guest: many for one PBX, few for the gateway. Each is a call, or a fraction of a
millisecond."""

ALL_CONNECTIONS_PER_S = 100.0
ALL_CONNECTIONS_AT_ONCE = 200
"""New connections of all guests."""

ALL_CALLS_PER_S = 10.0
ALL_CALLS_AT_ONCE = 100
"""New calls of all guests: each takes some 10 ms."""

MAX_REMEMBERED = 4_096
"""Guests whose rate is remembered; the limits of all guests hold whatever is forgotten."""


def guest_name(address: str) -> str:
    """Return what shares: an IPv4 address, or the /64 network of an IPv6 address, which one machine may have.

    Raises:
        ValueError: it is no address.
    """
    ip = parse_address(address)
    return str(ip_network((ip, 64), strict=False)) if isinstance(ip, IPv6Address) else str(ip)


class Guests:
    """Counts the calls and connections of the guests. Times are in seconds, of any monotonic clock."""

    def __init__(self, max_calls: int, *, reserves: bool) -> None:
        self._max_calls = max_calls
        self.reserves = reserves
        """Whether half of the places are the known PBXs'. Otherwise there are none."""
        self._calls: Counter[str] = Counter()
        self._connection_rates: dict[str, Rate] = {}  # of the last one to connect last
        self._all_connections = Rate(ALL_CONNECTIONS_PER_S, ALL_CONNECTIONS_AT_ONCE)
        self._all_calls = Rate(ALL_CALLS_PER_S, ALL_CALLS_AT_ONCE)

    def __len__(self) -> int:
        """Return the number of guests whose rate is remembered."""
        return len(self._connection_rates)

    @property
    def calls(self) -> int:
        """The number of calls of all guests."""
        return self._calls.total()

    def places(self, capacity: int) -> int:
        """Return how many calls all guests together may have; ``capacity``: as many calls as fit."""
        return min(self._max_calls, capacity) // 2 if self.reserves else self._max_calls

    def reject_connection(self, guest: str, now: float) -> str | None:
        """Return why a connection of this guest is rejected, or None: it is admitted, and counted."""
        rate = self._connection_rates.pop(guest, None) or Rate(CONNECTIONS_PER_S, CONNECTIONS_AT_ONCE)
        self._connection_rates[guest] = rate
        if len(self._connection_rates) > MAX_REMEMBERED:
            del self._connection_rates[next(iter(self._connection_rates))]
        if not rate.accepts(now):
            return f"it opens over {CONNECTIONS_PER_S:g} connections a second"
        if not self._all_connections.accepts(now):
            return f"guests open over {ALL_CONNECTIONS_PER_S:g} connections a second"
        return None

    def reject_call(self, guest: str, now: float, capacity: int) -> str | None:
        """Return why this guest may not begin a call, or None: it may.

        A guest may have as many calls as places are left for guests (a dynamic threshold, as in the shared
        memory of switches): one alone gets half, and one that comes later still finds places.
        """
        calls, left = self._calls[guest], self.places(capacity) - self.calls
        if calls >= left:
            return f"it has {calls} calls, and {max(left, 0)} places are left for guests"
        if not self._all_calls.accepts(now):
            return f"guests begin over {ALL_CALLS_PER_S:g} calls a second"
        return None

    def begin_call(self, guest: str) -> None:
        """Count a call that begins."""
        self._calls[guest] += 1

    def end_call(self, guest: str) -> None:
        """Count a call that is over, and whose connection is closed."""
        self._calls[guest] -= 1
        if not self._calls[guest]:
            del self._calls[guest]


class Rate:
    """Limits a rate, by the generic cell rate algorithm (ITU-T I.371)."""

    __slots__ = ("_burst_s", "_full_at", "_interval_s")

    def __init__(self, per_s: float, at_once: int) -> None:
        """``at_once``: how many may come together, after a pause."""
        self._interval_s = 1 / per_s
        self._burst_s = at_once / per_s
        self._full_at = 0.0  # when so many may come together again

    def accepts(self, now: float) -> bool:
        """Return whether one more conforms to the rate; if so, count it."""
        full_at = max(self._full_at, now) + self._interval_s
        if full_at - now > self._burst_s + self._interval_s / 2:  # half: sums of floats aren't exact
            return False
        self._full_at = full_at
        return True
