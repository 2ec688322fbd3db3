"""``POST /calls/{uuid}/hangup`` and ``/transfer``: what an operator may do to a call.

It goes the way of the agent's tools and the caller's keys: the same allow-list, the same hand-over. As with a
key, the agent is stopped first, so that neither its talk nor the caller's can prevent it.
"""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from audiosocket_gw.control.handover import Handover, State
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import ControlError, ToolError
from audiosocket_gw.http_api.endpoint import ApiError, Endpoint, json_response
from audiosocket_gw.server.calls import Calls

BODY_S = 5.0
"""Time for the body of a request to arrive."""

MAX_CHARACTERS = 100
"""Of a destination, an extension or a context."""

_HANGUP = CallEnd(EndReason.OPERATOR_HANGUP, "an operator hung up")


class OperatorActions:
    """Hang-up and transfer of the calls of a server."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.endpoints = (
            Endpoint("POST", "/calls/{uuid}/hangup", self._hang_up),
            Endpoint("POST", "/calls/{uuid}/transfer", self._transfer),
        )

    async def _hang_up(self, request: Request) -> Response:
        handover = self._handover(request)
        await handover.hang_up(_HANGUP, silence=True)
        return json_response({"accepted": "hangup"}, 202)

    async def _transfer(self, request: Request) -> Response:
        uuid = read_uuid(request)
        extension, context = await _read_destination(request)
        handover = self._handover_of(uuid)
        try:
            await handover.transfer(extension, context, None, silence=True)
        except ToolError as error:
            if handover.state is not State.IDLE:
                raise _busy() from None
            raise ApiError(503 if isinstance(error.__cause__, ControlError) else 422, str(error)) from None
        return json_response({"accepted": "transfer"}, 202)

    def _handover(self, request: Request) -> Handover:
        return self._handover_of(read_uuid(request))

    def _handover_of(self, uuid: UUID) -> Handover:
        call = self._calls.find(uuid)
        if call is None:
            raise ApiError(404, f"no call {uuid} is in progress: GET /calls lists those that are")
        if call.actions is None or call.actions.is_closed:
            raise ApiError(409, f"the call {uuid} is ending")
        handover = call.actions.handover
        if handover.state is not State.IDLE:
            raise _busy()
        return handover


def read_uuid(request: Request) -> UUID:
    """Return the UUID of the path.

    Raises:
        ApiError: it is none.
    """
    try:
        return UUID(request.path_params["uuid"])
    except ValueError:
        raise ApiError(404, "the path has no UUID of a call: GET /calls lists those in progress") from None


def _busy() -> ApiError:
    return ApiError(409, "the call is being transferred or hung up already")


async def _read_destination(request: Request) -> tuple[str, str | None]:
    """Return the extension, or the name of a destination, and the context."""
    try:
        async with asyncio.timeout(BODY_S):
            content = json.loads(await request.body())
    except TimeoutError:
        raise ApiError(408, f"the body of the request did not arrive in {BODY_S:g} s") from None
    except (ValueError, RecursionError):
        raise ApiError(400, f"the body is not JSON: {_FORM}") from None
    if not isinstance(content, dict) or not _are_texts(content):
        raise ApiError(422, f"the body has another form: {_FORM}")
    match content:
        case {"destination": str(name)} if len(content) == 1:
            return name, None
        case {"extension": str(extension), "context": str(context)} if len(content) == 2:
            return extension, context
        case {"extension": str(extension)} if len(content) == 1:
            return extension, None
    raise ApiError(422, f"the body has another form: {_FORM}")


_FORM = 'send {"destination": "NAME"}, or {"extension": "600", "context": "queues"}'


def _are_texts(content: dict[str, object]) -> bool:
    return all(isinstance(value, str) and 0 < len(value) <= MAX_CHARACTERS for value in content.values())
