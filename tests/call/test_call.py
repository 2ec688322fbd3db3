"""Calls end to end, between Asterisk's end of a connection and the simulated agent, over real sockets.

What is said and heard in a call is tested on its core (test_conversation_*.py). Here is what is around it:
tasks, deadlines, sockets, the WebSocket, memory, and one call's isolation from the others.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import linear_to_ulaw, ulaw_to_linear
from audiosocket_gw.call import call as call_module
from audiosocket_gw.call.agent_audio import AgentAudio
from audiosocket_gw.call.agent_speech import AgentSpeech
from audiosocket_gw.call.conversation import Conversation
from audiosocket_gw.elevenlabs.connection import AgentConnection
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.protocol.audiosocket import Hangup, encode_dtmf
from audiosocket_gw.testing.simulator import Scenario, SimulatedAgent
from audiosocket_gw.testing.simulator.scenario import Metadata, Noise, QueueAt
from audiosocket_gw.testing.simulator.turn import Speech, Tool, ToolsAt, Turn
from audiosocket_gw.testing.softphone.wav import write_wav
from tests.harness.agent_messages import (
    agent_response,
    audio_message,
    interruption,
    metadata,
    tool_call,
    user_transcript,
)
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.audio import ramp, speech_ms
from tests.harness.gateway import MANUAL, running_gateway
from tests.harness.waiting import until

pytestmark = pytest.mark.virtual_time

LONG = np.full(80_000, 8_000, "<i2").tobytes()
"""10 s."""


async def agent_hears(agent: SimulatedAgent, audio: bytes) -> None:
    """Wait until the agent has been sent the audio, whole and without a gap."""
    await until(lambda: agent.log.received_audio, lambda heard: audio in heard)


# Audio


async def test_what_both_sides_say_arrives_sample_for_sample() -> None:
    audio = ramp(400)
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            line.say(audio)
            for start in range(0, len(audio), 321):
                await agent.send(audio_message(audio[start : start + 321], event_id=1))
            await line.hears_piece_by_piece(audio)
            assert (await harness.wait_for(events.ReplyFinished)).heard_ms == 400
            await agent_hears(agent, audio)


async def test_what_the_caller_says_before_the_agent_is_there_is_kept() -> None:
    audio = ramp(500)
    async with (
        running_gateway(replace(MANUAL, metadata=Metadata.NEVER)) as harness,
        await harness.line() as line,
    ):
        line.identify()
        line.say(audio)
        agent = await harness.simulator.wait_for_conversation(1)
        await asyncio.sleep(0.1)
        assert not agent.log.received_audio
        await agent.send(metadata("pcm_8000", "pcm_8000"))
        await agent_hears(agent, audio)


async def test_audio_in_the_same_segment_as_the_metadata_is_understood() -> None:
    audio = ramp(100)
    async with (
        running_gateway(replace(MANUAL, metadata=Metadata.NEVER)) as harness,
        await harness.line() as line,
    ):
        line.identify()
        agent = await harness.simulator.wait_for_conversation(1)
        await agent.send(metadata("ulaw_8000", "ulaw_8000"))
        await agent.send(audio_message(linear_to_ulaw(audio)))
        await line.hears(ulaw_to_linear(linear_to_ulaw(audio)))


async def test_audio_in_base64_without_padding_is_heard() -> None:
    async with running_gateway(replace(MANUAL, noise=frozenset({Noise.UNPADDED_AUDIO}))) as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send_audio(ramp(101))  # 1,616 bytes: two signs of padding
            await line.hears(ramp(101))


async def test_what_the_caller_says_is_batched_when_set_so() -> None:
    """Every third tick what has come is sent, as one message."""
    audio = ramp(600)
    async with running_gateway(audio_chunk_ms=60) as harness:
        line, agent = await harness.call()
        async with line:
            for start in range(0, len(audio), 320):
                line.say(audio[start : start + 320])
                await asyncio.sleep(0.02)
            await agent_hears(agent, audio)
            log = agent.log
            # Silence is filled in, in batches, too.
            await until(lambda: len(log.received_audio), lambda size: size > len(audio) + 10 * 320)
            ticks = len(line.heard) // 320
            assert len(agent.log.received_audio_sizes) <= ticks // 3 + 1


async def test_a_batch_that_has_begun_is_sent_when_there_are_no_more_of_them() -> None:
    async with running_gateway(audio_chunk_ms=100) as harness:
        line, agent = await harness.call()
        async with line:
            line.say(audio := ramp(40))
            await agent_hears(agent, audio)
            await agent_hears(agent, bytes(3_200))
            harness.load._most_frames = harness.load.batch_frames = 1
            sizes = agent.log.received_audio_sizes
            await until(lambda: [size for _, size in sizes[-3:]], lambda last: last == [320] * 3)
            assert all(size % 320 == 0 for _, size in sizes)


async def test_hold_audio_is_heard_before_the_agent_is_there_and_in_the_queue(tmp_path: Path) -> None:
    path = tmp_path / "hum.wav"
    write_wav(path, np.full(8_000, 1_000, "<i2").tobytes())
    scenario = Scenario(queue=("waiting", "admitted"), queue_at=QueueAt.BEFORE_METADATA, queue_wait_s=2.5)
    async with (
        running_gateway(
            scenario, agent_connect_timeout=1, hold_audio=path, hold_audio_gain_db=-20
        ) as harness,
        await harness.line() as line,
    ):
        line.identify()
        await harness.wait_for(events.ReplyStarted)
        held = np.frombuffer(line.heard, "<i2")[1_600:16_000]
        assert len(held) == 14_400
        assert set(held) == {100}


async def test_a_reply_that_is_interrupted_is_heard_up_to_where_the_audio_ended() -> None:
    async with running_gateway(report_heard=True) as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(agent_response("one two three four five six seven eight nine ten", 1))
            await agent.send(audio_message(LONG, 1))
            await line.hears_ms(2_200)
            await agent.send(interruption(1))
            reply = await harness.wait_for(events.ReplyHeard, line.uuid)
            assert reply.interrupted
            assert reply.length_ms == 10_000
            told = agent.log.received
            await until(lambda: told[-1][1]["type"], lambda kind: kind == "contextual_update")
            assert told[-1][1]["text"] == f'The caller interrupted you, and heard only: "{reply.heard}"'
            # To the sample: what is reported is what the caller's line got, the fade included.
            await asyncio.sleep(0.1)
            assert abs(speech_ms(line.heard) - reply.heard_ms) < 1.1
            await agent.send(audio_message(ramp(100), event_id=2))
            await line.hears(ramp(100))


# Other traffic


async def test_keys_and_transcripts_become_events() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            line.send(encode_dtmf("#"))
            await agent.send(user_transcript("Good morning", 1))
            assert (await harness.wait_for(events.DigitPressed)).digit == "#"
            assert (await harness.wait_for(events.CallerSaid)).text == "Good morning"


async def test_an_unknown_tool_is_answered_with_an_error() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            tool = await agent.call_tool("make_coffee", {})
            await tool.answered.wait()
            assert tool.result is not None
            assert tool.result.is_error
            assert "make_coffee" in tool.result.result


def greeting_with(tool: Tool, **turn: Any) -> Scenario:
    """An agent that uses a tool at once, and says how it went."""
    told = Turn(
        tools=(tool,),
        tools_at=ToolsAt.BEFORE_SPEECH,
        say_after_tools=Speech("go-ahead"),
        say_after_failed_tools=Speech("apology"),
        **turn,
    )
    return Scenario(greeting=told)


@pytest.mark.parametrize(("setting", "prompt"), [("deny", "apology"), ("book", "go-ahead")])
async def test_an_mcp_tool_is_approved_as_set(setting: str, prompt: str) -> None:
    scenario = greeting_with(Tool("book", mcp=True))
    async with running_gateway(scenario, mcp_approval=setting) as harness:
        line, agent = await harness.call()
        async with line:
            words = Speech(prompt).words
            await until(
                lambda: [event.text for event in harness.of(events.AgentSaid)], lambda said: words in said
            )
            assert agent.log.violations == []


async def test_an_agent_whose_tool_calls_have_no_id_hangs_up() -> None:
    scenario = greeting_with(Tool("avr_hangup", without_id=True), say=Speech("goodbye"))
    async with running_gateway(scenario) as harness, await harness.line() as line:
        line.identify()
        assert (await harness.wait_for(events.CallEnded)).reason is EndReason.AGENT_HANGUP


# Ends


async def test_the_caller_hangs_up_and_nothing_is_left() -> None:
    async with running_gateway() as harness:
        tasks_before = asyncio.all_tasks()
        line, agent = await harness.call()
        await agent.send(audio_message(LONG))
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
    async with running_gateway() as harness:
        gc.collect()
        gc.disable()
        try:
            line, agent = await harness.call()
            if tool is not None:
                await agent.send(tool_call(tool))
                await harness.wait_for(events.ToolAnswered)
            if who == "caller":
                line.writer.close()
            else:
                await agent.connection.close(1000, "")
            await harness.wait_for(events.CallEnded)
            await harness.wait_for_calls(0)
            line.writer.close()
            await asyncio.sleep(0)  # the task's own callbacks
            kinds = (call_module.Call, Conversation, AgentConnection)
            left = [type(o) for o in gc.get_objects() if isinstance(o, kinds)]
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


ENDS: dict[str, tuple[Callable[[SimulatedAgent], Any], EndReason]] = {
    "1002 quota": (
        lambda a: a.connection.close(1002, "This request exceeds your quota limit."),
        EndReason.AGENT_QUOTA,
    ),
    "TCP cut": (lambda a: a.connection.drop(), EndReason.AGENT_LOST),
    "not JSON": (lambda a: a.connection.send_text("hello"), EndReason.AGENT_PROTOCOL),
}


@pytest.mark.parametrize(("end", "reason"), ENDS.values(), ids=ENDS.keys())
async def test_the_way_in_which_the_agent_ends_is_the_reason(
    end: Callable[[SimulatedAgent], Any], reason: EndReason
) -> None:
    """All ways are in tests/elevenlabs/test_connection.py."""
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
    "no such agent": (replace(MANUAL, agents=("another",)), {}, EndReason.AGENT_NOT_FOUND, "404"),
    "private, and the wrong key": (
        replace(MANUAL, private=True),
        {"elevenlabs_api_key": "wrong"},
        EndReason.AGENT_UNAUTHORIZED,
        "401",
    ),
    "unreachable": (
        MANUAL,
        {"elevenlabs_base_url": "http://127.0.0.1:1"},
        EndReason.AGENT_UNREACHABLE,
        "127.0.0.1:1",
    ),
}


@pytest.mark.parametrize(("scenario", "settings", "reason", "words"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_an_agent_that_is_not_there_ends_the_call(
    scenario: Scenario, settings: dict[str, Any], reason: EndReason, words: str
) -> None:
    """All ways are in tests/elevenlabs/test_connection.py and test_agent.py."""
    async with (
        running_gateway(scenario, api_key="right", **settings) as harness,
        await harness.line() as line,
    ):
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


async def test_a_call_has_its_longest() -> None:
    async with running_gateway(replace(MANUAL, max_duration_s=86_400.0), max_call_seconds=120) as harness:
        line, agent = await harness.call()
        async with line:
            await asyncio.sleep(119)
            await agent.send_audio(ramp(4_000))
            ended = await harness.wait_for(events.CallEnded)
            await line.ended.wait()
            assert line.hung_up
            assert ended.reason is EndReason.MAX_DURATION
            assert ended.detail == "the call lasted 120 s (MAX_CALL_SECONDS)"
            assert 122 <= ended.duration_ms / 1000 <= 124.5
            assert ramp(4_000) in line.heard


async def test_without_a_longest_a_call_goes_on() -> None:
    async with running_gateway(
        replace(MANUAL, max_duration_s=86_400.0), max_call_seconds=0, no_input_timeout=0
    ) as harness:
        line, _ = await harness.call()
        async with line:
            await asyncio.sleep(300)
            assert not harness.of(events.CallEnded)


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
        original = Conversation.tick

        def faulty(self: Conversation, now: float) -> bytes:
            if self._uuid == sick.uuid:
                raise ZeroDivisionError
            return original(self, now)

        monkeypatch.setattr(Conversation, "tick", faulty)
        await sick.ended.wait()
        await healthy_agent.send(audio_message(ramp(40)))
        await healthy.hears(ramp(40))
        await _leave(healthy, sick)


async def test_a_defect_on_the_clock_while_the_goodbye_is_played_ends_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The goodbye is waited for by the clock."""

    def faulty(self: AgentAudio) -> bytes:
        raise ZeroDivisionError

    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(audio_message(LONG))
            await harness.wait_for(events.ReplyStarted)
            await agent.connection.close(1000)
            await agent.connection.ended.wait()
            await asyncio.sleep(0.2)
            monkeypatch.setattr(AgentAudio, "next_frame", faulty)
            ended = await harness.wait_for(events.CallEnded)
            assert ended.reason is EndReason.AGENT_HANGUP
            assert ended.duration_ms < 9_000
            await line.ended.wait()
            assert line.hung_up


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
