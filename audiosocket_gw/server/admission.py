"""Decides whether a peer may connect and a call may begin, and if not, why. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.server.guests import Guests, guest_name
from audiosocket_gw.server.refusals import Refusal, Refusals
from audiosocket_gw.server.settings import IpNetwork, ServerSettings
from audiosocket_gw.server.signed_uuid import SignedUuids

SPARE_CONNECTIONS = 100
"""Connections beyond MAX_CALLS that may be open at once: without a UUID yet, or closing.

The same number of calls may still be closing their agent's connection after their callers have gone.
"""

LIST_IT = "if it is your PBX, list its address by itself in ALLOWED_PEERS"

MAX_REMEMBERED = 1_024
"""Addresses that needn't be parsed again."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What the settings say of an address. ``guest`` is None for those that don't share."""

    may_connect: bool
    guest: str | None = None


class Admission:
    """Checks connections and calls against the settings and the state of the gateway."""

    def __init__(self, settings: ServerSettings, is_pbx: Callable[[str], bool] | None = None) -> None:
        """``is_pbx`` returns whether a PBX with a manager interface has the address; None: there is none."""
        self._settings = settings
        self._is_pbx = is_pbx
        self._peer_at = lru_cache(MAX_REMEMBERED)(self._look_up)
        self.refusals = Refusals()
        self.is_stopping = False
        """Set when the gateway stops: then no connection is admitted."""
        self.guests = Guests(settings.max_calls, reserves=self.knows_pbxs)
        self.signed_uuids: SignedUuids | None = None
        if settings.uuid_secret is not None:
            self.signed_uuids = SignedUuids(settings.uuid_secret.get_secret_value(), settings.uuid_max_age)

    @property
    def knows_pbxs(self) -> bool:
        """Whether there are known PBXs, for which places are reserved."""
        return self._is_pbx is not None or self._settings.lists_addresses

    def admit_peers(self, allowed_peers: Sequence[IpNetwork]) -> None:
        """Replace ``ALLOWED_PEERS``. Calls in progress go on, from every address."""
        self._settings = replace(self._settings, allowed_peers=tuple(allowed_peers))
        self._peer_at.cache_clear()
        self.guests.reserves = self.knows_pbxs

    def reject_connection(self, host: str, open_connections: int, now: float) -> str | None:
        """Return why a connection from ``host`` is rejected, or None: it is admitted.

        ``open_connections`` doesn't count this one. ``now`` is in seconds, of any monotonic clock.
        """
        if not self._peer_at(host).may_connect:
            self.refusals.add(Refusal.PEER, now)
            peers = ",".join(map(str, self._settings.allowed_peers))
            return f"its address is not in ALLOWED_PEERS={peers}"
        if open_connections >= self._settings.max_calls + SPARE_CONNECTIONS:
            self.refusals.add(Refusal.FULL, now)
            return f"{open_connections} connections are open already (MAX_CALLS={self._settings.max_calls})"
        if self.is_stopping:  # the kernel accepted it before the listener was closed
            self.refusals.add(Refusal.DRAINING, now)
            return "the gateway is stopping"
        guest = self.guest_at(host)
        why = self.guests.reject_connection(guest, now) if guest is not None else None
        if why is None:
            return None
        self.refusals.add(Refusal.PEER, now)
        return f"{why}; {LIST_IT}"

    def guest_at(self, host: str) -> str | None:
        """Return which guest has the admitted address ``host``; None: a known PBX, or this machine itself."""
        guest = self._peer_at(host).guest
        return None if guest is None or (self._is_pbx is not None and self._is_pbx(host)) else guest

    def reject_call(self, callers: int, calls: int, *, overloaded: bool) -> EndReason | None:
        """Return why no call may begin now, or None: it may.

        ``callers`` counts the calls that have a caller; ``calls`` also those that are still closing.
        """
        settings = self._settings
        if callers >= settings.max_calls or calls >= settings.max_calls + SPARE_CONNECTIONS:
            return EndReason.GATEWAY_FULL
        if overloaded and settings.refuse_overload:
            return EndReason.OVERLOADED
        return None

    def _look_up(self, host: str) -> Peer:
        settings = self._settings
        if not settings.accepts(host):
            return Peer(may_connect=False)
        shares = settings.allowed_peers and not settings.lists(host)
        return Peer(may_connect=True, guest=guest_name(host) if shares else None)
