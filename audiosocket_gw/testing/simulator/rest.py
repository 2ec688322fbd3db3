"""The simulator's REST interface: signed URLs for a private agent."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from audiosocket_gw.testing.simulator.access import Access, Denial, deny
from audiosocket_gw.testing.simulator.scenario import Scenario, SignedUrlAnswer

CONVERSATION_PATH = "/v1/convai/conversation"


class Rest:
    """Answers the HTTP requests."""

    def __init__(self, scenario: Scenario, access: Access) -> None:
        self._scenario = scenario
        self._access = access

    @property
    def routes(self) -> list[Route]:
        return [
            # The second spelling is the deprecated one.
            Route(f"{CONVERSATION_PATH}/get-signed-url", self._signed_url),
            Route(f"{CONVERSATION_PATH}/get_signed_url", self._signed_url),
        ]

    async def _signed_url(self, request: Request) -> Response:
        if self._scenario.signed_url_delay_s:
            await _delay(request, self._scenario.signed_url_delay_s)
        key, agent_id = request.headers.get("xi-api-key"), request.query_params.get("agent_id")
        denial = self._access.check_key(key) or self._access.check_agent(agent_id)
        if denial is not None:
            return respond(denial)
        if self._scenario.signed_url != SignedUrlAnswer.OK:
            return _fault(self._scenario.signed_url)
        single_use = request.query_params.get("include_conversation_id", "false").lower() in ("true", "1")
        now = asyncio.get_running_loop().time()
        signature = self._access.sign(str(agent_id), now, single_use=single_use)
        query = urlencode({"agent_id": agent_id, "conversation_signature": signature})
        return JSONResponse({"signed_url": f"ws://{request.url.netloc}{CONVERSATION_PATH}?{query}"})


def respond(denial: Denial) -> JSONResponse:
    """Put a denial into an HTTP response."""
    return JSONResponse(denial.body, denial.status)


async def _delay(request: Request, seconds: float) -> None:
    """Wait, unless the client has left."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass


def _fault(answer: SignedUrlAnswer) -> Response:
    match answer:
        case SignedUrlAnswer.BUSY:
            return respond(deny(429, "too_many_concurrent_requests", "Too many concurrent requests."))
        case SignedUrlAnswer.SERVER_ERROR:
            return PlainTextResponse("Internal Server Error", 500)
        case SignedUrlAnswer.HTML:
            return HTMLResponse("<!DOCTYPE html><html><body><h1>Service unavailable</h1></body></html>")
        case SignedUrlAnswer.MALFORMED:
            return Response('{"signed_url": "ws://', media_type="application/json")
        case _:
            return JSONResponse({})
