"""The server against peers that are not Asterisk, and its limits: other calls never notice."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from uuid import uuid4

import pytest

from audiosocket_gw import call, events, server
from audiosocket_gw.events import EndReason
from audiosocket_gw.protocol.audiosocket import (
    HANGUP_FRAME,
    HEADER,
    Audio,
    Hangup,
    Kind,
    encode_audio,
    encode_identity,
)
from tests.stage import SILENCE, Line, Stage, ramp, stage

UUID_FRAME = encode_identity(uuid4())

HOSTILE = {
    "garbage": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "audio before the UUID": encode_audio(Kind.SLIN, SILENCE),
    "DTMF before the UUID": b"\x03\x00\x015",
    "UUID of the wrong length": b"\x01\x00\x0f" + bytes(15),
    "hang-up before the UUID": HANGUP_FRAME,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


async def _one_healthy_call_throughout(on_stage: Stage) -> Line:
    line, _ = await on_stage.call()
    return line


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_peer_that_begins_wrongly_is_closed_with_one_log_line(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage() as on_stage, await _one_healthy_call_throughout(on_stage) as healthy:
        caplog.clear()
        async with await on_stage.line() as line:
            line.send(data)
            await line.ended.wait()
        records = [r for r in caplog.records if r.name.startswith("audiosocket_gw")]
        assert len(records) == 1 and records[0].levelno == logging.WARNING
        assert "127.0.0.1" in records[0].message
        assert line.frames == []
        assert on_stage.gateway.calls == 1 and not healthy.ended.is_set()


BROKEN_IN_MID_CALL = {
    "a second UUID": UUID_FRAME,
    "a frame longer than any": HEADER.pack(Kind.SLIN, 60_000),
    "empty audio": b"\x10\x00\x00",
    "a DTMF byte that is none": b"\x03\x00\x01x",
    "an error frame": b"\xff\x00\x01\x02",
}


@pytest.mark.parametrize("data", BROKEN_IN_MID_CALL.values(), ids=BROKEN_IN_MID_CALL.keys())
async def test_a_peer_that_goes_wrong_in_mid_call_loses_its_own_call_only(data: bytes) -> None:
    async with stage() as on_stage, await _one_healthy_call_throughout(on_stage) as healthy:
        line, conversation = await on_stage.call()
        async with line:
            line.send(data)
            await line.ended.wait()
            ended = await on_stage.wait_for(events.CallEnded, line.uuid)
        assert ended.reason is EndReason.CALLER_PROTOCOL
        await conversation.ended.wait()
        assert on_stage.gateway.calls == 1 and not healthy.ended.is_set()


async def test_frames_of_an_unknown_kind_are_survived() -> None:
    async with stage() as on_stage:
        line, conversation = await on_stage.call()
        async with line:
            line.send(b"\x42\x00\x03abc" + encode_audio(Kind.SLIN, b"\x07" * 320))
            while b"\x07" * 320 not in conversation.received_audio:
                await asyncio.sleep(0.01)


async def test_a_hang_up_frame_from_the_other_side_ends_the_call() -> None:
    async with stage() as on_stage:
        line, _ = await on_stage.call()
        async with line:
            line.send(HANGUP_FRAME)
            await line.ended.wait()
        assert (await on_stage.wait_for(events.CallEnded)).reason is EndReason.CALLER_HANGUP


@pytest.mark.parametrize("data", [b"", b"\x01", UUID_FRAME[:-1]], ids=["nothing", "one byte", "all but one"])
async def test_a_peer_without_a_whole_uuid_is_closed_at_the_deadline(data: bytes) -> None:
    async with stage(handshake_timeout=0.2) as on_stage, await on_stage.line() as line:
        line.send(data)
        await line.ended.wait()
        assert on_stage.gateway.calls == 0


async def test_half_a_frame_for_ever_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "STALL_TICKS", 15)
    async with stage() as on_stage:
        line, _ = await on_stage.call()
        async with line:
            line.send(HEADER.pack(Kind.SLIN, 320) + b"half")
            await line.ended.wait()
        ended = await on_stage.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_PROTOCOL
        assert "unfinished" in ended.detail


async def test_a_peer_faster_than_real_time_is_ended() -> None:
    async with stage() as on_stage:
        line, _ = await on_stage.call()
        async with line:
            line.say(SILENCE * 2000)
            await line.ended.wait()
        ended = await on_stage.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_PROTOCOL
        assert "real time" in ended.detail


async def test_a_peer_that_reads_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "STALL_TICKS", 10)
    async with stage() as on_stage:
        sender = socket.create_connection(on_stage.gateway.address)
        with sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            sender.sendall(UUID_FRAME)
            await on_stage.wait_for(events.AgentConnected)
            # The gateway's own buffer must fill, too: a frame at a time would take the kernel's megabytes.
            connection = next(iter(on_stage.gateway._server._connections))
            connection._transport.write(encode_audio(Kind.SLIN, SILENCE) * 60_000)
            ended = await on_stage.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_STALLED


async def test_a_full_gateway_refuses_at_once_and_politely() -> None:
    async with stage(max_calls=1) as on_stage, await _one_healthy_call_throughout(on_stage) as healthy:
        async with await on_stage.line() as refused:
            await refused.ended.wait()  # without having sent its UUID
            assert refused.frames == [Hangup()]
            assert not refused.reset
        assert not healthy.ended.is_set()


async def test_an_overloaded_gateway_refuses_until_it_is_calm(caplog: pytest.LogCaptureFixture) -> None:
    async with stage() as on_stage, await _one_healthy_call_throughout(on_stage) as healthy:
        on_stage.gateway.load.overloaded = True
        on_stage.gateway.load._lately = 100.0  # for a while, whatever the next windows are like
        async with await on_stage.line() as refused:
            await refused.ended.wait()
            assert refused.frames == [Hangup()]
            assert not refused.reset
        assert "overloaded" in caplog.text
        while on_stage.gateway.load.overloaded:  # the machine has nothing else to do
            await asyncio.sleep(0.1)
        line, _ = await on_stage.call()
        await line.__aexit__()
        assert not healthy.ended.is_set()


async def test_overload_is_borne_when_set_so() -> None:
    async with stage(refuse_overload=False) as on_stage:
        on_stage.gateway.load.overloaded = True
        line, _ = await on_stage.call()
        await line.__aexit__()


async def test_two_that_come_for_the_last_place_get_one_call() -> None:
    async with (
        stage(max_calls=1) as on_stage,
        await on_stage.line() as first,
        await on_stage.line() as second,
    ):
        await asyncio.sleep(0.05)
        first.identify()
        await on_stage.wait_for(events.CallStarted)
        second.identify()
        await second.ended.wait()
        assert second.frames == [Hangup()]


async def test_the_same_uuid_twice_is_refused() -> None:
    async with stage() as on_stage, await _one_healthy_call_throughout(on_stage) as healthy:
        async with await on_stage.line() as twin:
            twin.identify(healthy.uuid)
            await twin.ended.wait()
            assert twin.frames == [Hangup()]
        assert not healthy.ended.is_set()
        # and free again when the first has gone
        healthy.writer.close()
        await on_stage.wait_for_calls(0)
        async with await on_stage.line() as again:
            again.identify(healthy.uuid)
            await on_stage.wait_for_calls(1)


async def test_a_peer_outside_allowed_peers_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(allowed_peers="192.0.2.0/24") as on_stage, await on_stage.line() as line:
        line.identify()
        await line.ended.wait()
        assert line.frames == []
    assert "ALLOWED_PEERS=192.0.2.0/24" in caplog.text


async def test_a_peer_inside_allowed_peers_is_served() -> None:
    async with stage(allowed_peers="192.0.2.0/24,127.0.0.0/8") as on_stage:
        line, _ = await on_stage.call()
        await line.__aexit__()


async def test_a_flood_of_connections_leaves_the_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SPARE_CONNECTIONS", 5)
    async with stage(max_calls=2) as on_stage, await _one_healthy_call_throughout(on_stage) as healthy:
        for _ in range(20):
            lines = [await on_stage.line() for _ in range(25)]
            await asyncio.gather(*(line.__aexit__() for line in lines))
        before = len(healthy.frames)
        while len(healthy.frames) < before + 10:
            await asyncio.sleep(0.02)
        assert all(isinstance(frame, Audio) for frame in healthy.frames)
        line, _ = await on_stage.call()  # and there is room again
        await line.__aexit__()


async def test_an_unread_connection_ends_without_a_reset() -> None:
    """Sound that Asterisk still sends while we hang up must not turn the end into an error."""
    async with stage() as on_stage:
        line, conversation = await on_stage.call()
        async with line:
            ending = asyncio.create_task(conversation.close(1000))
            while not line.ended.is_set():
                line.send(encode_audio(Kind.SLIN, SILENCE))
                await asyncio.sleep(0.002)
            await ending
            assert line.hung_up and not line.reset


async def test_asterisk_that_never_closes_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LINGER_S", 0.2)
    async with stage() as on_stage:
        raw = socket.create_connection(on_stage.gateway.address)
        with raw:
            raw.sendall(UUID_FRAME)
            await on_stage.wait_for(events.AgentConnected)
            await on_stage.simulator.conversations[0].close(1000)
            await on_stage.wait_for_calls(0)
            while on_stage.gateway._server._connections:
                await asyncio.sleep(0.02)


# Sound that is collected at the tick


async def test_collected_sound_arrives_whole_in_both_ways_of_reading() -> None:
    sound = ramp(1_000)
    async with stage() as on_stage:
        line, agent = await on_stage.call()
        async with line:
            for number, start in enumerate(range(0, len(sound), 3_200)):
                on_stage.gateway.load.bundle_frames = 1 + number % 3
                line.say(sound[start : start + 3_200])
                await asyncio.sleep(0.06)
            while sound not in agent.received_audio:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("reset", [False, True])
async def test_the_end_is_noticed_though_sound_is_collected(reset: bool) -> None:
    async with stage(audio_chunk_ms=60) as on_stage:
        line, _ = await on_stage.call()
        if reset:
            reset_connection(line)
        else:
            line.writer.close()
        ended = await on_stage.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_HANGUP
        await on_stage.wait_for_calls(0)
        await line.__aexit__()


async def test_a_connection_that_broke_is_called_that_though_sound_is_collected() -> None:
    async with stage() as on_stage:
        line, _ = await on_stage.call()
        (connection,) = on_stage.gateway._server._connections
        connection.collect()
        reset_connection(line)
        for _ in range(3):  # until the line's transport has closed its socket
            await asyncio.sleep(0)
        connection.collect()
        ended = await on_stage.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_HANGUP
        assert ended.detail.startswith("the connection to Asterisk broke: ")
        await on_stage.wait_for_calls(0)
        await line.__aexit__()


def reset_connection(line: Line) -> None:
    connection = line.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.writer.transport.abort()


async def test_collected_sound_does_not_turn_our_end_into_a_reset() -> None:
    async with stage(audio_chunk_ms=60) as on_stage:
        line, agent = await on_stage.call()
        async with line:
            ending = asyncio.create_task(agent.close(1000))
            while not line.ended.is_set():
                line.send(encode_audio(Kind.SLIN, SILENCE))
                await asyncio.sleep(0.002)
            await ending
            assert line.hung_up
            assert not line.reset
