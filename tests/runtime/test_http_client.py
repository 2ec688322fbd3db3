"""An answer by HTTP costs little, however it is sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from audiosocket_gw.runtime.event_loop import GatewayEventLoop
from audiosocket_gw.runtime.http_client import MAX_ANSWER, MAX_LINES, MAX_READ, create_http_client
from tests.harness.certificates import serving, trusting

OK = b"HTTP/1.1 200 OK\r\n"


class Answering(asyncio.Protocol):
    """Gives each request on a connection the same answer."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self._transport.write(self._answer)


@asynccontextmanager
async def answering(answer: bytes, *, tls: bool = False) -> AsyncIterator[str]:
    """Serve the answer; yields the URL."""
    context = serving() if tls else None
    server = await asyncio.get_running_loop().create_server(
        lambda: Answering(answer), "127.0.0.1", 0, ssl=context
    )
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


def body(content: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n" % len(content) + content


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_tiny_chunks_leave_time_for_other_work(tls: bool) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, GatewayEventLoop)
    chunk = b"1\r\n \r\n"
    chunks = MAX_LINES // 2 - 10
    pieces: Counter[int] = Counter()
    answer = OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * chunks + b"0\r\n\r\n"
    async with (
        answering(answer, tls=tls) as url,
        create_http_client(trusting()) as http,
        http.stream("GET", url) as response,
    ):
        async for _ in response.aiter_raw():
            pieces[loop.iteration] += 1
    assert pieces.total() == chunks
    assert max(pieces.values()) <= MAX_READ // len(chunk) + 1


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"a:\r\n" * MAX_LINES + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * MAX_LINES + body(b"{}"),
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * MAX_LINES,
        body(b"\n" * MAX_LINES),
        body(b" " * MAX_ANSWER),
    ],
    ids=["headers", "informational", "chunks", "lines", "bytes"],
)
async def test_an_answer_has_a_largest_size(answer: bytes) -> None:
    async with answering(answer) as url, create_http_client(trusting()) as http:
        with pytest.raises(httpx.ReadError, match=r"131,072 bytes or 4,096 lines"):
            await http.get(url)


async def test_the_size_counts_anew_for_each_answer_on_a_connection() -> None:
    answer = body(b" " * (MAX_ANSWER // 2))
    async with answering(answer) as url, create_http_client(trusting()) as http:
        for _ in range(5):
            assert len((await http.get(url)).content) == MAX_ANSWER // 2
