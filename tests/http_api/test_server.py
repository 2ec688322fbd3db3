"""The HTTP server: where it listens, and what it takes from a client."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import httpx
import pytest

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.http_api import connection, server
from audiosocket_gw.http_api.bounded_requests import MAX_BODY_BYTES, MAX_HEADER_LINES
from audiosocket_gw.resources import find_faults
from audiosocket_gw.settings import GatewaySettings, Settings
from tests.harness.gateway import GatewayHarness, running_gateway
from tests.harness.waiting import until
from tests.http_api.served import served, url_of

TOKEN = "0123456789abcdef"


class Client:
    """A client that sends any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, content: bytes) -> None:
        self._writer.write(content)

    async def answer(self) -> tuple[int, dict[str, object]]:
        """Return status and body of the next response."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
        if b"content-length" in fields:
            body = await self._reader.readexactly(int(fields[b"content-length"]))
        else:
            body = await self._reader.read()
        return int(head.split()[1]), json.loads(body)

    async def closed(self) -> bytes:
        """Return what comes until the server closes the connection."""
        try:
            return await self._reader.read()
        except ConnectionResetError:
            return b"reset"

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()


async def connect(harness: GatewayHarness) -> Client:
    assert harness.gateway.http_address is not None
    return Client(*await asyncio.open_connection(*harness.gateway.http_address))


HEAD = b"GET /load HTTP/1.1\r\nHost: localhost\r\n"
GET = HEAD + b"\r\n"
POST = b"POST /calls HTTP/1.1\r\nHost: localhost\r\n"


# Who may ask


async def test_all_but_health_needs_the_token() -> None:
    async with served(http_token=TOKEN) as (_, client):
        for path in ("/healthz", "/readyz"):
            assert (await client.get(path)).status_code == 200
        for path in ("/load", "/calls", "/history", "/events", "/nothing"):
            refused = await client.get(path)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert "HTTP_TOKEN" in refused.json()["error"]
        with_token = await client.get("/load", headers={"Authorization": f"Bearer {TOKEN}"})
        assert with_token.status_code == 200
        assert with_token.headers["cache-control"] == "no-store"


async def test_a_page_in_the_operators_browser_can_hang_up_no_call() -> None:
    async with served() as (harness, client):
        line, _ = await harness.call()
        path = f"/calls/{line.uuid}/hangup"
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            assert (await client.post(path, headers=headers)).status_code == 403
        assert (await client.get(f"/calls/{line.uuid}")).json()["state"] == "talking"
        await line.__aexit__()


async def test_unknown_paths_and_methods_are_answered_in_json() -> None:
    async with served() as (_, client):
        assert "openapi.json" in (await client.get("/nothing")).json()["error"]
        wrong = await client.delete("/calls")
        assert (wrong.status_code, set(wrong.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
        assert "GET" in wrong.json()["error"]


async def test_no_answer_leads_to_a_host_that_the_request_names() -> None:
    async with served(http_token=TOKEN) as (_, client):
        headers = {"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}
        for path in ("/calls/", "/healthz/", "//evil.example/", "/calls//"):
            answer = await client.get(f"{str(client.base_url).rstrip('/')}{path}", headers=headers)
            assert (answer.status_code, answer.headers.get("location")) == (404, None)


async def test_no_page_of_another_site_may_frame_or_load_an_answer() -> None:
    async with served() as (_, client):
        for path in ("/calls", "/nothing", "/"):
            headers = (await client.get(path)).headers
            # once: a browser ignores a policy that it gets twice
            assert headers.get_list("x-frame-options") == ["DENY"]
            assert headers.get_list("cross-origin-resource-policy") == ["same-origin"]
            assert headers.get_list("x-content-type-options") == ["nosniff"]


# Where it listens


async def test_a_port_that_is_taken_is_a_configuration_error() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        settings = Settings(elevenlabs_agent_id="agent", port=0, http_port=taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match=r"HTTP_HOST='127.0.0.1' HTTP_PORT=\d+: .*in use"):
            async with Gateway(GatewaySettings.of(settings)):
                pass


async def test_all_faults_of_the_settings_are_named_together(tmp_path: Path) -> None:
    settings = Settings(
        elevenlabs_agent_id="agent",
        port=0,
        http_port=0,
        http_host="0.0.0.0",
        http_socket=tmp_path / "missing" / "http.sock",
        host="0.0.0.0",
    )
    faults = await find_faults(GatewaySettings.of(settings))
    assert [fault.partition("=")[0] for fault in faults] == ["HOST", "HTTP_HOST", "HTTP_SOCKET"]


@asynccontextmanager
async def at_socket(path: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    async with httpx.AsyncClient(base_url="http://gateway", transport=transport) as client:
        yield client


async def test_the_unix_socket_needs_no_token_and_goes_with_the_gateway(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    async with running_gateway(http_socket=path, http_token=TOKEN):
        assert path.stat().st_mode & 0o777 == 0o600
        async with at_socket(path) as client:
            assert (await client.get("/load")).status_code == 200
    assert not path.exists()


async def test_the_socket_of_a_gateway_that_was_killed_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with running_gateway(http_socket=path), at_socket(path) as client:
        assert (await client.get("/healthz")).status_code == 200


async def test_the_socket_of_a_running_gateway_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    async with running_gateway(http_socket=path):
        with pytest.raises(ConfigurationError, match="another process listens"):
            async with running_gateway(http_socket=path):
                pass
        async with at_socket(path) as client:
            assert (await client.get("/healthz")).status_code == 200


async def test_a_file_that_is_no_socket_and_a_folder_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "http.sock"
    path.write_text("mine")
    with pytest.raises(ConfigurationError, match="isn't a socket"):
        async with running_gateway(http_socket=path):
            pass
    assert path.read_text() == "mine"
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(ConfigurationError, match="others can write to its folder"):
        async with running_gateway(http_socket=shared / "http.sock"):
            pass


# What it takes from a client


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "no valid request"),
        (b"GET /load HTTP/1.1\r\n\r\n", 400, "Host"),
        (HEAD + b"a:\r\n" * (MAX_HEADER_LINES + 1), 431, "header lines"),
        (HEAD + b"X: " + b"x" * 20_000, 431, ""),
        (POST + b"Content-Length: 4097\r\n\r\n", 413, str(MAX_BODY_BYTES)),
        (POST + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n", 400, ""),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20, 411, "Content-Length"),
    ],
    ids=["TLS", "no host", "lines", "line", "body", "length", "chunks"],
)
async def test_a_request_beyond_the_limits_is_answered_and_ends_the_connection(
    request_: bytes, status: int, words: str
) -> None:
    async with served() as (harness, client), await connect(harness) as raw:
        raw.send(request_)
        answer, body = await raw.answer()
        assert answer == status
        assert words in str(body["error"])
        raw.send(b"x" * 200_000)
        await raw.closed()
        assert (await client.get("/healthz")).status_code == 200


async def test_requests_that_are_sent_ahead_are_answered_in_order() -> None:
    async with served() as (harness, _), await connect(harness) as raw:
        raw.send(GET * 20)
        for _ in range(20):
            assert (await raw.answer())[0] == 200


async def test_a_request_that_does_not_arrive_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_S", 0.2)
    monkeypatch.setattr(server, "CHECK_S", 0.05)
    async with served() as (harness, _), await connect(harness) as idle, await connect(harness) as slow:
        slow.send(GET[:-2])
        # On a busy machine it may be cut before it has sent anything.
        assert {await idle.closed(), await slow.closed()} <= {b"", b"reset"}


async def test_a_body_that_does_not_arrive_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audiosocket_gw.http_api.operator_actions.BODY_S", 0.1)
    async with served() as (harness, _), await connect(harness) as raw:
        line, _ = await harness.call()
        path = f"/calls/{line.uuid}/transfer".encode()
        raw.send(POST.replace(b"/calls", path) + b"Content-Length: 9\r\n\r\n{")
        status, body = await raw.answer()
        assert (status, "did not arrive" in str(body["error"])) == (408, True)
        await line.__aexit__()


async def test_strangers_make_room_for_one_another_and_none_for_a_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 4)
    async with served() as (harness, client), client.stream("GET", "/events") as stream:
        chunks = stream.aiter_bytes()
        await anext(chunks)
        first = await connect(harness)
        others = [await connect(harness) for _ in range(3)]
        assert await first.closed() in (b"", b"reset")
        others[-1].send(GET)
        assert (await others[-1].answer())[0] == 200
        line, _ = await harness.call()
        while b"call_started" not in await anext(chunks):
            pass
        await line.__aexit__()
        for each in (first, *others):
            await each.__aexit__()


async def test_many_connections_at_once_are_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are accepted in one step of the event loop: none of those that make room has gone then."""
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 4)
    async with served() as (harness, _):
        http, address = harness.gateway._http, harness.gateway.http_address
        assert http is not None and address is not None
        many = [socket.socket() for _ in range(50)]
        for each in many:
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect(address)
        await until(lambda: http._connections)
        async with await connect(harness) as last:  # after all others
            assert len(http._connections) <= 4
            last.send(GET)
            assert (await last.answer())[0] == 200
        for each in many:
            each.close()


async def test_a_reader_that_stops_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALLED_S", 0.2)
    monkeypatch.setattr(server, "CHECK_S", 0.05)
    async with served() as (harness, _):
        lines = [(await harness.call())[0] for _ in range(3)]
        assert harness.gateway.http_address is not None
        with socket.socket() as stopped:
            stopped.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            stopped.connect(harness.gateway.http_address)
            stopped.setblocking(False)
            http = harness.gateway._http
            assert http is not None
            await until(lambda: http._connections)
            request = b"GET /calls HTTP/1.1\r\nHost: localhost\r\n\r\n"
            loop = asyncio.get_running_loop()
            sending = loop.create_task(loop.sock_sendall(stopped, request * 20_000))
            await until(lambda: http._connections, lambda found: not found)
            sending.cancel()
        for line in lines:
            await line.__aexit__()


async def test_nothing_is_left_when_the_gateway_has_stopped() -> None:
    before = len(asyncio.all_tasks())
    async with served() as (harness, client):
        raw = await connect(harness)
        raw.send(GET[:-2])
        await client.get("/load")
        address = harness.gateway.http_address
    assert address is not None
    assert await raw.closed() in (b"", b"reset")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)
    await until(lambda: len(asyncio.all_tasks()), lambda count: count <= before)
    await raw.__aexit__()


async def test_the_url_of_the_harness() -> None:
    async with served() as (harness, client):
        assert str(client.base_url).startswith(url_of(harness.gateway))
