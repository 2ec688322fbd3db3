"""HTTP connections in a pool per host: requests that hang at one host take none from others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx

MAX_CONNECTIONS = 20
"""Connections to one host; further requests wait for one, as long as their timeout ``pool`` says."""

MAX_KEPT_ALIVE = 5
"""Idle connections to one host."""

MAX_HOSTS = 64
"""Hosts whose pools are kept; of more, the one that was used least recently is closed when it is idle."""

LIMITS = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_KEPT_ALIVE)

Origin = tuple[str, str, int | None]


@dataclass(slots=True, eq=False)
class _Pool:
    client: httpx.AsyncClient
    requests: int = 0


class PoolPerHost(httpx.AsyncBaseTransport):
    """Sends each request by the client of its host, which ``create`` makes, with `LIMITS`."""

    def __init__(self, create: Callable[[], httpx.AsyncClient]) -> None:
        self._create = create
        self._pools: dict[Origin, _Pool] = {}  # used least recently first
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._pools)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        pool = self._pool((request.url.scheme, request.url.host, request.url.port))
        pool.requests += 1
        try:
            response = await pool.client.send(request, stream=True, follow_redirects=False)
        except BaseException:
            pool.requests -= 1
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Counted(response.stream, pool)
        return response

    async def aclose(self) -> None:
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.client.aclose()
        if self._closing:
            await asyncio.wait(self._closing)

    def _pool(self, origin: Origin) -> _Pool:
        pool = self._pools.pop(origin, None)
        if pool is None:
            self._make_room()
            pool = _Pool(self._create())
        self._pools[origin] = pool
        return pool

    def _make_room(self) -> None:
        if len(self._pools) < MAX_HOSTS:
            return
        idle = next((origin for origin, pool in self._pools.items() if not pool.requests), None)
        if idle is not None:
            closing = asyncio.get_running_loop().create_task(self._pools.pop(idle).client.aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


class _Counted(httpx.AsyncByteStream):
    """The body of an answer; the request is over when it is closed."""

    def __init__(self, stream: httpx.AsyncByteStream, pool: _Pool) -> None:
        self._stream = stream
        self._pool: _Pool | None = pool

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.requests -= 1
        await self._stream.aclose()
