"""``GET /events`` and ``/calls/{uuid}/events``: what happens in calls, as it happens.

Server-sent events, of the HTML standard: browsers, curl and a few lines of any language read them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from audiosocket_gw.events import CallEnded
from audiosocket_gw.http_api.endpoint import ApiError, Endpoint, encoded
from audiosocket_gw.http_api.event_json import EventView
from audiosocket_gw.http_api.operator_actions import read_uuid
from audiosocket_gw.http_api.paced import map_in_steps
from audiosocket_gw.ledger.ledger import Ledger
from audiosocket_gw.ledger.subscription import Subscription, Update

MAX_STREAMS = 32
"""Streams at the same time: half of the connections."""

HEARTBEAT_S = 15.0
"""A proxy closes a connection that is silent for longer, often after 30 s."""

GATHER_S = 0.1
"""Events of this time are sent together: with hundreds of calls a write for each would cost more than all
else."""


class EventStreams:
    """The streams of a ledger's updates."""

    def __init__(self, ledger: Ledger, view: EventView, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._ledger = ledger
        self._view = view
        self._heartbeat_s = heartbeat_s
        self._open = 0
        self.endpoints = (
            Endpoint("GET", "/events", self._all),
            Endpoint("GET", "/calls/{uuid}/events", self._one),
        )

    async def _all(self, _: Request) -> Response:
        return self._stream(None)

    async def _one(self, request: Request) -> Response:
        uuid = read_uuid(request)
        if self._ledger.age_ms(uuid) is None:
            raise ApiError(404, f"no call {uuid} is in progress: GET /calls lists those that are")
        return self._stream(uuid)

    def _stream(self, uuid: UUID | None) -> Response:
        if self._open >= MAX_STREAMS:
            raise ApiError(503, f"{MAX_STREAMS} streams of events are open already: close one")
        self._open += 1  # at once: many requests may come before the first of them gets its stream
        return _EventStream(self._events(uuid), self._end)

    def _end(self) -> None:
        self._open -= 1

    async def _events(self, uuid: UUID | None) -> AsyncIterator[bytes]:
        """Yield what is to be sent, heartbeats included."""
        with self._ledger.subscribe(uuid) as updates:
            number, dropped = 0, 0
            yield b": every event has its call's uuid; a gap in the ids are events that were too many\n\n"
            while True:
                batch = await self._next(updates)
                if batch is None:
                    yield b": still here\n\n"
                    continue
                if not batch:
                    return
                number += updates.dropped - dropped
                dropped = updates.dropped
                shown = await map_in_steps(lambda update: self._view.show(*update), batch)
                yield b"".join(_encode(number + place, each) for place, each in enumerate(shown, 1))
                number += len(batch)
                if uuid is not None and isinstance(batch[-1].event, CallEnded):
                    return

    async def _next(self, updates: Subscription) -> list[Update] | None:
        """Return the next updates; none: the gateway stops; None: nothing has happened for a while."""
        try:
            async with asyncio.timeout(self._heartbeat_s):
                first = await anext(updates)
        except TimeoutError:
            return None
        except StopAsyncIteration:
            return []
        await asyncio.sleep(GATHER_S)
        return [first, *updates.take()]


class _EventStream(Response):
    """Sends the events until they end or the reader leaves."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], on_end: Callable[[], None]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._content = content
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_until_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, leaving):
                task.cancel()
            self._on_end()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for chunk in self._content:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _encode(number: int, event: dict[str, Any]) -> bytes:
    return f"id: {number}\nevent: {event['type']}\ndata: ".encode() + encoded(event) + b"\n\n"
