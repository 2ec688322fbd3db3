"""Decides whether a peer may connect and a call may begin, and if not, why. Pure."""

from __future__ import annotations

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.server.settings import ServerSettings

SPARE_CONNECTIONS = 100
"""Connections beyond MAX_CALLS that may be open at once: without a UUID yet, or closing.

The same number of calls may still be closing their agent's connection after their callers have gone.
"""


class Admission:
    """Checks connections and calls against the settings and the state of the gateway."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self.is_stopping = False
        """Set when the gateway stops: then no connection is admitted."""

    def reject_connection(self, host: str, open_connections: int) -> str | None:
        """Return why a connection from ``host`` is rejected, or None: it is admitted.

        ``open_connections`` doesn't count this one.
        """
        settings = self._settings
        if open_connections >= settings.max_calls + SPARE_CONNECTIONS:
            return f"{open_connections} connections are open already (MAX_CALLS={settings.max_calls})"
        if self.is_stopping:  # the kernel accepted it before the listener was closed
            return "the gateway is stopping"
        if not settings.accepts(host):
            return f"its address is not in ALLOWED_PEERS={','.join(map(str, settings.allowed_peers))}"
        return None

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
