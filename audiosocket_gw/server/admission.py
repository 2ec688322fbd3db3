"""Decides whether a peer may connect and a call may begin, and if not, why. Pure."""

from __future__ import annotations

from collections.abc import Callable

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.server.guests import Guests, guest_name
from audiosocket_gw.server.settings import ServerSettings
from audiosocket_gw.server.signed_uuid import SignedUuids

SPARE_CONNECTIONS = 100
"""Connections beyond MAX_CALLS that may be open at once: without a UUID yet, or closing.

The same number of calls may still be closing their agent's connection after their callers have gone.
"""


class Admission:
    """Checks connections and calls against the settings and the state of the gateway."""

    def __init__(self, settings: ServerSettings, is_pbx: Callable[[str], bool] | None = None) -> None:
        """``is_pbx`` returns whether a PBX with a manager interface has the address; None: there is none."""
        self._settings = settings
        self._is_pbx = is_pbx
        self.is_stopping = False
        """Set when the gateway stops: then no connection is admitted."""
        reserves = is_pbx is not None or settings.lists_addresses
        self.guests = Guests(settings.max_calls, reserves=reserves)
        self.signed_uuids: SignedUuids | None = None
        if settings.uuid_secret is not None:
            self.signed_uuids = SignedUuids(settings.uuid_secret.get_secret_value(), settings.uuid_max_age)
        self._elsewhere = f"its address is not in ALLOWED_PEERS={','.join(map(str, settings.allowed_peers))}"

    def reject_connection(self, host: str, open_connections: int) -> str | None:
        """Return why a connection from ``host`` is rejected, or None: it is admitted.

        ``open_connections`` doesn't count this one.
        """
        settings = self._settings
        if not settings.accepts(host):
            return self._elsewhere
        if open_connections >= settings.max_calls + SPARE_CONNECTIONS:
            return f"{open_connections} connections are open already (MAX_CALLS={settings.max_calls})"
        if self.is_stopping:  # the kernel accepted it before the listener was closed
            return "the gateway is stopping"
        return None

    def guest_at(self, host: str) -> str | None:
        """Return which guest has the admitted address ``host``; None: a known PBX, or this machine itself."""
        settings = self._settings
        if not settings.allowed_peers or settings.lists(host):
            return None
        if self._is_pbx is not None and self._is_pbx(host):
            return None
        return guest_name(host)

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
