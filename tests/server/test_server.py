"""The server against peers that are not Asterisk, and its limits: other calls never notice."""

from __future__ import annotations

import asyncio
import logging
import operator
import socket
import struct
from dataclasses import replace
from uuid import uuid4

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.protocol.audiosocket import (
    HANGUP_FRAME,
    HEADER,
    Audio,
    Hangup,
    Kind,
    encode_audio,
    encode_dtmf,
    encode_identity,
)
from audiosocket_gw.server.admission import SPARE_CONNECTIONS
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.audio import SILENCE, ramp
from tests.harness.gateway import MANUAL, GatewayHarness, running_gateway
from tests.harness.waiting import until

UUID_FRAME = encode_identity(uuid4())

HOSTILE = {
    "garbage": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "audio before the UUID": encode_audio(Kind.SLIN, SILENCE),
    "DTMF before the UUID": b"\x03\x00\x015",
    "UUID of the wrong length": b"\x01\x00\x0f" + bytes(15),
    "hang-up before the UUID": HANGUP_FRAME,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


async def _one_healthy_call_throughout(harness: GatewayHarness) -> AsteriskPeer:
    line, _ = await harness.call()
    return line


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_peer_that_begins_wrongly_is_closed_with_one_log_line(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_gateway() as harness, await _one_healthy_call_throughout(harness) as healthy:
        caplog.clear()
        async with await harness.line() as line:
            line.send(data)
            await line.ended.wait()
        records = [r for r in caplog.records if r.name.startswith("audiosocket_gw")]
        assert len(records) == 1 and records[0].levelno == logging.WARNING
        assert "127.0.0.1" in records[0].message
        assert line.frames == []
        assert harness.gateway.calls == 1 and not healthy.ended.is_set()


STRANGERS = {
    "PROXY protocol": b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 5001\r\n" + UUID_FRAME,
    "PROXY protocol header": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12) + UUID_FRAME,
    "HTTP": b"GET /health HTTP/1.1\r\n\r\n",
    "TLS": HOSTILE["TLS"],
}


@pytest.mark.parametrize(("name", "data"), STRANGERS.items(), ids=STRANGERS.keys())
async def test_a_refusal_names_who_is_no_asterisk(
    name: str, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_gateway() as harness, await harness.line() as line:
        line.send(data)
        await line.ended.wait()
    assert f"this is {name}" in caplog.text.replace("this is a ", "this is ")


@pytest.mark.parametrize("reset", [False, True])
async def test_a_health_check_that_connects_and_closes_is_no_warning(
    reset: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_gateway() as harness:
        caplog.set_level(logging.DEBUG, "audiosocket_gw.server")
        for _ in range(5):
            _, writer = await asyncio.open_connection(*harness.gateway.address)
            if reset:  # as HAProxy does
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()
        await until(lambda: caplog.text.count("closed before a call began"), lambda count: count >= 5)
    assert [r.message for r in caplog.records if r.levelno > logging.INFO] == []


async def test_a_peer_that_stops_within_its_first_frame_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_gateway() as harness, await harness.line() as line:
        line.send(UUID_FRAME[:5])
        line.writer.write_eof()
        await line.ended.wait()
    assert [r.levelno for r in caplog.records if "closed before a call began" in r.message] == [
        logging.WARNING
    ]


NO_AUDIO = {
    "empty audio": b"\x10\x00\x00",
    "empty audio of another rate": b"\x16\x00\x00",
    "comfort noise with a spectrum": b"\x10\x00\x03\x12\x34\x56",
    "comfort noise with a longer one": b"\x10\x00\x0a" + bytes(range(10)),
}
MEANINGLESS = {
    "a second UUID": UUID_FRAME,
    "a UUID of no length": b"\x01\x00\x00",
    "a DTMF byte that is none": b"\x03\x00\x01x",
    "the fax tone as DTMF": b"\x03\x00\x01f",
    "two keys in one frame": b"\x03\x00\x0212",
    "no key in a frame": b"\x03\x00\x00",
    "an error frame": b"\xff\x00\x01\x02",
    "an error frame without a code": b"\xff\x00\x00",
    "an unknown kind": b"\x42\x00\x03abc",
    "the longest frame of an unknown kind": b"\x42\xff\xff" + bytes(65_535),
}
WORD = ramp(20, start=9_000)


@pytest.mark.parametrize("data", (NO_AUDIO | MEANINGLESS).values(), ids=(NO_AUDIO | MEANINGLESS).keys())
async def test_no_frame_after_the_uuid_ends_a_call_or_moves_a_sample(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_gateway() as harness:
        line, conversation = await harness.call()
        async with line:
            for _ in range(3):
                line.send(data + encode_audio(Kind.SLIN, WORD) + data + encode_dtmf("5"))
            await until(lambda: bytes(conversation.log.received_audio).count(WORD), lambda count: count >= 3)
            await until(lambda: len(harness.of(events.DigitPressed)), lambda count: count == 3)
            assert harness.gateway.calls == 1
        assert bytes(conversation.log.received_audio).replace(WORD, b"").strip(b"\0") == b""
    warnings = [r.getMessage() for r in caplog.records if "ignored" in r.message and r.levelname == "WARNING"]
    assert len(warnings) == (data in MEANINGLESS.values()), "one line, however many frames"


async def test_an_error_frame_that_reports_a_hang_up_is_one() -> None:
    async with running_gateway() as harness:
        line, _ = await harness.call()
        async with line:
            line.send(b"\xff\x00\x01\x01")
            await line.ended.wait()
        assert (await harness.wait_for(events.CallEnded)).reason is EndReason.CALLER_HANGUP


@pytest.mark.parametrize("key", "abcdABCD")
async def test_letters_are_keys_in_either_case(key: str) -> None:
    async with running_gateway() as harness:
        line, _ = await harness.call()
        async with line:
            line.send(b"\x03\x00\x01" + key.encode())
            assert (await harness.wait_for(events.DigitPressed)).digit == key.upper()


@pytest.mark.parametrize("size", [81, 319, 321, 641])
async def test_a_frame_of_an_odd_length_shifts_nothing(size: int) -> None:
    """Each frame begins with a whole sample; the agent gets whole ones only."""
    odd = ramp(50)[:size]
    async with running_gateway() as harness:
        line, conversation = await harness.call()
        async with line:
            line.send(encode_audio(Kind.SLIN, SILENCE))
            for _ in range(3):
                line.send(encode_audio(Kind.SLIN, odd) + encode_audio(Kind.SLIN, WORD))
            await until(lambda: bytes(conversation.log.received_audio).count(WORD), lambda count: count >= 3)
        assert odd[:-1] + WORD in bytes(conversation.log.received_audio)
        assert all(size % 2 == 0 for _, size in conversation.log.received_audio_sizes)


@pytest.mark.parametrize("frame_ms", [100, 120, 600])
async def test_long_packets_at_48_khz_are_heard_whole(frame_ms: int) -> None:
    scenario = replace(MANUAL, input_format="pcm_48000", output_format="pcm_48000")
    said = ramp(frame_ms * 6)
    async with running_gateway(scenario) as harness:
        line, conversation = await harness.call()
        async with line:
            line.send(encode_audio(Kind.SLIN48, said))
            await until(lambda: conversation.log.received_audio, lambda heard: said in heard)


async def test_silence_is_filled_in_between_frames_that_are_no_audio() -> None:
    """Comfort noise every 100 ms would otherwise be all that an agent gets, which hangs up after a minute."""
    async with running_gateway() as harness:
        line, conversation = await harness.call()
        async with line:
            before = len(conversation.log.received_audio)
            while len(conversation.log.received_audio) < before + 10 * 320:
                line.send(b"\x10\x00\x00" + b"\x10\x00\x03\x12\x34\x56")
                await asyncio.sleep(0.1)


FLOODS = {
    "empty audio": b"\x10\x00\x00",
    "one byte of audio": b"\x10\x00\x01\x07",
    "an unknown kind": b"\x42\x00\x00",
    "error frames": b"\xff\x00\x00",
    "keys that are none": b"\x03\x00\x01x",
    "comfort noise": b"\x10\x00\x03\x12\x34\x56",
}


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_of_frames_that_mean_nothing_ends_its_own_call_only(frame: bytes) -> None:
    async with running_gateway() as harness, await _one_healthy_call_throughout(harness) as healthy:
        line, _ = await harness.call()
        async with line:
            line.send(frame * 40_000)
            await line.ended.wait()
            ended = await harness.wait_for(events.CallEnded, line.uuid)
        assert ended.reason is EndReason.CALLER_PROTOCOL
        assert "real time" in ended.detail
        assert harness.gateway.calls == 1 and not healthy.ended.is_set()


async def test_a_hang_up_frame_from_the_other_side_ends_the_call() -> None:
    async with running_gateway() as harness:
        line, _ = await harness.call()
        async with line:
            line.send(HANGUP_FRAME)
            await line.ended.wait()
        assert (await harness.wait_for(events.CallEnded)).reason is EndReason.CALLER_HANGUP


@pytest.mark.parametrize("data", [b"", b"\x01", UUID_FRAME[:-1]], ids=["nothing", "one byte", "all but one"])
async def test_a_peer_without_a_whole_uuid_is_closed_at_the_deadline(data: bytes) -> None:
    async with running_gateway(handshake_timeout=0.2) as harness, await harness.line() as line:
        line.send(data)
        await line.ended.wait()
        assert harness.gateway.calls == 0


@pytest.mark.virtual_time
async def test_half_a_frame_for_ever_ends_the_call() -> None:
    async with running_gateway() as harness:
        line, _ = await harness.call()
        async with line:
            line.send(HEADER.pack(Kind.SLIN, 320) + b"half")
            await line.ended.wait()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_PROTOCOL
        assert "unfinished" in ended.detail


async def test_a_peer_faster_than_real_time_is_ended() -> None:
    async with running_gateway() as harness:
        line, _ = await harness.call()
        async with line:
            line.say(SILENCE * 2000)
            await line.ended.wait()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_PROTOCOL
        assert "real time" in ended.detail


@pytest.mark.virtual_time
async def test_a_peer_that_reads_nothing_is_ended() -> None:
    async with running_gateway() as harness:
        sender = socket.create_connection(harness.gateway.address)
        with sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            sender.sendall(UUID_FRAME)
            await harness.wait_for(events.AgentConnected)
            # The gateway's own buffer must fill, too: a frame at a time would take the kernel's megabytes.
            connection = next(iter(harness.gateway._server._connections))
            connection._transport.write(encode_audio(Kind.SLIN, SILENCE) * 60_000)
            ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_STALLED


async def test_a_full_gateway_refuses_at_once_and_politely() -> None:
    async with (
        running_gateway(max_calls=1) as harness,
        await _one_healthy_call_throughout(harness) as healthy,
    ):
        async with await harness.line() as refused:
            await refused.ended.wait()  # without having sent its UUID
            assert refused.frames == [Hangup()]
            assert not refused.reset
        assert not healthy.ended.is_set()


async def test_an_overloaded_gateway_refuses_until_it_is_calm(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        running_gateway(refuse_overload=True) as harness,
        await _one_healthy_call_throughout(harness) as healthy,
    ):
        process = harness.overload()
        async with await harness.line() as refused:
            await refused.ended.wait()
            assert refused.frames == [Hangup()]
            assert not refused.reset
        assert "overloaded" in caplog.text
        process.windows(40, busy=0.1)
        assert not harness.load.overloaded
        line, _ = await harness.call()
        await line.__aexit__()
        assert not healthy.ended.is_set()


async def test_overload_is_borne_when_set_so() -> None:
    async with (
        running_gateway(refuse_overload=False) as harness,
        await _one_healthy_call_throughout(harness),
    ):
        harness.overload()
        line, _ = await harness.call()
        assert harness.load.overloaded
        await line.__aexit__()


async def test_two_that_come_for_the_last_place_get_one_call() -> None:
    async with (
        running_gateway(max_calls=1) as harness,
        await harness.line() as first,
        await harness.line() as second,
    ):
        await asyncio.sleep(0.05)
        first.identify()
        await harness.wait_for(events.CallStarted)
        second.identify()
        await second.ended.wait()
        assert second.frames == [Hangup()]


async def test_the_same_uuid_twice_is_refused() -> None:
    async with running_gateway() as harness, await _one_healthy_call_throughout(harness) as healthy:
        async with await harness.line() as twin:
            twin.identify(healthy.uuid)
            await twin.ended.wait()
            assert twin.frames == [Hangup()]
        assert not healthy.ended.is_set()
        # and free again when the first has gone
        healthy.writer.close()
        await harness.wait_for_calls(0)
        async with await harness.line() as again:
            again.identify(healthy.uuid)
            await harness.wait_for_calls(1)


async def test_a_peer_outside_allowed_peers_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    async with running_gateway(allowed_peers="192.0.2.0/24") as harness, await harness.line() as line:
        line.identify()
        await line.ended.wait()
        assert line.frames == []
    assert "ALLOWED_PEERS=192.0.2.0/24" in caplog.text


async def test_a_peer_inside_allowed_peers_is_served() -> None:
    async with running_gateway(allowed_peers="192.0.2.0/24,127.0.0.0/8") as harness:
        line, _ = await harness.call()
        await line.__aexit__()


async def test_a_flood_of_connections_leaves_the_call_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        running_gateway(max_calls=2) as harness,
        await _one_healthy_call_throughout(harness) as healthy,
    ):
        for _ in range(4):
            lines = [await harness.line() for _ in range(SPARE_CONNECTIONS + 25)]
            await asyncio.gather(*(line.__aexit__() for line in lines))
        before = len(healthy.frames)
        await until(lambda: len(healthy.frames), lambda count: count >= before + 10)
        assert all(isinstance(frame, Audio) for frame in healthy.frames)
        assert "connections are open already (MAX_CALLS=2)" in caplog.text
        line, _ = await harness.call()  # and there is room again
        await line.__aexit__()


async def test_an_unread_connection_ends_without_a_reset() -> None:
    """Audio that Asterisk still sends while we hang up must not turn the end into an error."""
    async with running_gateway() as harness:
        line, conversation = await harness.call()
        async with line:
            ending = asyncio.create_task(conversation.connection.close(1000))
            while not line.ended.is_set():
                line.send(encode_audio(Kind.SLIN, SILENCE))
                await asyncio.sleep(0.002)
            await ending
            assert line.hung_up and not line.reset


async def test_asterisk_that_never_closes_is_cut() -> None:
    async with running_gateway() as harness:
        raw = socket.create_connection(harness.gateway.address)
        with raw:
            raw.sendall(UUID_FRAME)
            await harness.wait_for(events.AgentConnected)
            await harness.simulator.conversations[0].connection.close(1000)
            await harness.wait_for_calls(0)
            await until(lambda: harness.gateway._server._connections, operator.not_)


# Audio that is collected at the tick


async def test_collected_audio_arrives_whole_in_both_ways_of_reading() -> None:
    audio = ramp(1_000)
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            for number, start in enumerate(range(0, len(audio), 3_200)):
                harness.load.batch_frames = 1 + number % 3
                line.say(audio[start : start + 3_200])
                await asyncio.sleep(0.06)
            await until(lambda: agent.log.received_audio, lambda heard: audio in heard)


@pytest.mark.parametrize("reset", [False, True])
async def test_the_end_is_noticed_though_audio_is_collected(reset: bool) -> None:
    async with running_gateway(audio_chunk_ms=60) as harness:
        line, _ = await harness.call()
        if reset:
            reset_connection(line)
        else:
            line.writer.close()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_HANGUP
        await harness.wait_for_calls(0)
        await line.__aexit__()


async def test_a_connection_that_broke_is_called_that_though_audio_is_collected() -> None:
    async with running_gateway() as harness:
        line, _ = await harness.call()
        (connection,) = harness.gateway._server._connections
        connection.collect()
        reset_connection(line)
        for _ in range(3):  # until the line's transport has closed its socket
            await asyncio.sleep(0)
        connection.collect()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_HANGUP
        assert ended.detail.startswith("the connection to Asterisk broke: ")
        await harness.wait_for_calls(0)
        await line.__aexit__()


def reset_connection(line: AsteriskPeer) -> None:
    connection = line.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.writer.transport.abort()


async def test_collected_audio_does_not_turn_our_end_into_a_reset() -> None:
    async with running_gateway(audio_chunk_ms=60) as harness:
        line, agent = await harness.call()
        async with line:
            ending = asyncio.create_task(agent.connection.close(1000))
            while not line.ended.is_set():
                line.send(encode_audio(Kind.SLIN, SILENCE))
                await asyncio.sleep(0.002)
            await ending
            assert line.hung_up
            assert not line.reset
