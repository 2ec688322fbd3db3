"""Finding the agent over HTTP: each way that can go wrong has its reason, in time."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest

from audiosocket_gw import USER_AGENT
from audiosocket_gw.elevenlabs.agent import MAX_BODY, AgentLocator
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import AgentError
from audiosocket_gw.runtime.http_client import MAX_LINES, create_http_client
from audiosocket_gw.runtime.tls_trust import create_ssl_context
from audiosocket_gw.settings import GatewaySettings, Settings
from tests.harness.setup_steps import untold_steps

CALL = UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
KEY = "sk_very_secret"

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def saying(status: str, body: bytes, *headers: str) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(head).encode() + body)

    return answer


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n{")
    while True:
        writer.write(b" " * 10_000)
        await writer.drain()


async def endless_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"a: " + b"x" * 1_000 + b"\r\n")
        await writer.drain()


async def endless_continues(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        await writer.drain()


async def in_tiny_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 10_000)


def bomb(times: int) -> bytes:
    """Return what becomes 100 MB when it is decompressed."""
    body = b" " * 100_000_000
    for _ in range(times):
        body = gzip.compress(body, compresslevel=1)
    return body[:60_000]


async def a_byte_a_second(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    while True:
        writer.write(b" ")
        await asyncio.sleep(1)


async def a_header_byte_a_second(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x")
        await asyncio.sleep(1)


async def nothing(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def hanging_up(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")


async def speaking_ssh(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")


@asynccontextmanager
async def http_server(answer: Answer) -> AsyncIterator[tuple[str, list[str]]]:
    """Answer every request the same way; yields the URL, and the heads of the requests as they come."""
    requests: list[str] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        with contextlib.suppress(ConnectionError):
            await answer(writer)
            await writer.drain()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        task.add_done_callback(lambda _: writer.close())
        tasks.add(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def locate(**settings: object) -> str:
    async with create_http_client(create_ssl_context()) as http:
        locator = AgentLocator(GatewaySettings.of(Settings(**settings)).agent, http)
        return (await locator.locate(_headers, untold_steps())).url


async def _headers() -> dict[str, str]:
    return {"X-AVR-UUID": str(CALL)}


async def refusal(**settings: object) -> AgentError:
    """Return the error of `locate`; no error may show the key."""
    with pytest.raises(AgentError) as caught:
        await locate(**settings)
    assert KEY not in str(caught.value)
    return caught.value


# The three ways


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://api.eu.residency.elevenlabs.io/", "wss://api.eu.residency.elevenlabs.io"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080"),
    ],
)
async def test_a_public_agent_needs_no_request(base_url: str, url: str) -> None:
    located = await locate(elevenlabs_agent_id="agent&x=1", elevenlabs_base_url=base_url)
    assert located == url + "/v1/convai/conversation?agent_id=agent%26x%3D1"


async def test_a_private_agent_has_a_signed_url() -> None:
    signed = "wss://127.0.0.1/v1/convai/conversation?agent_id=a&conversation_signature=s"
    async with http_server(saying("200 OK", f'{{"signed_url":"{signed}"}}'.encode())) as (url, requests):
        assert (
            await locate(elevenlabs_agent_id="a b", elevenlabs_api_key=KEY, elevenlabs_base_url=url) == signed
        )
    (request,) = requests
    assert request.startswith("GET /v1/convai/conversation/get-signed-url?agent_id=a+b HTTP/1.1\r\n")
    assert f"\r\nxi-api-key: {KEY}\r\n" in request


async def test_the_agent_url_is_asked_for_each_call_and_overrides_the_id() -> None:
    async with http_server(saying("200 OK", b'{"system":"agent_7"}')) as (url, requests):
        located = await locate(
            elevenlabs_agent_id="other",
            elevenlabs_agent_url=f"{url}/agents?x=1",
            elevenlabs_base_url="http://h",
        )
    assert located == "ws://h/v1/convai/conversation?agent_id=agent_7"
    (request,) = requests
    assert request.startswith("GET /agents?x=1 HTTP/1.1\r\n")
    assert f"\r\nX-AVR-UUID: {CALL}\r\n" in request


@pytest.mark.parametrize(
    ("base_url", "signed_url", "allowed", "public_only"),
    [
        ("https://agents.example.com", "wss://agents.example.com/x", False, False),
        ("https://agents.example.com", "wss://media.example.com/x", False, True),
        ("https://agents.example.com", "wss://media.example.com/x", True, False),
        ("http://agents.example.com", "ws://media.example.com/x", False, False),
    ],
)
async def test_a_host_that_an_answer_has_chosen_must_be_public(
    base_url: str, signed_url: str, allowed: bool, public_only: bool
) -> None:
    body = httpx.ByteStream(json.dumps({"signed_url": signed_url}).encode())
    answer = httpx.MockTransport(lambda _: httpx.Response(200, stream=body))
    settings = Settings(
        elevenlabs_agent_id="a",
        elevenlabs_api_key=KEY,
        elevenlabs_base_url=base_url,
        allow_private_agent=allowed,
    )
    async with httpx.AsyncClient(transport=answer) as http:
        locator = AgentLocator(GatewaySettings.of(settings).agent, http)
        address = await locator.locate(_headers, untold_steps())
    assert address.url == signed_url
    assert address.public_only is public_only


async def test_an_uncompressed_answer_is_asked_for() -> None:
    async with (
        http_server(saying("200 OK", b'{"system":"mine"}', "Content-Encoding: identity")) as (
            agent_url,
            asked,
        ),
        http_server(saying("200 OK", b'{"signed_url":"wss://127.0.0.1/x"}')) as (base_url, signed),
    ):
        await locate(elevenlabs_agent_url=agent_url, elevenlabs_base_url=base_url, elevenlabs_api_key=KEY)
    for head in (*asked, *signed):
        assert re.findall(r"(?i)\r\naccept-encoding: (.*)\r\n", head) == ["identity"]


async def test_every_request_names_the_gateway() -> None:
    async with (
        http_server(saying("200 OK", b'{"system":"mine"}')) as (agent_url, asked),
        http_server(saying("200 OK", b'{"signed_url":"wss://127.0.0.1/x"}')) as (base_url, signed),
    ):
        await locate(elevenlabs_agent_url=agent_url, elevenlabs_base_url=base_url, elevenlabs_api_key=KEY)
    for head in (*asked, *signed):
        assert f"user-agent: {USER_AGENT}\r\n".lower() in head.lower()


async def test_a_redirect_of_either_request_is_told() -> None:
    away = saying("302 Found", b"", "Location: https://elsewhere.invalid/login?from=secret")
    async with http_server(away) as (url, _):
        for settings in (
            {"elevenlabs_agent_url": url},
            {"elevenlabs_base_url": url, "elevenlabs_api_key": KEY},
        ):
            error = await refusal(elevenlabs_agent_id="mine", **settings)
            assert "HTTP 302" in str(error)
            assert "it redirects to https://elsewhere.invalid/login" in str(error)
            assert "secret" not in str(error)


async def test_the_key_is_not_shown_to_the_agent_url() -> None:
    async with http_server(saying("200 OK", b'{"system":"a"}')) as (url, requests):
        await refusal(
            elevenlabs_agent_url=url, elevenlabs_api_key=KEY, elevenlabs_base_url="http://127.0.0.1:9"
        )
    assert KEY not in requests[0]


# What goes wrong with ELEVENLABS_AGENT_URL

BAD_ANSWERS = [
    (saying("500 Oops", b"<html>stack trace</html>"), "HTTP 500"),
    (saying("404 Not Found", b""), "HTTP 404"),
    (saying("302 Found", b"", "Location: http://127.0.0.1:9/"), "HTTP 302"),
    (saying("204 No Content", b""), "HTTP 204"),
    (saying("200 OK", b"<html>welcome</html>"), "<html>welcome"),
    (saying("200 OK", b""), "JSON object"),
    (saying("200 OK", b"[1]"), "JSON object"),
    (saying("200 OK", b"\xff\xfe"), "JSON object"),
    (saying("200 OK", b"[" * 60_000), "JSON object"),
    (saying("200 OK", b"{}"), "system"),
    (saying("200 OK", b'{"system":null}'), "system"),
    (saying("200 OK", b'{"system":""}'), "system"),
    (saying("200 OK", b'{"system":{"id":1}}'), "system"),
    (saying("200 OK", b'{"system":"\\ud800"}'), "system"),
    (saying("200 OK", b'{"system":"a"}' + b" " * MAX_BODY), "JSON object"),
    (saying("200 OK", b"no gzip", "Content-Encoding: gzip"), "Content-Encoding 'gzip'"),
    (saying("200 OK", bomb(1), "Content-Encoding: gzip"), "Content-Encoding 'gzip'"),
    (saying("200 OK", bomb(2), "Content-Encoding: gzip, gzip"), "Content-Encoding 'gzip, gzip'"),
    (saying("503 Busy", bomb(1), "Content-Encoding: br"), "HTTP 503"),
    (endless, "JSON object"),
    (endless_headers, "can't be reached"),
    (endless_continues, "131,072 bytes or 4,096 lines"),
    (saying("200 OK", b"", *["a:"] * MAX_LINES), "131,072 bytes or 4,096 lines"),
    (in_tiny_chunks, "131,072 bytes or 4,096 lines"),
    (hanging_up, "can't be reached"),
    (speaking_ssh, "can't be reached"),
]


@pytest.mark.parametrize(("answer", "complaint"), BAD_ANSWERS)
async def test_a_bad_answer_of_the_agent_url(answer: Answer, complaint: str) -> None:
    async with http_server(answer) as (url, _):
        error = await refusal(elevenlabs_agent_url=url)
    assert error.reason is EndReason.AGENT_URL_FAILED
    assert "ELEVENLABS_AGENT_URL" in str(error)
    assert complaint in str(error)
    assert not str(error).endswith(": ")
    assert len(str(error)) < 500


@pytest.mark.virtual_time
@pytest.mark.parametrize("answer", [nothing, a_byte_a_second, a_header_byte_a_second])
async def test_a_slow_answer_of_the_agent_url_ends_at_the_deadline(answer: Answer) -> None:
    loop = asyncio.get_running_loop()
    async with http_server(answer) as (url, _):
        begun = loop.time()
        error = await refusal(elevenlabs_agent_url=url, agent_url_timeout=2.5)
        assert loop.time() - begun == pytest.approx(2.5)
    assert error.reason is EndReason.AGENT_URL_FAILED
    assert "2.5 s (AGENT_URL_TIMEOUT)" in str(error)


async def test_no_one_listens_at_the_agent_url() -> None:
    async with http_server(nothing) as (url, _):
        pass
    error = await refusal(elevenlabs_agent_url=url)
    assert error.reason is EndReason.AGENT_URL_FAILED


# What goes wrong with the signed URL


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (
            saying("401 Unauthorized", b'{"detail":{"status":"invalid_api_key"}}'),
            EndReason.AGENT_UNAUTHORIZED,
            "HTTP 401",
        ),
        (saying("403 Forbidden", b""), EndReason.AGENT_UNAUTHORIZED, "HTTP 403"),
        (
            saying("404 Not Found", b'{"detail":{"status":"document_not_found"}}'),
            EndReason.AGENT_NOT_FOUND,
            "HTTP 404",
        ),
        (saying("422 Unprocessable", b'{"detail":[]}'), EndReason.AGENT_REJECTED, "HTTP 422"),
        (saying("429 Too Many", b""), EndReason.AGENT_BUSY, "HTTP 429"),
        (
            saying("401 Unauthorized", b'{"detail":{"status":"quota_exceeded"}}'),
            EndReason.AGENT_QUOTA,
            "HTTP 401",
        ),
        (saying("500 Oops", b""), EndReason.AGENT_UNREACHABLE, "HTTP 500"),
        (saying("302 Found", b"", "Location: http://127.0.0.1:9/"), EndReason.AGENT_PROTOCOL, "HTTP 302"),
        (saying("200 OK", b"<html>"), EndReason.AGENT_PROTOCOL, "JSON"),
        (saying("200 OK", b"{}"), EndReason.AGENT_PROTOCOL, ""),
        (saying("200 OK", b'{"signed_url":"https://h/"}'), EndReason.AGENT_PROTOCOL, "not a WebSocket URL"),
        (
            saying("200 OK", b'{"signed_url":"wss://evil.example/?conversation_signature=sk_very_secret"}'),
            EndReason.AGENT_PROTOCOL,
            "evil.example, which is outside the domain of ELEVENLABS_BASE_URL, 127.0.0.1",
        ),
        (saying("200 OK", b"", "Content-Encoding: gzip"), EndReason.AGENT_PROTOCOL, "'gzip'"),
        (endless, EndReason.AGENT_PROTOCOL, ""),
        (hanging_up, EndReason.AGENT_UNREACHABLE, ""),
    ],
)
async def test_no_signed_url(answer: Answer, reason: EndReason, words: str) -> None:
    async with http_server(answer) as (url, _):
        error = await refusal(elevenlabs_agent_id="a", elevenlabs_api_key=KEY, elevenlabs_base_url=url)
    assert error.reason is reason
    assert "get-signed-url" in str(error)
    assert words in str(error)


@pytest.mark.virtual_time
@pytest.mark.parametrize("answer", [nothing, a_byte_a_second])
async def test_a_slow_signed_url_ends_at_the_deadline(answer: Answer) -> None:
    loop = asyncio.get_running_loop()
    async with http_server(answer) as (url, _):
        begun = loop.time()
        error = await refusal(
            elevenlabs_agent_id="a",
            elevenlabs_api_key=KEY,
            elevenlabs_base_url=url,
            agent_connect_timeout=3,
        )
        assert loop.time() - begun == pytest.approx(3)
    assert error.reason is EndReason.AGENT_TIMEOUT
    assert "3 s (AGENT_CONNECT_TIMEOUT)" in str(error)


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}"])
async def test_blanks_around_the_key_are_no_part_of_it(key: str) -> None:
    """A key read from a file ends in a newline; as a header it would be refused, and shown."""
    async with http_server(saying("200 OK", b'{"signed_url":"wss://127.0.0.1/"}')) as (url, requests):
        await locate(elevenlabs_agent_id="a", elevenlabs_api_key=key, elevenlabs_base_url=url)
    assert f"xi-api-key: {KEY}\r\n" in requests[0]
