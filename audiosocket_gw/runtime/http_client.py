"""The HTTP client for short answers: what a peer sends costs little, however it is sent.

h11 parses a header in 6 us and a chunk in 30 us, all of a read at once, and httpcore reads 64 KiB: 11,000
chunks of one byte, or 25,000 headers, would hold up the event loop for 0.2 s. So an answer may have a limited
number of lines, which chunks and headers are made of, and a read is small.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

MAX_READ = 4096
"""Bytes of a read, after which other work gets its turn."""

MAX_LINES = 4096
"""Lines of an answer: of its headers, of its body, and two for each chunk."""

MAX_ANSWER = 131_072
"""Bytes of an answer with its headers."""

MAX_KEPT_ALIVE = 20
"""Idle connections to the REST hosts: enough for the next calls, after hundreds that began together."""


def create_http_client(context: ssl.SSLContext) -> httpx.AsyncClient:
    """Return a client for requests whose answers are short, with no time limits of its own.

    It doesn't use proxies from the environment: the WebSocket couldn't either.
    """
    return httpx.AsyncClient(transport=_ShortAnswers(context), timeout=None, trust_env=False)


class _ShortAnswers(httpx.AsyncHTTPTransport):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(  # httpx passes no backend on
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=MAX_KEPT_ALIVE,
            keepalive_expiry=5.0,
            network_backend=_Backend(),
        )


class _Backend(httpcore.AnyIOBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Stream(httpcore.AsyncNetworkStream):
    """A connection that reads little at once, and not much between two requests."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._bytes = self._lines = 0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        await asyncio.sleep(0)
        data = await self._stream.read(min(max_bytes, MAX_READ), timeout)
        self._bytes += len(data)
        self._lines += data.count(b"\n")
        if self._bytes > MAX_ANSWER or self._lines > MAX_LINES:
            raise httpcore.ReadError(f"the answer has more than {MAX_ANSWER:,} bytes or {MAX_LINES:,} lines")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._bytes = self._lines = 0
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
