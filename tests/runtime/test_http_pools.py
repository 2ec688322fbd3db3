"""A host that hangs takes no connection from another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from audiosocket_gw.runtime import http_pools
from audiosocket_gw.runtime.http_pools import LIMITS, MAX_CONNECTIONS, PoolPerHost
from audiosocket_gw.runtime.proxies import create_http_client_for_tools
from audiosocket_gw.runtime.tls_trust import create_ssl_context
from tests.harness.waiting import until


class Host:
    """Answers at once, or never."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.hangs = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if self.hangs:
                    await reader.read()
                    return
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\n\r\nok")
        except asyncio.IncompleteReadError:
            pass
        finally:
            self.connections -= 1
            writer.close()


@asynccontextmanager
async def serving(*, hangs: bool = False) -> AsyncIterator[Host]:
    host = Host()
    host.hangs = hangs
    async with await asyncio.start_server(host.serve, "127.0.0.1", 0) as server:
        host.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        yield host
        await until(lambda: host.connections, lambda count: count == 0)


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=PoolPerHost(lambda: httpx.AsyncClient(trust_env=False, limits=LIMITS)))


async def test_requests_that_hang_leave_other_hosts_alone() -> None:
    async with serving(hangs=True) as dead, serving() as healthy:
        http = create_http_client_for_tools(create_ssl_context(None))
        hanging = [asyncio.create_task(http.get(dead.url, timeout=None)) for _ in range(104)]
        await until(lambda: dead.connections, lambda count: count >= MAX_CONNECTIONS)
        assert (await http.get(healthy.url)).text == "ok"
        assert dead.connections == MAX_CONNECTIONS
        with pytest.raises(httpx.PoolTimeout):
            await http.get(dead.url, timeout=httpx.Timeout(60, pool=0.01))
        for request in hanging:
            request.cancel()
        await asyncio.wait(hanging)
        await http.aclose()


async def test_a_connection_is_used_again() -> None:
    async with serving() as host, client() as http:
        for _ in range(5):
            answer = await http.get(host.url)
            assert (answer.text, answer.http_version) == ("ok", "HTTP/1.1")
        assert host.connections == 1
        async with http.stream("GET", host.url) as streamed:
            assert [part async for part in streamed.aiter_text()] == ["ok"]


async def test_pools_of_many_hosts_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pools, "MAX_HOSTS", 2)
    transport = PoolPerHost(lambda: httpx.AsyncClient(trust_env=False, limits=LIMITS))
    async with (
        serving() as one,
        serving() as two,
        serving() as three,
        httpx.AsyncClient(transport=transport) as http,
    ):
        for host in (one, two, one, three):
            await http.get(host.url)
        assert len(transport) == 2
        await until(lambda: two.connections, lambda count: count == 0)
        assert (one.connections, three.connections) == (1, 1)


async def test_a_host_in_use_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pools, "MAX_HOSTS", 1)
    async with (
        serving() as one,
        serving() as two,
        client() as http,
        http.stream("GET", one.url) as streamed,
    ):
        await http.get(two.url)
        assert (await streamed.aread()) == b"ok"


async def test_a_host_that_can_not_be_reached_is_an_error_of_the_request() -> None:
    async with client() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("http://127.0.0.1:9/")
