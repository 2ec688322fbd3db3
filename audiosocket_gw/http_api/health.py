"""``/healthz`` and ``/readyz``: is the process alive, and would it take another call?"""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.http_api.endpoint import Endpoint, error_response, json_response
from audiosocket_gw.http_api.faults import Faults, line
from audiosocket_gw.server.listener import AudioSocketServer

STUCK_S = 2.0
"""A clock of the calls that is so late has stopped."""

_REASONS = {
    EndReason.GATEWAY_FULL: "full: MAX_CALLS calls are in progress",
    EndReason.OVERLOADED: "overloaded: one more call would harm the others (GET /load)",
}


class Health:
    """The probes of an orchestrator or a load balancer."""

    def __init__(self, server: AudioSocketServer, faults: Faults) -> None:
        self._server = server
        self._faults = faults
        self.endpoints = (
            Endpoint("GET", "/healthz", self._alive, is_public=True),
            Endpoint("GET", "/readyz", self._ready, is_public=True),
        )

    def reasons_not_ready(self) -> Iterator[str]:
        """Yield why another call would not be taken now."""
        if self._server.is_stopping:
            yield "draining: the gateway is stopping"
        reason = self._server.calls.rejection_reason
        if reason is not None:
            yield _REASONS[reason]

    async def _alive(self, _: Request) -> Response:
        overdue_s = self._server.context.ticker.overdue_s
        if overdue_s > STUCK_S:
            return error_response(503, f"the clock of the calls stopped {overdue_s:.1f} s ago: restart it")
        return json_response({"status": "alive"})

    async def _ready(self, _: Request) -> Response:
        reasons = list(self.reasons_not_ready())
        warnings = [line(fault) for fault in self._faults.now()]
        body = {"ready": not reasons, "reasons": reasons, "warnings": warnings}
        return json_response(body, 503 if reasons else 200)
