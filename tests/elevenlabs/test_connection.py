"""The agent link against a server that writes its bytes by hand, so that it can break every rule.

Where the clock matters the tests run on virtual time: the sockets are real, ten silent seconds are not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import struct
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from audiosocket_gw import USER_AGENT
from audiosocket_gw.causes import NotReading
from audiosocket_gw.elevenlabs import connection as link
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.elevenlabs.connection import AgentConnection, connect
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import AgentError
from audiosocket_gw.runtime.event_loop import GatewayEventLoop
from audiosocket_gw.runtime.loop_budget import BUDGET_S, LoopBudget
from audiosocket_gw.tap import Tap
from tests.harness.agent_messages import agent_response, audio_message, interruption, tool_call
from tests.harness.agent_peer import (
    AUDIO,
    BINARY,
    CLOSE,
    CONTINUATION,
    INITIATION,
    METADATA,
    METADATA_MESSAGE,
    PING,
    PONG,
    TEXT,
    AgentPeer,
    Behaviour,
    accepting,
    agent,
    closing,
    forever,
    frame,
    ignore,
    open_,
    ready,
    text,
    until_close,
)
from tests.harness.certificates import ELSEWHERE, EXPIRED, LOCALHOST, serving, trusting
from tests.harness.setup_steps import untold_steps

DEFERRED_S = 0.1
"""How late virtual time may be: on a busy machine a step may wait for the next turns (`LoopBudget`)."""


async def refusal(behave: Behaviour, timeout_s: float = 30) -> AgentError:
    """Return why no conversation came about."""
    async with agent(behave) as url:
        with pytest.raises(AgentError) as caught:
            await open_(url, timeout_s=timeout_s)
    return caught.value


async def ending(behave: Behaviour, tls: ssl.SSLContext | None = None) -> CallEnd:
    """Return how a conversation ended."""
    async with agent(behave, tls) as url:
        connection = await open_(url)
        try:
            return await connection.closed
        finally:
            await connection.close()


# Beginning


async def test_a_conversation() -> None:
    heard: list[tuple[int, bytes]] = []

    async def behave(peer: AgentPeer) -> None:
        await peer.begin(AUDIO)
        assert peer.request.startswith(b"GET /v1/convai/conversation?agent_id=a HTTP/1.1\r\n")
        heard.append(await peer.receive())
        peer.writer.write(AUDIO)
        heard.append(await peer.receive())
        peer.writer.write(closing(1000))

    said: list[messages.ServerMessage] = []
    async with agent(behave) as url:
        connection = await open_(url, said.append)
        connection.send_audio(b"\x00\x01")
        while len(said) < 3:
            await asyncio.sleep(0)
        await connection.close()
        assert connection.closed.done()
    assert said == [METADATA_MESSAGE, messages.Audio(b"\x01\x02", 1), messages.Audio(b"\x01\x02", 1)]
    assert heard[0] == (TEXT, b'{"user_audio_chunk":"AAE="}')
    assert heard[1] == (CLOSE, struct.pack("!H", 1000) + b"The call has ended")


async def test_all_that_comes_with_the_handshake_is_handled_in_order() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.upgrade(METADATA + AUDIO)
        assert await peer.receive() == (TEXT, INITIATION)
        await until_close(peer)

    said: list[messages.ServerMessage] = []
    async with agent(behave) as url:
        connection = await open_(url, said.append)
        assert said == [METADATA_MESSAGE, messages.Audio(b"\x01\x02", 1)]
        await connection.close()


def answering(response: bytes) -> Behaviour:
    async def behave(peer: AgentPeer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.write(response)

    return behave


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", EndReason.AGENT_UNAUTHORIZED),
        (b"HTTP/1.1 403 Forbidden\r\n\r\nno", EndReason.AGENT_UNAUTHORIZED),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", EndReason.AGENT_NOT_FOUND),
        (b"HTTP/1.1 422 What\r\nContent-Length: 2\r\n\r\n{}", EndReason.AGENT_REJECTED),
        (b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n", EndReason.AGENT_BUSY),
        (b"HTTP/1.1 401 No\r\nContent-Length: 14\r\n\r\nquota_exceeded", EndReason.AGENT_QUOTA),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", EndReason.AGENT_PROTOCOL),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 6\r\n\r\n<html>", EndReason.AGENT_UNREACHABLE),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", EndReason.AGENT_PROTOCOL),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: d3Jvbmc=\r\n\r\n",
            EndReason.AGENT_PROTOCOL,
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", EndReason.AGENT_PROTOCOL),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n", EndReason.AGENT_PROTOCOL),
        (b"x" * 100_000, EndReason.AGENT_PROTOCOL),
        (b"", EndReason.AGENT_LOST),
        (b"HTTP/1.1 101 Swi", EndReason.AGENT_LOST),
    ],
)
async def test_no_websocket(response: bytes, reason: EndReason) -> None:
    error = await refusal(answering(response))
    assert error.reason is reason
    assert len(str(error)) < 500


async def test_a_redirect_is_told_without_its_secrets_and_length() -> None:
    place = b"https://elsewhere.invalid/path?conversation_signature=secret"
    response = b"HTTP/1.1 307 Away\r\nLocation: " + place + b"\r\nContent-Length: 0\r\n\r\n"
    error = await refusal(answering(response))
    assert error.reason is EndReason.AGENT_PROTOCOL
    assert "HTTP 307" in str(error)
    assert "it redirects to https://elsewhere.invalid/path" in str(error)
    assert "secret" not in str(error)


async def test_the_upgrade_names_the_gateway() -> None:
    heads: list[bytes] = []

    async def behave(peer: AgentPeer) -> None:
        heads.append(await peer.reader.readuntil(b"\r\n\r\n"))

    await refusal(behave)
    assert f"\r\nUser-Agent: {USER_AGENT}\r\n".encode() in heads[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "ws:///path",
        "ws://127.0.0.1:99999/",
        "ws://127.0.0.1:x/",
        "ws://[::1",
        "ws://u:%ff@127.0.0.1/",
        "ws://127.0.0.1/#part",
        "ws://a..b/",
        f"ws://{'a' * 64}.invalid/",
    ],
)
async def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(AgentError) as caught:
        await open_(url)
    assert caught.value.reason in (EndReason.AGENT_PROTOCOL, EndReason.AGENT_UNREACHABLE)


async def test_no_one_listens() -> None:
    async with agent(forever) as url:
        pass
    with pytest.raises(AgentError) as caught:
        await open_(url)
    assert caught.value.reason is EndReason.AGENT_UNREACHABLE


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
async def test_a_private_address_where_a_public_one_is_required(over_tls: bool) -> None:
    requests: list[AgentPeer] = []

    async def behave(peer: AgentPeer) -> None:
        requests.append(peer)

    async with agent(behave, serving() if over_tls else None) as url:
        with pytest.raises(
            AgentError, match=r"private address 127.0.0.1.*ALLOW_PRIVATE_AGENT=true"
        ) as caught:
            await connect(
                url,
                ready(INITIATION),
                ignore,
                ssl_context=trusting(),
                timeout_s=30,
                queue_timeout_s=9,
                budget=LoopBudget(asyncio.get_running_loop()),
                steps=untold_steps(),
                public_only=True,
            )
    assert caught.value.reason is EndReason.AGENT_PROTOCOL
    assert requests == []


async def after_the_upgrade(peer: AgentPeer) -> None:
    await peer.upgrade()


async def after_the_initiation(peer: AgentPeer) -> None:
    await peer.upgrade()
    await peer.receive()


async def with_half_the_metadata(peer: AgentPeer) -> None:
    await peer.upgrade(METADATA[:20])


def torn(behave: Behaviour) -> Behaviour:
    """Reset the connection where ``behave`` would close it."""

    async def tear(peer: AgentPeer) -> None:
        await behave(peer)
        await peer.writer.drain()
        peer.cut()

    return tear


CUTS = [after_the_upgrade, after_the_initiation, with_half_the_metadata]


@pytest.mark.parametrize("behave", [*CUTS, *map(torn, CUTS)])
async def test_cut_before_the_conversation_began(behave: Behaviour) -> None:
    assert (await refusal(behave)).reason is EndReason.AGENT_LOST


async def closed_before_metadata(peer: AgentPeer) -> None:
    await peer.upgrade(
        text(type="error", message="no agent for you") + closing(1008, "Invalid message received")
    )


async def garbage_before_metadata(peer: AgentPeer) -> None:
    await peer.upgrade(frame(TEXT, b"hello"))
    await until_close(peer)


@pytest.mark.parametrize(
    ("behave", "reason", "complaint"),
    [
        (closed_before_metadata, EndReason.AGENT_REJECTED, "1008 Invalid message received; no agent for you"),
        (garbage_before_metadata, EndReason.AGENT_PROTOCOL, "not JSON"),
    ],
)
async def test_refused_before_the_conversation_began(
    behave: Behaviour, reason: EndReason, complaint: str
) -> None:
    error = await refusal(behave)
    assert error.reason is reason
    assert complaint in str(error)


async def dripping_its_response(peer: AgentPeer) -> None:
    peer.writer.write(b"HTTP/1.1 101 ")
    while True:
        peer.writer.write(b"x")
        await asyncio.sleep(1)


async def silent_after_the_upgrade(peer: AgentPeer) -> None:
    await peer.upgrade()
    await forever(peer)


async def only_pinging(peer: AgentPeer) -> None:
    await peer.upgrade()
    while True:
        peer.writer.write(frame(PING) + text(type="ping", ping_event={"event_id": 1}))
        await asyncio.sleep(1)


@pytest.mark.virtual_time
@pytest.mark.parametrize("behave", [forever, dripping_its_response, silent_after_the_upgrade, only_pinging])
async def test_each_step_has_a_deadline(behave: Behaviour) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    error = await refusal(behave, timeout_s=5)
    assert error.reason is EndReason.AGENT_TIMEOUT
    assert "in 5 s (AGENT_CONNECT_TIMEOUT)" in str(error)
    assert loop.time() - begun == pytest.approx(5, abs=DEFERRED_S)
    await asyncio.sleep(3600)  # a timer that was left behind would go off


@pytest.mark.parametrize("behave", [forever, silent_after_the_upgrade])
async def test_a_cancelled_beginning_leaves_no_connection(behave: Behaviour) -> None:
    came, gone = asyncio.Event(), asyncio.Event()

    async def watch(peer: AgentPeer) -> None:
        came.set()
        with contextlib.suppress(ConnectionError):
            await behave(peer)
        gone.set()

    async with agent(watch) as url:
        opening = asyncio.ensure_future(open_(url))
        await came.wait()
        await asyncio.wait([opening], timeout=0.05)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await gone.wait()


# The agent's messages


@pytest.mark.parametrize("event_id", [7, 0, "7", None])
async def test_a_ping_is_answered_at_once_with_its_id(event_id: int | str | None) -> None:
    answered: list[tuple[int, bytes]] = []

    async def behave(peer: AgentPeer) -> None:
        await peer.begin(text(type="ping", ping_event={"event_id": event_id, "ping_ms": 5_000}))
        answered.append(await peer.receive())

    await ending(behave)
    assert answered == [
        (TEXT, json.dumps({"type": "pong", "event_id": event_id}, separators=(",", ":")).encode())
    ]


async def test_websocket_pings_are_answered() -> None:
    answered: list[tuple[int, bytes]] = []

    async def behave(peer: AgentPeer) -> None:
        await peer.begin(frame(PING, b"are you there"))
        answered.append(await peer.receive())

    await ending(behave)
    assert answered == [(PONG, b"are you there")]


async def test_messages_in_pieces_and_in_binary_frames() -> None:
    body = AUDIO[2:]
    pieces = (
        frame(TEXT, body[:5], fin=False)
        + frame(PING)
        + frame(CONTINUATION, b"", fin=False)
        + frame(CONTINUATION, body[5:9], fin=False)
        + frame(CONTINUATION, body[9:])
        + frame(BINARY, body)
        + AUDIO
    )

    async def behave(peer: AgentPeer) -> None:
        await peer.begin()
        for byte in pieces:
            peer.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        peer.writer.write(closing(1000))
        await until_close(peer)

    said: list[messages.ServerMessage] = []
    async with agent(behave) as url:
        connection = await open_(url, said.append)
        await connection.closed
    assert said[1:] == 3 * [messages.Audio(b"\x01\x02", 1)]


async def test_metadata_may_come_twice() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin(METADATA + closing(1000))
        await until_close(peer)

    assert (await ending(behave)).reason is EndReason.AGENT_HANGUP


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
async def test_a_message_of_98_seconds(over_tls: bool) -> None:
    audio = bytes(98 * 16_000)
    message = text(**audio_message(audio, 1))

    async def behave(peer: AgentPeer) -> None:
        await peer.begin(message + closing(1000))
        await until_close(peer)

    said: list[messages.ServerMessage] = []
    async with agent(behave, serving() if over_tls else None) as url:
        connection = await open_(url, said.append)
        await connection.closed
    assert said[1] == messages.Audio(audio, 1)


# An agent that floods


async def flooding(peer: AgentPeer, piece: bytes) -> None:
    """Send without end, and read what comes."""
    await peer.begin()
    reading = asyncio.ensure_future(peer.reader.read())
    with contextlib.suppress(ConnectionError):
        while not reading.done():
            peer.writer.write(piece)
            await peer.writer.drain()


FLOODS = {
    "pings": frame(PING) * 1_000,
    "pongs": frame(PONG, b"x" * 125) * 100,
    "tiny messages": frame(TEXT, b"{}") * 1_000,
    "fragments": frame(TEXT, b"{", fin=False) + frame(CONTINUATION, fin=False) * 20_000,
    "JSON pings": text(type="ping", ping_event={"event_id": 1}) * 100,
    "interruptions": text(**interruption(1)) * 100,
    "errors": text(type="error", message="x" * 200) * 100,
    "tool calls": text(**tool_call("t")) * 100,
    "audio": text(**audio_message(bytes(100_000), 1)),
    "unknown messages": text(type="new", payload="x" * 1_000_000),
}


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", FLOODS)
async def test_an_agent_that_floods_is_given_up(name: str, over_tls: bool) -> None:
    closed = await ending(partial(flooding, piece=FLOODS[name]), serving() if over_tls else None)
    assert closed.reason is EndReason.AGENT_PROTOCOL
    assert "the agent floods" in closed.detail


class StepClock:
    """Real time, if each step took half of the budget."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += BUDGET_S / 1.9
        return self.now


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("last", [closing(1000), b""], ids=["closed", "cut"])
async def test_agents_that_send_much_share_the_loop(last: bytes, over_tls: bool) -> None:
    """Each of five sends 300 messages in one segment: a few in each iteration, all of them, and in order."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, GatewayEventLoop)
    told = [text(**agent_response(str(i), i)) for i in range(300)]

    async def behave(peer: AgentPeer) -> None:
        await peer.begin(b"".join(told) + last)

    budget = LoopBudget(loop, StepClock())
    steps: Counter[int] = Counter()
    heard: list[list[int]] = [[] for _ in range(5)]

    def listen(number: int, message: messages.ServerMessage) -> None:
        steps[loop.iteration] += 1
        if isinstance(message, messages.AgentResponse):
            heard[number].append(int(message.text))

    async with agent(behave, serving() if over_tls else None) as url:
        opened = await asyncio.gather(*(open_(url, partial(listen, i), budget=budget) for i in range(5)))
        ends = [await connection.closed for connection in opened]
    assert heard == 5 * [list(range(300))]
    assert max(steps.values()) <= 2
    assert {end.reason for end in ends} == {EndReason.AGENT_HANGUP if last else EndReason.AGENT_LOST}


class FullTransport(asyncio.Transport):
    """Takes what is written until it is ``full``."""

    def __init__(self, connection: AgentConnection) -> None:
        super().__init__()
        self._connection = connection
        self.written = b""
        self.full = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data
        if self.full:
            self._connection.pause_writing()

    def abort(self) -> None:
        self.full = False
        asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == link.MAX_UNSENT

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@pytest.mark.parametrize("piece", [frame(PING), text(type="ping", ping_event={"event_id": 1})])
@pytest.mark.parametrize("waits", [False, True], ids=["at once", "in its turn"])
async def test_an_agent_that_stops_reading_while_it_is_answered_is_given_up_once(
    piece: bytes, waits: bool
) -> None:
    budget = Gate(asyncio.get_running_loop())
    connection = AgentConnection("ws://h/", ignore, 30, budget)
    transport = FullTransport(connection)

    def receive(data: bytes) -> None:
        connection.get_buffer(-1)[: len(data)] = data
        connection.buffer_updated(len(data))

    connection.connection_made(transport)
    key = transport.written.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    receive(accepting(key) + METADATA)
    transport.full = True
    budget.is_open = not waits
    receive(3 * piece)
    assert transport.full is waits
    budget.is_open = True
    assert await connection.closed == CallEnd(EndReason.AGENT_LOST, NotReading())
    await asyncio.sleep(0.01)


class Gate(LoopBudget):
    is_open = True

    def has_time(self) -> bool:
        return self.is_open


async def test_while_messages_wait_nothing_more_is_read() -> None:
    sent = 0

    async def behave(peer: AgentPeer) -> None:
        nonlocal sent
        await peer.begin()
        piece = text(type="new", payload="x" * 1_000) * 60
        with contextlib.suppress(ConnectionError):
            while True:
                peer.writer.write(piece)
                sent += len(piece)
                await peer.writer.drain()

    budget = Gate(asyncio.get_running_loop())
    async with agent(behave) as url:
        connection = await open_(url, budget=budget)
        budget.is_open = False
        before = -1
        while sent != before:  # until the agent can't send any more
            before = sent
            await asyncio.sleep(0.2)
        assert len(connection._incoming._buffer) <= 65_536
        budget.is_open = True
        assert (await connection.closed).reason is EndReason.AGENT_PROTOCOL


# How it ends


@pytest.mark.parametrize(
    ("code", "text_", "reason"),
    [
        (1000, "", EndReason.AGENT_HANGUP),
        (3000, "quota_exceeded", EndReason.AGENT_QUOTA),
    ],
)
async def test_a_close_is_echoed_and_has_its_reason(code: int, text_: str, reason: EndReason) -> None:
    echoed: list[tuple[int, bytes]] = []

    async def behave(peer: AgentPeer) -> None:
        await peer.begin(closing(code, text_))
        echoed.append(await peer.receive())

    closed = await ending(behave)
    assert closed.reason is reason
    assert str(code) in closed.detail
    assert text_ in closed.detail
    assert echoed == [(CLOSE, struct.pack("!H", code) + text_.encode())]


async def test_a_close_without_a_code() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin(frame(CLOSE))
        await until_close(peer)

    closed = await ending(behave)
    assert closed.reason is EndReason.AGENT_LOST
    assert "a close without a code" in closed.detail


@pytest.mark.parametrize("between", [b"", text(type="error", message="The conversation ended")])
async def test_a_guardrail_before_the_end_is_told(between: bytes) -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin(text(type="guardrail_triggered") + between + closing(1002, "Session ended"))

    closed = await ending(behave)
    assert closed.reason is EndReason.AGENT_FAILED
    assert closed.detail.startswith("the agent closed with 1002 Session ended; ")
    assert "a guardrail was triggered" in closed.detail


async def test_a_guardrail_after_which_the_agent_went_on_is_not() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin(text(type="guardrail_triggered") + AUDIO + closing(1002))

    assert "guardrail" not in (await ending(behave)).detail


async def test_an_error_of_any_length_is_capped() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin(text(type="error", message="x" * 100_000) + closing(1011))

    assert len((await ending(behave)).detail) < 300


# The queue


def queue(status: str) -> bytes:
    return text(type="queue_status", queue_status_event={"status": status})


@pytest.mark.virtual_time
@pytest.mark.parametrize("statuses", [["waiting"], ["waiting", "waiting", "moved"]])
async def test_the_wait_in_the_queue_has_a_deadline_of_its_own(statuses: list[str]) -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.upgrade()
        for status in statuses:
            await asyncio.sleep(3)
            peer.writer.write(queue(status))
        await until_close(peer)
        peer.writer.close()

    loop = asyncio.get_running_loop()
    begun = loop.time()
    error = await refusal(behave, timeout_s=5)
    assert error.reason is EndReason.AGENT_BUSY
    assert "40 s in ElevenLabs' queue (AGENT_QUEUE_TIMEOUT)" in str(error)
    assert loop.time() - begun == pytest.approx(43, abs=DEFERRED_S)
    await asyncio.sleep(3600)


@pytest.mark.virtual_time
async def test_who_is_admitted_has_the_whole_deadline_again() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.upgrade(queue("waiting"))
        await asyncio.sleep(35)
        peer.writer.write(queue("admitted"))
        await asyncio.sleep(4.9)
        peer.writer.write(METADATA)
        await asyncio.sleep(10)
        peer.writer.write(closing(1000))
        await until_close(peer)

    async with agent(behave) as url:
        connection = await open_(url, timeout_s=5)
        assert (await connection.closed).reason is EndReason.AGENT_HANGUP


@pytest.mark.virtual_time
async def test_who_is_admitted_and_gets_no_conversation_times_out() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.upgrade(queue("waiting") + queue("admitted"))
        await forever(peer)

    loop = asyncio.get_running_loop()
    begun = loop.time()
    error = await refusal(behave, timeout_s=5)
    assert error.reason is EndReason.AGENT_TIMEOUT
    assert loop.time() - begun == pytest.approx(5, abs=DEFERRED_S)


@pytest.mark.virtual_time
@pytest.mark.parametrize("last", [b"", closing(1000), closing(1002), closing(3008), closing(4300)])
@pytest.mark.parametrize("first", [b"", METADATA], ids=["before", "after"])
async def test_a_queue_that_times_out_means_busy_whether_it_closes_or_not(first: bytes, last: bytes) -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.upgrade(first + queue("waiting") + queue("timed_out") + last)
        await until_close(peer)
        peer.writer.close()

    if first:
        closed = await ending(behave)
        reason, detail = closed.reason, closed.detail
    else:
        error = await refusal(behave)
        reason, detail = error.reason, str(error)
    assert reason is EndReason.AGENT_BUSY
    assert "the queue timed out" in detail


@pytest.mark.virtual_time
async def test_a_queue_after_the_metadata_has_a_deadline_too() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin(queue("waiting"))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                peer.writer.write(text(type="ping", ping_event={"event_id": 1}))
                await asyncio.sleep(2)

    closed = await ending(behave)
    assert closed.reason is EndReason.AGENT_BUSY
    assert "AGENT_QUEUE_TIMEOUT" in closed.detail


@pytest.mark.parametrize("last", [closing(1002), b""], ids=["closed", "cut"])
async def test_the_error_before_the_end_is_told(last: bytes) -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin(text(type="error", message="the voice is gone") + last)

    assert "the voice is gone" in (await ending(behave)).detail


@pytest.mark.parametrize("half", [b"", AUDIO[:10], AUDIO[:1]], ids=["between", "in-a-frame", "in-a-header"])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
async def test_cut_in_the_conversation(half: bytes, reset: bool, over_tls: bool) -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin(half)

    closed = await ending(torn(behave) if reset else behave, serving() if over_tls else None)
    assert closed.reason is EndReason.AGENT_LOST


GARBAGE = {
    "no JSON": frame(TEXT, b"hello"),
    "invalid UTF-8": frame(TEXT, b'{"type":"\xff"}'),
    "an array": frame(TEXT, b"[]"),
    "no base64": text(type="audio", audio_event={"audio_base_64": "?"}),
    "opcode 3": frame(3, b"x"),
    "opcode 11": frame(11, b"x"),
    "a masked frame": b"\x81\x81\x00\x00\x00\x00x",
    "a reserved bit": b"\xc1\x01x",
    "a long ping": frame(PING, bytes(126)),
    "a ping in pieces": frame(PING, fin=False),
    "a stray continuation": frame(CONTINUATION, b"x"),
    "text in text": frame(TEXT, b"{", fin=False) + frame(TEXT, b"{"),
    "close code 1": closing(1),
    "3 MiB": struct.pack("!BBQ", 0x81, 127, 3 * 2**20),
    "3 MiB in pieces": frame(TEXT, bytes(2**20), fin=False) + struct.pack("!BBQ", 0x80, 127, 2 * 2**20),
    "2 MiB of small members": frame(TEXT, b'{"type":"audio","x":{' + b'"a":1,' * 340_000 + b'"b":2}}'),
    "2 MiB of empty lists": frame(TEXT, b'{"type":"audio","x":[' + b"[]," * 650_000 + b"[]]}"),
    "2 MiB of alignment": text(
        type="audio",
        audio_event={
            "audio_base_64": "AAA=",
            "alignment": {
                "chars": ["a"] * 120_000,
                "char_start_times_ms": [1] * 120_000,
                "char_durations_ms": [2] * 120_000,
            },
        },
    ),
    "a tool call of 300 KB": text(**tool_call("t", text="x" * 300_000)),
    "a tool call with an endless id": text(
        type="client_tool_call", client_tool_call={"tool_name": "t", "tool_call_id": "x" * 201}
    ),
    "an impossible length": struct.pack("!BBQ", 0x81, 127, 2**63),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage(name: str) -> None:
    answer: list[tuple[int, bytes]] = []

    async def behave(peer: AgentPeer) -> None:
        await peer.begin(GARBAGE[name] + AUDIO)
        answer.append(await peer.receive())

    said: list[messages.ServerMessage] = []
    async with agent(behave) as url:
        connection = await open_(url, said.append)
        assert (await connection.closed).reason is EndReason.AGENT_PROTOCOL
    assert [message for message in said if isinstance(message, messages.Audio)] == []
    assert answer[0][0] == CLOSE


@pytest.mark.virtual_time
async def test_a_silent_agent_is_pinged_and_then_given_up() -> None:
    heard: list[tuple[int, bytes]] = []

    async def behave(peer: AgentPeer) -> None:
        await peer.begin()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                heard.append(await peer.receive())

    loop = asyncio.get_running_loop()
    begun = loop.time()
    closed = await ending(behave)
    assert closed.reason is EndReason.AGENT_LOST
    assert "silent for 20 s" in closed.detail
    assert loop.time() - begun == pytest.approx(2 * link.KEEPALIVE_S, abs=DEFERRED_S)
    assert heard == [(PING, b"")]


@pytest.mark.virtual_time
async def test_an_agent_that_answers_pings_may_be_silent() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin()
        for _ in range(30):
            opcode, payload = await peer.receive()
            assert opcode == PING
            peer.writer.write(frame(PONG, payload))
        peer.writer.write(closing(1000))
        await until_close(peer)

    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert (await ending(behave)).reason is EndReason.AGENT_HANGUP
    assert loop.time() - begun > 290


@pytest.mark.virtual_time
@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
async def test_an_agent_that_does_not_read_is_given_up(over_tls: bool) -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        while True:
            peer.writer.write(text(type="ping", ping_event={"event_id": 1}))
            await asyncio.sleep(2)

    loop = asyncio.get_running_loop()
    async with agent(behave, serving() if over_tls else None) as url:
        connection = await open_(url)
        begun = loop.time()
        for _ in range(400):
            connection.send_audio(bytes(65_536))
        closed = await connection.closed
        assert loop.time() == begun  # without waiting for a timer
    assert closed == CallEnd(EndReason.AGENT_LOST, NotReading())


@pytest.mark.virtual_time
@pytest.mark.parametrize("more", [b"", AUDIO], ids=["silent", "talking on"])
@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (closing(1000), EndReason.AGENT_HANGUP),
        (frame(TEXT, b"garbage"), EndReason.AGENT_PROTOCOL),
        (frame(3), EndReason.AGENT_PROTOCOL),
    ],
    ids=["closed", "no JSON", "opcode 3"],
)
@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
async def test_the_end_comes_though_the_agent_keeps_the_connection(
    last: bytes, reason: EndReason, more: bytes, over_tls: bool
) -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin()
        await asyncio.sleep(5)
        peer.writer.write(last)
        while True:
            await asyncio.sleep(1)
            peer.writer.write(more)

    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout(60):
        assert (await ending(behave, serving() if over_tls else None)).reason is reason
    assert loop.time() - begun == pytest.approx(5 + link.CLOSE_S, abs=DEFERRED_S)


@pytest.mark.virtual_time
@pytest.mark.parametrize("more", [b"", AUDIO], ids=["silent", "talking on"])
@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
async def test_our_close_ends_it_though_the_agent_does_not_answer(more: bytes, over_tls: bool) -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin()
        while True:
            peer.writer.write(more)
            await asyncio.sleep(1)

    loop = asyncio.get_running_loop()
    async with agent(behave, serving() if over_tls else None) as url:
        connection = await open_(url)
        begun = loop.time()
        await connection.close()
        assert connection.closed.done()
        assert loop.time() - begun == pytest.approx(link.CLOSE_S, abs=DEFERRED_S)
        await asyncio.sleep(3600)


@pytest.mark.virtual_time
async def test_an_agent_that_half_closes_and_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(5)
        peer.writer.write_eof()
        await asyncio.sleep(3600)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(link, "MAX_UNSENT", 100 * 2**20)
    async with agent(behave) as url:
        connection = await open_(url)
        for _ in range(400):
            connection.send_audio(bytes(65_536))
        begun = loop.time()
        assert (await connection.closed).reason is EndReason.AGENT_LOST
        assert loop.time() - begun == pytest.approx(5 + link.CLOSE_S, abs=DEFERRED_S)


@pytest.mark.virtual_time
async def test_a_cancelled_close_leaves_no_connection() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin()
        await forever(peer)
        await asyncio.sleep(3600)

    async with agent(behave) as url:
        connection = await open_(url)
        ended = asyncio.ensure_future(connection.close())
        await asyncio.sleep(0)
        ended.cancel()
        await asyncio.wait([ended])
        await asyncio.wait([connection.closed], timeout=link.CLOSE_S)
        assert connection.closed.done()


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    "last", [closing(1000), b"", frame(TEXT, b"garbage")], ids=["closed", "cut", "garbage"]
)
@pytest.mark.parametrize("over_tls", [False, True])
async def test_after_the_end_nothing_is_left_and_nothing_is_sent(last: bytes, over_tls: bool) -> None:
    """Also when the end comes in the same segment as the metadata."""

    async def behave(peer: AgentPeer) -> None:
        await peer.begin(last)

    tasks = asyncio.all_tasks()
    async with agent(behave, serving() if over_tls else None) as url:
        connection = await open_(url)
        # Whoever speaks to the agent does so at any moment: also between the end and the news of it.
        while not connection.closed.done():
            connection.send_audio(b"\x00\x00")
            await asyncio.sleep(0)
        connection.send_audio(b"\x00\x00")
        await connection.close()
        await connection.close()
    assert asyncio.all_tasks() == tasks
    await asyncio.sleep(3600)  # a timer that was left behind would go off


@pytest.mark.parametrize("reset", [False, True])
async def test_closing_in_the_moment_of_a_cut(reset: bool) -> None:
    cut = asyncio.Event()

    async def behave(peer: AgentPeer) -> None:
        await peer.begin()
        await cut.wait()

    async with agent(torn(behave) if reset else behave) as url:
        for steps in range(12):
            cut.clear()
            connection = await open_(url)
            cut.set()
            for _ in range(steps):
                await asyncio.sleep(0)
            await connection.close()
            assert connection.closed.done()


# TLS


async def test_a_conversation_over_tls() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin(AUDIO)
        opcode, _ = await peer.receive()
        assert opcode == CLOSE
        peer.writer.write(closing(1000))

    said: list[messages.ServerMessage] = []
    async with agent(behave, serving()) as url:
        connection = await open_(url, said.append)
        await connection.close()
        assert connection.closed.done()
    assert said[1] == messages.Audio(b"\x01\x02", 1)


@pytest.mark.parametrize(
    ("certificate", "trusted", "complaint"),
    [
        (LOCALHOST, ELSEWHERE, "certificate verify failed: self-signed certificate"),
        (EXPIRED, EXPIRED, "certificate has expired"),
        (ELSEWHERE, ELSEWHERE, "certificate is not valid for '127.0.0.1'"),
    ],
    ids=["unknown authority", "expired", "another host"],
)
async def test_a_certificate_that_proves_nothing(certificate: Path, trusted: Path, complaint: str) -> None:
    async with agent(forever, serving(certificate)) as url:
        with pytest.raises(AgentError) as caught:
            await connect(
                url,
                ready(INITIATION),
                ignore,
                ssl_context=trusting(trusted),
                timeout_s=30,
                queue_timeout_s=9,
                budget=LoopBudget(asyncio.get_running_loop()),
                steps=untold_steps(),
            )
    assert caught.value.reason is EndReason.AGENT_UNREACHABLE
    assert complaint in str(caught.value)


async def test_tls_to_a_port_without_it() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.reader.read(1)
        peer.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with agent(behave) as url:
        with pytest.raises(AgentError) as caught:
            await open_(url.replace("ws:", "wss:"))
    assert caught.value.reason is EndReason.AGENT_UNREACHABLE


@pytest.mark.parametrize("reset", [False, True])
async def test_cut_in_the_tls_handshake(reset: bool) -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.reader.read(1)  # what is left unread makes it a reset

    async with agent(torn(behave) if reset else behave) as url:
        with pytest.raises(AgentError) as caught:
            await open_(url.replace("ws:", "wss:"))
    assert caught.value.reason is EndReason.AGENT_UNREACHABLE
    assert not str(caught.value).endswith(": ")


@pytest.mark.virtual_time
async def test_the_deadline_holds_for_the_tls_handshake() -> None:
    loop = asyncio.get_running_loop()
    async with agent(forever) as url:
        with pytest.raises(AgentError) as caught:
            await open_(url.replace("ws:", "wss:"), timeout_s=5)
    assert caught.value.reason is EndReason.AGENT_TIMEOUT
    assert "in 5 s (AGENT_CONNECT_TIMEOUT)" in str(caught.value)
    assert loop.time() == pytest.approx(5, abs=DEFERRED_S)
    await asyncio.sleep(3600)  # a timer that was left behind would go off


async def test_a_closing_frame_is_the_last_word_though_tls_is_cut_off() -> None:
    """Many servers don't trouble to end TLS; only the agent itself can have sent that frame."""

    async def behave(peer: AgentPeer) -> None:
        await peer.begin(closing(1000))
        await until_close(peer)
        peer.cut()

    assert (await ending(behave, serving())).reason is EndReason.AGENT_HANGUP


async def test_tls_that_is_cut_off_is_told_from_tls_that_is_ended() -> None:
    async def behave(peer: AgentPeer) -> None:
        await peer.begin()

    async def cut(peer: AgentPeer) -> None:
        await peer.begin()
        await peer.writer.drain()
        peer.cut()

    ended, cut_off = await ending(behave, serving()), await ending(cut, serving())
    assert (ended.reason, cut_off.reason) == (EndReason.AGENT_LOST, EndReason.AGENT_LOST)
    assert "closed without a closing handshake" in ended.detail
    assert "TLS was cut off" in cut_off.detail


# Listening in


class ListeningTap(Tap):
    def __init__(self) -> None:
        self.from_agent: list[bytes] = []
        self.to_agent: list[bytes] = []

    def on_agent_message(self, message: bytes) -> None:
        self.from_agent.append(message)

    def on_client_message(self, message: bytes) -> None:
        self.to_agent.append(message)


async def test_a_tap_hears_the_messages_both_ways_but_not_the_caller() -> None:
    body = b'{"type":"ping","ping_event":{"event_id":7}}'
    garbage = b"not JSON at all"

    async def behave(peer: AgentPeer) -> None:
        await peer.begin(frame(TEXT, body[:9], fin=False) + frame(CONTINUATION, body[9:]))
        assert await peer.receive() == (TEXT, b'{"type":"pong","event_id":7}')
        assert await peer.receive() == (TEXT, b'{"user_audio_chunk":"AAE="}')
        assert await peer.receive() == (TEXT, b'{"type":"user_activity"}')
        peer.writer.write(frame(TEXT, garbage) + AUDIO)
        await until_close(peer)

    ear = ListeningTap()
    async with agent(behave) as url:
        connection = await open_(url, tap=ear)
        while len(ear.to_agent) < 2:
            await asyncio.sleep(0)
        connection.send_audio(b"\x00\x01")
        connection.send(b'{"type":"user_activity"}')
        await connection.closed
        connection.send(b'{"type":"user_activity"}')
    assert ear.from_agent == [METADATA[2:] if METADATA[1] < 126 else METADATA[4:], body, garbage]
    assert ear.to_agent == [INITIATION, b'{"type":"pong","event_id":7}', b'{"type":"user_activity"}']
