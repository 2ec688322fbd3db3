"""``GET /load``: what the gateway can take, and what it is connected to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from audiosocket_gw import __version__
from audiosocket_gw.http_api.endpoint import Endpoint, json_response
from audiosocket_gw.http_api.faults import Faults, show
from audiosocket_gw.http_api.health import Health
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.server.listener import AudioSocketServer


class LoadView:
    """The figures of the process.

    ``off``: what the settings leave off, in words. ``plan_concurrency``: conversations that ElevenLabs' plan
    allows at once.
    """

    def __init__(
        self,
        server: AudioSocketServer,
        health: Health,
        faults: Faults,
        numbers: CallerNumbers,
        off: Iterable[str],
        plan_concurrency: int | None,
    ) -> None:
        self._server = server
        self._health = health
        self._faults = faults
        self._numbers = numbers
        self._off = tuple(off)
        self._plan_concurrency = plan_concurrency
        self._started_at = asyncio.get_running_loop().time()
        self.endpoints = (Endpoint("GET", "/load", self._answer),)

    async def _answer(self, _: Request) -> Response:
        return json_response(self.describe())

    def describe(self) -> dict[str, Any]:
        """Return the answer."""
        server, context = self._server, self._server.context
        reasons = list(self._health.reasons_not_ready())
        return {
            "version": __version__,
            "uptime_s": round(asyncio.get_running_loop().time() - self._started_at, 1),
            "ready": not reasons,
            "reasons": reasons,
            "wrong_now": [show(fault, self._numbers) for fault in self._faults.now()],
            "calls": server.calls.callers,
            "max_calls": server.max_calls,
            "plan_concurrency": self._plan_concurrency,
            "max_call_seconds": context.settings.max_call_seconds,
            "load": asdict(context.load.figures()),
            "ami": [
                {"pbx": address, "connected": is_connected}
                for address, is_connected in context.pbxs.connections
            ],
            "destinations": sorted(
                destination.name for destination in context.services.settings.transfer_policy.named.values()
            ),
            "off": list(self._off),
        }
