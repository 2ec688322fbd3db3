"""Calls recorded through a gateway and played into another: the same end, and the same audio."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from audiosocket_gw import events
from audiosocket_gw.commands.replay import run_replay, run_replay_into, run_summary
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.flight.call_trace import load_trace
from audiosocket_gw.flight.capture import event_record
from audiosocket_gw.flight.format import AgentMessage, Event, HeardFrame, Record
from audiosocket_gw.protocol.audiosocket import Kind, encode_dtmf
from audiosocket_gw.settings import GatewaySettings, load_settings
from audiosocket_gw.testing.replay.replay import replay
from audiosocket_gw.testing.simulator import SimulatedAgent
from tests.flight.records import (
    AGENT_THERE,
    START,
    agent_says,
    ended,
    heard,
    recordings,
    spoken,
    trace,
    write,
)
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.audio import ramp
from tests.harness.gateway import GatewayHarness, running_gateway
from tests.ledger.calls import WHOLE_CALL

pytestmark = pytest.mark.virtual_time

Fault = Callable[[GatewayHarness, AsteriskPeer, SimulatedAgent], Awaitable[None]]


async def malformed_json(_: GatewayHarness, __: AsteriskPeer, agent: SimulatedAgent) -> None:
    await agent.connection.send_text('{"type":"audio","audio_event":{"event_id":3,')


async def audio_that_is_not_base64(_: GatewayHarness, __: AsteriskPeer, agent: SimulatedAgent) -> None:
    await agent.send({"type": "audio", "audio_event": {"audio_base_64": "a!", "event_id": 3}})


async def close_1011(_: GatewayHarness, __: AsteriskPeer, agent: SimulatedAgent) -> None:
    await agent.connection.close(1011, "Internal error")


async def abrupt_cut(_: GatewayHarness, __: AsteriskPeer, agent: SimulatedAgent) -> None:
    await agent.connection.drop()


async def garbage(_: GatewayHarness, __: AsteriskPeer, agent: SimulatedAgent) -> None:
    await agent.connection.send_garbage()


async def quota(_: GatewayHarness, __: AsteriskPeer, agent: SimulatedAgent) -> None:
    await agent.send({"type": "error", "message": "This request exceeds your quota limit."})
    await agent.connection.close(1002, "quota exceeded")


async def caller_hangs_up(_: GatewayHarness, line: AsteriskPeer, __: SimulatedAgent) -> None:
    line.writer.write_eof()


async def caller_breaks_the_protocol(_: GatewayHarness, line: AsteriskPeer, __: SimulatedAgent) -> None:
    line.say(bytes(320) * 2_000)  # faster than real time


async def gateway_is_stopped(harness: GatewayHarness, _: AsteriskPeer, __: SimulatedAgent) -> None:
    await harness.gateway.__aexit__(None, None, None)


FAULTS: list[tuple[Fault, EndReason]] = [
    (malformed_json, EndReason.AGENT_PROTOCOL),
    (audio_that_is_not_base64, EndReason.AGENT_PROTOCOL),
    (close_1011, EndReason.AGENT_FAILED),
    (abrupt_cut, EndReason.AGENT_LOST),
    (garbage, EndReason.AGENT_PROTOCOL),
    (quota, EndReason.AGENT_QUOTA),
    (caller_hangs_up, EndReason.CALLER_HANGUP),
    (caller_breaks_the_protocol, EndReason.CALLER_PROTOCOL),
    (gateway_is_stopped, EndReason.DRAINED),
]


async def record(directory: Path, fault: Fault) -> tuple[Path, bytes]:
    """Record a call in which both sides speak, and that ends in ``fault``; return what the agent heard."""
    async with running_gateway(flight_dir=directory, flight_keep="all") as harness:
        line, conversation = await harness.call()
        async with line:
            await conversation.send_audio(ramp(300))
            line.say(ramp(100, start=9_000))
            await line.hears(ramp(300))
            line.send(encode_dtmf("5"))
            line.say(ramp(100, start=12_000))
            await harness.wait_for(events.DigitPressed)
            await fault(harness, line, conversation)
            await harness.wait_for(events.CallEnded)
    (path,) = recordings(directory)
    return path, bytes(conversation.log.received_audio)


def replay_settings(**given: object) -> GatewaySettings:
    return GatewaySettings.of(load_settings(agent="simulator", **given))


@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
async def test_the_same_end_and_the_same_audio(tmp_path: Path, fault: Fault, reason: EndReason) -> None:
    path, _ = await record(tmp_path, fault)
    shown = io.StringIO()
    assert await run_replay(path, replay_settings(), stream=shown) == 0
    text = shown.getvalue()
    assert f"  recorded       {reason}\n  replayed       {reason}\n" in text
    assert "heard by caller  300 ms the same, 0 ms differ" in text
    assert "digit pressed    digit=5" in text


async def test_another_end_is_told_and_is_status_1(tmp_path: Path) -> None:
    detail = "put through to 600@queues"
    records = (*AGENT_THERE, *spoken(300), *heard(300), ended(300, EndReason.TRANSFERRED, detail))
    path = write(tmp_path / "a.flight", records)
    shown = io.StringIO()
    assert await run_replay(path, replay_settings(), stream=shown) == 1
    assert "NOT the same\n  recorded       transferred\n  replayed       caller-hangup" in shown.getvalue()
    assert "a replay never touches one" in shown.getvalue()


async def test_a_recording_that_breaks_off_is_played_and_is_status_1(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flight", (*AGENT_THERE, *spoken(300), *heard(300)))
    path.write_bytes(path.read_bytes() + b"\0\0\1")
    shown = io.StringIO()
    assert await run_replay(path, replay_settings(), stream=shown) == 1
    assert "breaks off after 0.3 s" in shown.getvalue()
    assert "recorded       unknown" in shown.getvalue()


async def test_a_call_that_does_not_end_is_broken_off(tmp_path: Path) -> None:
    records = (*AGENT_THERE, *spoken(300), ended(300, EndReason.INTERNAL_ERROR, "KeyError: 'gone'"))
    path = write(tmp_path / "a.flight", records)
    shown = io.StringIO()
    assert await run_replay(path, replay_settings(), stream=shown) == 1
    assert "replayed       none: the call went on" in shown.getvalue()
    assert "   10.000 s  of 0.3 s" in shown.getvalue()


async def test_audio_that_differs_is_measured(tmp_path: Path) -> None:
    other = [HeardFrame(ms * 1000, Kind.SLIN, ramp(20, start=3_000)) for ms in (10, 30, 50)]
    end = ended(2_000, EndReason.CALLER_HANGUP, "Asterisk closed the connection")
    records = (*AGENT_THERE, agent_says(100, ramp(500)), *spoken(2_000), *other, end)
    path = write(tmp_path / "a.flight", records)
    shown = io.StringIO()
    assert await run_replay(path, replay_settings(), stream=shown) == 0
    assert "heard by caller  0 ms the same, 500 ms differ" in shown.getvalue()
    assert "  recorded only  60 ms\n  replayed only  500 ms\n" in shown.getvalue()


# What a replay may touch


async def test_a_replay_reaches_no_one(tmp_path: Path) -> None:
    path, _ = await record(tmp_path, close_1011)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "bad.py").write_text("raise SystemExit('this tool was loaded')")
    settings = replay_settings(
        ami_host="203.0.113.1",
        ami_password="x",
        tools_dir=tools,
        elevenlabs_api_key="key",
        elevenlabs_agent_url="http://203.0.113.2/",
        allowed_peers="203.0.113.0/24",
    )
    assert await run_replay(path, settings, stream=io.StringIO()) == 0
    with pytest.raises((ConfigurationError, SystemExit), match="this tool was loaded"):
        await run_replay(path, settings, run_tools=True, stream=io.StringIO())


async def test_settings_that_shape_a_call_are_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DTMF_ACTIONS", "5=hangup")
    path, _ = await record(tmp_path, close_1011)
    found = load_trace(path)
    seen: list[events.CallEvent] = []
    outcome = await replay(found, replay_settings(), seen.append)
    assert outcome.ended is not None
    assert outcome.ended.reason is EndReason.AGENT_HANGUP


# Into another gateway


async def test_a_caller_is_played_into_another_gateway(tmp_path: Path) -> None:
    path, said = await record(tmp_path / "recorded", caller_hangs_up)
    assert ramp(100, start=9_000) in said
    async with running_gateway(flight_dir=tmp_path / "other", flight_keep="all") as other:
        host, port = other.gateway.address
        shown = io.StringIO()
        assert await run_replay_into(path, f"{host}:{port}", stream=shown) == 0
        await other.wait_for(events.CallEnded)
        (conversation,) = other.simulator.conversations
        received = bytes(conversation.log.received_audio)
        assert ramp(100, start=9_000) in received
        assert ramp(100, start=12_000) in received
        assert other.of(events.DigitPressed)[0].digit == "5"
        assert other.of(events.CallEnded)[0].uuid != load_trace(path).start.uuid
    assert "ended by         the caller" in shown.getvalue()


async def test_another_gateway_that_hangs_up_is_told(tmp_path: Path) -> None:
    path, _ = await record(tmp_path / "recorded", caller_hangs_up)
    async with running_gateway(flight_dir=tmp_path / "other", flight_keep="all") as other:
        host, port = other.gateway.address
        shown = io.StringIO()
        playing = asyncio.create_task(run_replay_into(path, f"{host}:{port}", stream=shown))
        conversation = await other.simulator.wait_for_conversation()
        await conversation.announced.wait()
        await conversation.connection.close(1011)
        assert await playing == 1
    assert "ended by         the gateway" in shown.getvalue()
    assert "  recorded       the caller" in shown.getvalue()


async def test_a_gateway_that_is_not_there_is_status_1(tmp_path: Path, unused_port: int) -> None:
    path = write(tmp_path / "a.flight", spoken(100))
    shown = io.StringIO()
    assert await run_replay_into(path, f"127.0.0.1:{unused_port}", stream=shown) == 1
    assert "no connection to 127.0.0.1" in shown.getvalue()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("address", ["", "localhost", "localhost:", ":5001", "localhost:0", "localhost:x"])
async def test_a_bad_address_is_named(tmp_path: Path, address: str) -> None:
    path = write(tmp_path / "a.flight", spoken(100))
    with pytest.raises(ConfigurationError, match=f"--gateway '{address}' is not HOST:PORT"):
        await run_replay_into(path, address, stream=io.StringIO())


# Bad files


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "breaks off before its first record"),
        (b"RIFF\0\0\0\0WAVE", "is not a flight recording"),
    ],
)
async def test_a_bad_file_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "a.flight"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"{path}: .*{complaint}"):
        run_summary(path, stream=io.StringIO())
    with pytest.raises(ConfigurationError, match=f"{path}: .*{complaint}"):
        await run_replay(path, replay_settings(), stream=io.StringIO())
    with pytest.raises(ConfigurationError, match=f"{path}: .*{complaint}"):
        await run_replay_into(path, "127.0.0.1:1", stream=io.StringIO())


@pytest.mark.parametrize(
    "bad",
    [
        Event(10, "DigitPressed", {"digit": "x"}),
        AgentMessage(10, b"no JSON", b"audio"),
        AgentMessage(10, b'{"audio_event": 7}', b"audio"),
        Event(10, "DigitPressed", {"digit": "\x1b[2J\ud800"}),
    ],
)
async def test_a_forged_file_is_refused(tmp_path: Path, bad: Record) -> None:
    path = write(tmp_path / "a.flight", [bad])
    with pytest.raises(ConfigurationError, match=f"{path}: ") as error:
        await run_replay(path, replay_settings(), stream=io.StringIO())
    assert str(error.value).isprintable()
    assert run_summary(path, stream=io.StringIO()) == 0


# The summary


def test_a_message_that_fills_the_memory_is_not_looked_into(tmp_path: Path) -> None:
    message = b'{"type":"' + b"[" * 5 * 2**20 + b'"}'
    trace(tmp_path / "a.flight", AgentMessage(10, message))
    shown = io.StringIO()
    assert run_summary(tmp_path / "a.flight", stream=shown) == 0
    assert f"agent > gateway  ({len(message)} bytes) {{}}" in shown.getvalue()


async def test_a_summary_tells_what_happened(tmp_path: Path) -> None:
    path, _ = await record(tmp_path, malformed_json)
    shown = io.StringIO()
    assert run_summary(path, stream=shown) == 0
    text = shown.getvalue()
    for told in (
        f"call {load_trace(path).start.uuid}, from 127.0.0.1:",
        "caller's side pcm_8000; agent speaks pcm_8000, listens to pcm_8000",
        "gateway > agent  conversation_initiation_client_data",
        "digit pressed    digit=5",
        "+ 4800 bytes of audio",
        '(not a JSON object) {"type":"audio","audio_event":{"event_id":3,',
        "from Asterisk    10 frames; lateness p50",
        "agent-protocol: the agent sent something that is not JSON",
    ):
        assert told in text


def test_a_summary_has_the_figures_of_the_call(tmp_path: Path) -> None:
    write(tmp_path / "a.flight", [event_record(round((e.at - 100) * 1e6), e) for e in WHOLE_CALL[1:]])
    shown = io.StringIO()
    run_summary(tmp_path / "a.flight", stream=shown)
    text = shown.getvalue()
    for told in (
        "set-up           200 ms, caller_data 12, connect 80\n",
        "first audio      500 ms after the start\n",
        "silent agent     the caller heard nothing for 5000 ms\n",
        "turns            2, 1 late; p50 900, max 2100 ms: 900, 2100\n",
        "frames           3 late, 0 skipped, 12 missing\n",
        "interruptions    2, 1600 ms discarded; silence after 240 ms\n",
        "tool             order_status: ok after 250 ms\n",
        "tool             slow: running\n",
        "transfer         to ##########@out, refused: ##########@out isn't allowed\n",
        "transfer         to sales, done\n",
    ):
        assert told in text
    assert not any(hidden in text for hidden in ("30123", "Ann", "30111"))


def test_a_summary_of_an_older_recording_says_only_what_that_one_knows(tmp_path: Path) -> None:
    connected = Event(200_000, "AgentConnected", {"conversation_id": "conv_1", "setup_ms": 200.4})
    unknown = Event(300_000, "SomethingNew", {"turns": 7})
    interrupted = Event(400_000, "Interrupted", {"discarded_ms": 300})
    write(tmp_path / "a.flight", [connected, unknown, interrupted])
    shown = io.StringIO()
    run_summary(tmp_path / "a.flight", stream=shown)
    figures = shown.getvalue().partition("to Asterisk")[2]
    assert "set-up           200 ms\n" in figures
    assert "interruptions    1, 300 ms discarded\n" in figures
    assert not any(name in figures for name in ("turns", "frames   ", "first audio", "silent"))


def test_a_summary_tells_of_gaps_and_breaks_no_terminal(tmp_path: Path) -> None:
    evil = Event(30_000, "Caller\x1b]0;Said", {"text": "\x1b[2J\x9b1m", "\x1b[31mkey": 1})
    late = tuple(record for record in heard(500) if not 200_000 < record.at_us < 400_000)
    found = trace(tmp_path / "a.flight", evil, *late)
    shown = io.StringIO()
    run_summary(tmp_path / "a.flight", stream=shown)
    text = shown.getvalue()
    assert "    0.190 s  gap              220 ms without a frame to Asterisk" in text
    assert "1 gaps over 60 ms, the longest 220 ms" in text
    assert all(line.isprintable() for line in text.splitlines())
    for escaped in (r"\x1b[2J\x9b1m", r"\x1b]0;", r"\x1b[31mkey=1"):
        assert escaped in text
    assert f"breaks off after {found.duration_us / 1e6:.1f} s" in text
    assert START.gateway in text
