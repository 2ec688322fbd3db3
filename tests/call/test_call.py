"""A call between a raw line and the simulated agent: the audio, the interruptions, and every way it ends."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import linear_to_ulaw, ulaw_to_linear
from audiosocket_gw.call import call as call_module
from audiosocket_gw.call import conversation as core
from audiosocket_gw.call.agent_speech import AgentSpeech
from audiosocket_gw.elevenlabs.connection import AgentConnection
from audiosocket_gw.events import EndReason
from audiosocket_gw.protocol.audiosocket import Audio, Hangup, Kind, encode_audio, encode_dtmf
from audiosocket_gw.testing.simulator import Scenario, SimulatedAgent
from audiosocket_gw.testing.simulator.scenario import Metadata, SignedUrlAnswer
from tests.harness.agent_messages import agent_response, audio_message, interruption, metadata, tool_call
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.audio import SILENCE, ramp
from tests.harness.gateway import MANUAL, running_gateway

# Audio


async def test_the_caller_hears_silence_before_the_agent_is_there() -> None:
    async with (
        running_gateway(replace(MANUAL, metadata=Metadata.NEVER)) as harness,
        await harness.line() as line,
    ):
        line.identify()
        while len(line.frames) < 10:
            await asyncio.sleep(0.02)
        assert line.frames[:10] == [Audio(Kind.SLIN, SILENCE)] * 10


@pytest.mark.virtual_time
@pytest.mark.parametrize("size", [1, 319, 320, 321, 1021, 16_001])
async def test_what_the_agent_says_arrives_sample_for_sample(size: int) -> None:
    audio = ramp(400) if size > 1 else ramp(10)
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            for start in range(0, len(audio), size):
                await agent.send(audio_message(audio[start : start + size], event_id=1))
            await line.hears_piece_by_piece(audio)
            finished = await harness.wait_for(events.ReplyFinished)
            assert finished.heard_ms == len(audio) // 16


async def test_what_the_caller_says_arrives_sample_for_sample() -> None:
    audio = ramp(600)
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            line.say(audio)
            while audio not in agent.log.received_audio:
                await asyncio.sleep(0.01)


async def test_what_the_caller_says_before_the_agent_is_there_is_kept() -> None:
    audio = ramp(500)
    async with (
        running_gateway(replace(MANUAL, metadata=Metadata.NEVER)) as harness,
        await harness.line() as line,
    ):
        line.identify()
        line.say(audio)
        await harness.simulator.wait_for_conversation(1)
        agent = harness.simulator.conversations[0]
        await asyncio.sleep(0.1)
        assert not agent.log.received_audio
        await agent.send(metadata("pcm_8000", "pcm_8000"))
        while audio not in agent.log.received_audio:
            await asyncio.sleep(0.01)


async def test_caller_audio_is_batched_when_set_so() -> None:
    """Every third tick what has come is sent, as one message."""
    audio = ramp(600)
    async with running_gateway(audio_chunk_ms=60) as harness:
        line, agent = await harness.call()
        async with line:
            for start in range(0, len(audio), 320):
                line.say(audio[start : start + 320])
                await asyncio.sleep(0.02)
            while audio not in agent.log.received_audio:
                await asyncio.sleep(0.01)
            while (
                len(agent.log.received_audio) <= len(audio) + 10 * 320
            ):  # silence is filled in, in batches, too
                await asyncio.sleep(0.02)
            ticks = len(line.heard) // 320
            assert len(agent.log.received_audio_sizes) <= ticks // 3 + 1


async def test_a_bundle_that_has_begun_is_sent_when_there_are_no_more_of_them() -> None:
    async with running_gateway(audio_chunk_ms=100) as harness:
        line, agent = await harness.call()
        async with line:
            line.say(audio := ramp(40))
            while audio not in agent.log.received_audio:
                await asyncio.sleep(0.01)
            while not agent.log.received_audio.endswith(bytes(3_200)):
                await asyncio.sleep(0.01)
            harness.load._most_frames = harness.load.batch_frames = 1
            sizes = agent.log.received_audio_sizes
            while [size for _, size in sizes[-3:]] != [320] * 3:
                await asyncio.sleep(0.01)
            assert all(size % 320 == 0 for _, size in sizes)


async def test_silence_is_filled_in_for_a_caller_who_sends_nothing() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            while len(agent.log.received_audio) < 20 * 320:
                await asyncio.sleep(0.02)
            assert bytes(agent.log.received_audio) == bytes(len(agent.log.received_audio))


async def test_mu_law_agents_are_understood_in_both_directions() -> None:
    audio = ramp(200)
    async with running_gateway(
        replace(MANUAL, input_format="ulaw_8000", output_format="ulaw_8000")
    ) as harness:
        line, agent = await harness.call()
        async with line:
            line.say(audio)
            await agent.send_audio(linear_to_ulaw(audio))
            await line.hears(ulaw_to_linear(linear_to_ulaw(audio)))
            while linear_to_ulaw(audio) not in agent.log.received_audio:
                await asyncio.sleep(0.01)
            while (
                linear_to_ulaw(SILENCE) * 5 not in agent.log.received_audio
            ):  # silence is filled in, in mu-law
                await asyncio.sleep(0.01)


async def test_audio_in_the_same_segment_as_the_metadata_is_understood() -> None:
    audio = ramp(100)
    async with (
        running_gateway(replace(MANUAL, metadata=Metadata.NEVER)) as harness,
        await harness.line() as line,
    ):
        line.identify()
        await harness.simulator.wait_for_conversation(1)
        agent = harness.simulator.conversations[0]
        await agent.send(metadata("ulaw_8000", "ulaw_8000"))
        await agent.send(audio_message(linear_to_ulaw(audio)))
        await line.hears(ulaw_to_linear(linear_to_ulaw(audio)))


async def test_a_format_that_no_one_knows_ends_the_call_with_its_name() -> None:
    async with (
        running_gateway(replace(MANUAL, metadata=Metadata.NEVER)) as harness,
        await harness.line() as line,
    ):
        line.identify()
        await harness.simulator.wait_for_conversation(1)
        await harness.simulator.conversations[0].send(metadata("opus_48000", "pcm_8000"))
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.AGENT_FORMAT
        assert "opus_48000" in ended.detail


@pytest.mark.parametrize("name", ["pcm_16000", "pcm_24000", "pcm_44100"])
async def test_agents_at_other_rates_are_understood_in_both_directions(name: str) -> None:
    rate = int(name.removeprefix("pcm_"))
    async with running_gateway(replace(MANUAL, input_format=name, output_format=name)) as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send_audio(_tone(rate, 0.5))
            line.say(_tone(8_000, 0.5))
            await harness.wait_for(events.ReplyFinished)
            while len(agent.log.received_audio) < rate:  # half a second
                await asyncio.sleep(0.02)
            assert _pitch(line.heard, 8_000) == pytest.approx(440, abs=5)
            assert _pitch(bytes(agent.log.received_audio), rate) == pytest.approx(440, abs=5)


async def test_wideband_passes_untouched() -> None:
    audio = ramp(400)
    async with running_gateway(
        replace(MANUAL, input_format="pcm_16000", output_format="pcm_16000")
    ) as harness:
        line, agent = await harness.call()
        async with line:
            for start in range(0, len(audio), 640):
                line.send(encode_audio(Kind.SLIN16, audio[start : start + 640]))
            while audio not in agent.log.received_audio:
                await asyncio.sleep(0.01)
            await agent.send_audio(audio)
            while audio not in line.heard_as(Kind.SLIN16):
                await asyncio.sleep(0.02)


async def test_a_codec_under_the_label_of_linear_audio_is_decoded_and_linear_audio_goes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said = linear_to_ulaw(_tone(8_000, 0.4))
    reply = linear_to_ulaw(_tone(8_000, 0.2))
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            for start in range(0, len(said), 160):
                line.send(encode_audio(Kind.SLIN, said[start : start + 160]))
            while ulaw_to_linear(said) not in agent.log.received_audio:
                await asyncio.sleep(0.01)
            await agent.send_audio(ulaw_to_linear(reply))
            await line.hears(ulaw_to_linear(reply))
    assert "c(slin)" in caplog.text


# Interruptions


async def test_an_interruption_silences_the_agent_and_the_next_reply_plays_at_once() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(audio_message(b"\x01\x01" * 80_000, event_id=1))  # 10 s
            await harness.wait_for(events.ReplyStarted)
            await agent.send(interruption(1))
            interrupted = await harness.wait_for(events.Interrupted)
            assert 9_000 < interrupted.discarded_ms <= 10_000
            await agent.send(audio_message(ramp(100), event_id=2))
            await line.hears(ramp(100))


async def test_stale_audio_is_dropped_and_audio_of_the_interruptions_own_id_plays() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(interruption(5))
            await agent.send(audio_message(b"\x04\x04" * 800, event_id=4))
            await agent.send(audio_message(b"\x05\x05" * 800, event_id=5))
            await line.hears(b"\x05\x05" * 800)
            assert b"\x04\x04" not in line.heard


async def test_audio_of_the_interruptions_own_id_is_dropped_when_set_so() -> None:
    async with running_gateway(drop_interrupted_audio=True) as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(interruption(5))
            await agent.send(interruption(3))  # of a tool's audio: an older id must not lower the bar
            await agent.send(audio_message(b"\x05\x05" * 800, event_id=5))
            await agent.send(audio_message(b"\x06\x06" * 800, event_id=6))
            await line.hears(b"\x06\x06" * 800)
            assert b"\x05\x05" not in line.heard


async def test_an_interruption_without_an_id_flushes_too() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(audio_message(b"\x01\x01" * 80_000, event_id=1))
            await agent.send(interruption())
            assert (await harness.wait_for(events.Interrupted)).discarded_ms > 9_000


async def test_a_correction_changes_the_transcript_and_not_the_audio() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(agent_response("Hello you"))
            await agent.send(audio_message(ramp(300)))
            event = {"original_agent_response": "Hello you", "corrected_agent_response": "Hello"}
            await agent.send({"type": "agent_response_correction", "agent_response_correction_event": event})
            await line.hears(ramp(300))
            said = harness.of(events.AgentSaid)
            assert [(e.text, e.corrected) for e in said] == [("Hello you", False), ("Hello", True)]


# Other traffic


async def test_keys_and_transcripts_become_events() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            line.send(encode_dtmf("#"))
            event = {"user_transcript": "Good morning", "event_id": 1}
            await agent.send({"type": "user_transcript", "user_transcription_event": event})
            assert (await harness.wait_for(events.DigitPressed)).digit == "#"
            assert (await harness.wait_for(events.CallerSaid)).text == "Good morning"


async def test_messages_that_the_gateway_has_no_use_for_are_survived() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send({"type": "vad_score", "vad_score_event": {"vad_score": 0.5}})
            await agent.send({"no": "type"})
            await agent.send({"type": "queue_status", "queue_status_event": {"status": "waiting"}})
            await agent.send(audio_message(b""))
            await agent.send(audio_message(ramp(40)))
            await line.hears(ramp(40))


async def test_an_unknown_tool_is_answered_with_an_error() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            tool = await agent.call_tool("make_coffee", {})
            await tool.answered.wait()
            assert tool.result is not None and tool.result.is_error
            assert "make_coffee" in tool.result.result


# Ends


async def test_the_caller_hangs_up_and_nothing_is_left() -> None:
    async with running_gateway() as harness:
        tasks_before = asyncio.all_tasks()
        line, agent = await harness.call()
        await agent.send(audio_message(b"\x01\x01" * 80_000))
        await harness.wait_for(events.ReplyStarted)
        line.writer.close()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_HANGUP
        await agent.connection.ended.wait()
        assert agent.connection.close_code == 1000
        await harness.wait_for_calls(0)
        await line.__aexit__()
        left = {task for task in asyncio.all_tasks() - tasks_before if "call" in task.get_name()}
        assert not left


@pytest.mark.parametrize("who", ["caller", "agent"])
@pytest.mark.parametrize("tool", [None, "avr_hangup", "avr_transfer"])
async def test_an_ended_call_is_freed_without_the_garbage_collector(who: str, tool: str | None) -> None:
    """Also if it was about to be handed over, or a tool failed."""
    async with running_gateway() as s:
        gc.collect()
        gc.disable()
        try:
            line, conversation = await s.call()
            if tool is not None:
                await conversation.send(tool_call(tool))
                await s.wait_for(events.ToolAnswered)
            if who == "caller":
                line.writer.close()
            else:
                await conversation.connection.close(1000, "")
            await s.wait_for(events.CallEnded)
            await s.wait_for_calls(0)
            line.writer.close()
            await asyncio.sleep(0)  # the task's own callbacks
            left = [type(o) for o in gc.get_objects() if isinstance(o, (call_module.Call, AgentConnection))]
        finally:
            gc.enable()
    assert left == []


async def test_the_caller_hangs_up_while_the_agent_is_being_connected() -> None:
    async with (
        running_gateway(replace(MANUAL, metadata=Metadata.NEVER)) as harness,
        await harness.line() as line,
    ):
        line.identify()
        await harness.simulator.wait_for_conversation(1)
        line.writer.close()
        assert (await harness.wait_for(events.CallEnded)).reason is EndReason.CALLER_HANGUP
        await harness.wait_for_calls(0)


async def test_a_normal_close_lets_the_caller_hear_what_is_queued() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(audio_message(ramp(700)))
            await agent.connection.close(1000)
            await line.ended.wait()
            assert ramp(700) in line.heard
            assert line.hung_up
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.AGENT_HANGUP
        assert ended.heard_ms == 700


async def test_the_caller_can_hang_up_during_the_goodbye() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(audio_message(b"\x01\x01" * 80_000))
            await agent.connection.close(1000)
            await agent.connection.ended.wait()
            await asyncio.sleep(0.1)
            line.writer.close()
            await harness.wait_for(events.CallEnded)


_End = Callable[[SimulatedAgent], Any]

ENDS: dict[str, tuple[_End, EndReason]] = {
    "1000": (lambda a: a.connection.close(1000, "bye"), EndReason.AGENT_HANGUP),
    "1000 quota": (
        lambda a: a.connection.close(1000, "This request exceeds your quota limit."),
        EndReason.AGENT_QUOTA,
    ),
    "1002": (lambda a: a.connection.close(1002, "LLM timeout"), EndReason.AGENT_FAILED),
    "1002 quota": (
        lambda a: a.connection.close(1002, "This request exceeds your quota limit."),
        EndReason.AGENT_QUOTA,
    ),
    "1008": (lambda a: a.connection.close(1008, "Invalid message received"), EndReason.AGENT_REJECTED),
    "1011": (lambda a: a.connection.close(1011, ""), EndReason.AGENT_FAILED),
    "3000": (lambda a: a.connection.close(3000, "quota_exceeded"), EndReason.AGENT_QUOTA),
    "3008": (lambda a: a.connection.close(3008, "too many concurrent connections"), EndReason.AGENT_BUSY),
    "4300": (lambda a: a.connection.close(4300, ""), EndReason.AGENT_BUSY),
    "unknown code": (lambda a: a.connection.close(4999, ""), EndReason.AGENT_FAILED),
    "TCP cut": (lambda a: a.connection.drop(), EndReason.AGENT_LOST),
    "garbage": (lambda a: a.connection.send_garbage(), EndReason.AGENT_PROTOCOL),
    "not JSON": (lambda a: a.connection.send_text("hello"), EndReason.AGENT_PROTOCOL),
    "not base64": (
        lambda a: a.send({"type": "audio", "audio_event": {"audio_base_64": "!"}}),
        EndReason.AGENT_PROTOCOL,
    ),
}


@pytest.mark.parametrize(("end", "reason"), ENDS.values(), ids=ENDS.keys())
async def test_each_way_the_agent_ends_has_its_reason(end: _End, reason: EndReason) -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            await end(agent)
            await line.ended.wait()
            assert line.hung_up
        assert (await harness.wait_for(events.CallEnded)).reason is reason


REFUSALS: dict[str, tuple[Scenario, dict[str, Any], EndReason, str]] = {
    "no metadata": (
        replace(MANUAL, metadata=Metadata.NEVER),
        {"agent_connect_timeout": 0.3},
        EndReason.AGENT_TIMEOUT,
        "AGENT_CONNECT_TIMEOUT",
    ),
    "metadata not JSON": (
        replace(MANUAL, metadata=Metadata.NOT_JSON),
        {},
        EndReason.AGENT_PROTOCOL,
        "not JSON",
    ),
    "no such agent": (replace(MANUAL, agents=("another",)), {}, EndReason.AGENT_NOT_FOUND, "404"),
    "private, and no key": (replace(MANUAL, private=True), {}, EndReason.AGENT_UNAUTHORIZED, "401"),
    "private, and the wrong key": (
        replace(MANUAL, private=True),
        {"elevenlabs_api_key": "wrong", "_api_key": "right"},
        EndReason.AGENT_UNAUTHORIZED,
        "401",
    ),
    "get-signed-url is busy": (
        replace(MANUAL, signed_url=SignedUrlAnswer.BUSY),
        {"elevenlabs_api_key": "key"},
        EndReason.AGENT_BUSY,
        "429",
    ),
    "get-signed-url is broken": (
        replace(MANUAL, signed_url=SignedUrlAnswer.HTML),
        {"elevenlabs_api_key": "key"},
        EndReason.AGENT_PROTOCOL,
        "JSON",
    ),
    "unreachable": (
        MANUAL,
        {"elevenlabs_base_url": "http://127.0.0.1:1"},
        EndReason.AGENT_UNREACHABLE,
        "127.0.0.1:1",
    ),
}


@pytest.mark.parametrize(("scenario", "settings", "reason", "words"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_each_way_the_agent_is_not_there_has_its_reason(
    scenario: Scenario, settings: dict[str, Any], reason: EndReason, words: str
) -> None:
    api_key = settings.get("_api_key", settings.get("elevenlabs_api_key"))
    given = {key: value for key, value in settings.items() if key != "_api_key"}
    async with running_gateway(scenario, api_key=api_key, **given) as harness, await harness.line() as line:
        line.identify()
        await line.ended.wait()
        assert line.frames[-1] == Hangup()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is reason
        assert words in ended.detail


async def test_a_private_agent_answers_a_call_with_the_right_key() -> None:
    async with running_gateway(
        replace(MANUAL, private=True), api_key="right", elevenlabs_api_key="right"
    ) as harness:
        line, _ = await harness.call()
        await line.__aexit__()


# Isolation


async def test_a_defect_in_one_call_ends_that_call_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_gateway() as harness:
        healthy, healthy_agent = await harness.call()
        sick, sick_agent = await harness.call()
        original = AgentSpeech.receive_audio

        def faulty(self: AgentSpeech, *args: Any, **options: Any) -> None:
            if self._uuid == sick.uuid:
                raise ZeroDivisionError
            original(self, *args, **options)

        monkeypatch.setattr(AgentSpeech, "receive_audio", faulty)
        await sick_agent.send(audio_message(ramp(40)))
        await sick.ended.wait()
        ended = await harness.wait_for(events.CallEnded, sick.uuid)
        assert ended.reason is EndReason.INTERNAL_ERROR
        await healthy_agent.send(audio_message(ramp(40)))
        await healthy.hears(ramp(40))
        await _leave(healthy, sick)


async def test_a_defect_on_the_shared_clock_ends_that_call_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_gateway() as harness:
        healthy, healthy_agent = await harness.call()
        sick, _ = await harness.call()

        original = core.Conversation.tick

        def faulty(self: core.Conversation, now: float) -> bytes:
            if self._uuid == sick.uuid:
                raise ZeroDivisionError
            return original(self, now)

        monkeypatch.setattr(core.Conversation, "tick", faulty)
        await sick.ended.wait()
        await healthy_agent.send(audio_message(ramp(40)))
        await healthy.hears(ramp(40))
        await _leave(healthy, sick)


async def test_an_observer_that_fails_harms_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_gateway() as harness:

        def faulty(_: events.CallEvent) -> None:
            raise ZeroDivisionError

        harness.gateway._observers = (faulty, *harness.gateway._observers)
        line, agent = await harness.call()
        await agent.send(audio_message(ramp(40)))
        await line.hears(ramp(40))
        await _leave(line)


async def _leave(*lines: AsteriskPeer) -> None:
    for line in lines:
        await line.__aexit__()


def _tone(rate: int, seconds: float) -> bytes:
    times = np.arange(round(rate * seconds)) / rate
    return (8_000 * np.sin(2 * np.pi * 440 * times)).astype("<i2").tobytes()


def _pitch(audio: bytes, rate: int) -> float:
    samples = np.trim_zeros(np.frombuffer(audio, "<i2"))
    spectrum = np.abs(np.fft.rfft(samples, rate))
    return float(np.argmax(spectrum))


async def test_nothing_of_a_reply_is_lost_when_the_callers_rate_changes_in_it() -> None:
    reply = np.full(24_000 * 2, 5_000, "<i2")
    async with running_gateway(replace(MANUAL, output_format="pcm_24000")) as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send_audio(reply.tobytes())
            await harness.wait_for(events.ReplyStarted)
            line.send(encode_audio(Kind.SLIN16, bytes(640)))
            finished = await harness.wait_for(events.ReplyFinished)
            assert finished.heard_ms == 2_000
