"""A large answer that many ask for again and again: built in steps, once a second for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

KEPT_S = 1.0
"""How old an answer may be."""

CHUNK_BYTES = 32_768
"""What is sent in one step."""


class SharedAnswer:
    """Builds the answer when it is asked for, unless it has just been built or is being built."""

    def __init__(self, build: Callable[[], Awaitable[bytes]]) -> None:
        self._build = build
        self._body = b""
        self._built_at: float | None = None
        self._building: asyncio.Task[bytes] | None = None

    async def body(self) -> bytes:
        """Return the answer."""
        loop = asyncio.get_running_loop()
        if self._built_at is not None and loop.time() - self._built_at < KEPT_S:
            return self._body
        if self._building is None:
            self._building = loop.create_task(self._rebuild())
        return await asyncio.shield(self._building)

    async def _rebuild(self) -> bytes:
        try:
            began = asyncio.get_running_loop().time()
            self._body = await self._build()
            self._built_at = began
            return self._body
        finally:
            self._building = None


class ChunkedResponse(Response):
    """A response that is sent in steps, each when the reader has taken most of the one before."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = bytes(self.body)
        for start in range(0, len(body), CHUNK_BYTES):
            chunk = body[start : start + CHUNK_BYTES]
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
