"""Who may interrupt the agent, and who learns how much of it was heard."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

import audiosocket_gw.testing.demo
from audiosocket_gw import events
from audiosocket_gw.protocol.audiosocket import Audio, Kind, encode_audio
from audiosocket_gw.testing.simulator import SimulatedAgent
from audiosocket_gw.testing.softphone.wav import read_wav
from tests.harness.agent_messages import agent_response, audio_message, interruption
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.audio import ramp
from tests.harness.gateway import running_gateway

pytestmark = pytest.mark.virtual_time

INTERRUPTION = Path(audiosocket_gw.testing.demo.__file__).with_name("interruption.wav")
SECOND = np.full(8_000, 8_000, "<i2").tobytes()


async def told(agent: SimulatedAgent, kind: str) -> str:
    """Return the text of the first message of that type that the agent was sent."""
    while not (found := [message for _, message in agent.log.received if message["type"] == kind]):
        await asyncio.sleep(0.005)
    return str(found[0]["text"])


async def test_a_reply_that_is_interrupted_is_heard_up_to_where_the_audio_ended() -> None:
    text = "one two three four five six seven eight nine ten"
    async with running_gateway(report_heard=True) as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(agent_response(text, 1))
            await agent.send(audio_message(SECOND * 10, 1))
            await line.hears_ms(2_200)
            await agent.send(interruption(1))
            reply = await harness.wait_for(events.ReplyHeard, line.uuid)
            assert reply.interrupted
            assert (reply.reply, reply.text, reply.length_ms) == (1, text, 10_000)
            assert text.startswith(reply.heard + " ")
            assert 0 <= reply.heard_ms / 1_000 - len(reply.heard) / len(text) * 10 < 1.5
            assert await told(agent, "contextual_update") == (
                f'The caller interrupted you, and heard only: "{reply.heard}"'
            )
            # To the sample: what is reported is what the caller's line got, the fade included.
            await asyncio.sleep(0.1)
            heard = np.count_nonzero(np.frombuffer(line.heard, "<i2"))
            assert abs(heard / 8 - reply.heard_ms) < 1.1


async def test_replies_that_were_heard_are_reported_whole_and_in_order() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            for number, text in enumerate(("first", "second", "third"), 1):
                await agent.send(audio_message(ramp(100), number))
                await agent.send(agent_response(text, number))
            await harness.wait_for(events.ReplyFinished, line.uuid)
            assert [reply.text for reply in harness.of(events.ReplyHeard)] == ["first", "second"]
            await agent.send(
                {"type": "user_transcript", "user_transcription_event": {"user_transcript": "I see"}}
            )
            await harness.wait_for(events.CallerSaid, line.uuid)
            replies = harness.of(events.ReplyHeard)
            assert [(r.heard, r.heard_ms, r.interrupted) for r in replies] == [
                ("first", 100, False),
                ("second", 100, False),
                ("third", 100, False),
            ]


async def test_a_reply_that_was_heard_is_over_when_the_next_begins() -> None:
    async with running_gateway(report_heard=True) as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(agent_response("first", 1))
            await agent.send(audio_message(ramp(100), 1))
            await harness.wait_for(events.ReplyFinished, line.uuid)
            await agent.send(agent_response("a second one", 2))
            await agent.send(audio_message(SECOND * 3, 2))
            assert (await harness.wait_for(events.ReplyHeard, line.uuid)).text == "first"
            await line.hears_ms(1_600)
            await agent.send(interruption(2))
            assert "first" not in await told(agent, "contextual_update")


async def test_the_end_of_the_call_ends_the_reply() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        await agent.send(agent_response("a long story", 1))
        await agent.send(audio_message(SECOND * 10, 1))
        await line.hears_ms(100)
        async with line:
            pass
        ended = await harness.wait_for(events.CallEnded, line.uuid)
        (reply,) = harness.of(events.ReplyHeard)
        assert reply.interrupted
        assert reply.heard_ms == ended.heard_ms < 9_000


async def test_an_agent_that_no_one_may_interrupt_speaks_on() -> None:
    audio, more = ramp(400), ramp(100, 9)
    async with running_gateway(barge_in="off", report_heard=True) as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(audio_message(audio, 1))
            await harness.wait_for(events.ReplyStarted, line.uuid)
            await agent.send(interruption(1))
            await agent.send(audio_message(more, 1))
            await line.hears(audio + more)
            assert not harness.of(events.Interrupted)
            assert not [m for _, m in agent.log.received if m["type"] == "contextual_update"]


async def test_the_audio_of_a_tool_ends_even_where_no_one_may_interrupt() -> None:
    async with running_gateway(barge_in="off") as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(audio_message(SECOND * 10, 4))
            await harness.wait_for(events.ReplyStarted, line.uuid)
            await agent.send(interruption(2))
            assert (await harness.wait_for(events.Interrupted, line.uuid)).discarded_ms > 9_000


async def test_the_voice_fades_out_within_8_ms() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send(audio_message(SECOND * 10, 1))
            await line.hears_ms(200)
            await agent.send(interruption(1))
            await harness.wait_for(events.Interrupted, line.uuid)
            await asyncio.sleep(0.1)
            samples = np.frombuffer(line.heard, "<i2").astype(int)
            fall = -np.diff(samples[np.flatnonzero(samples)[0] :])
            assert 0 < fall.max() <= 8_000 / 64 + 1
            assert np.count_nonzero(fall) in (63, 64)


# BARGE_IN=local


MURMUR = np.frombuffer(ramp(10_000), "<i2") // 64 + 1
"""What the agent says: an unknown echo of it is no louder than the caller."""


def spoken() -> bytes:
    """Return a caller's words, without the silence before them."""
    audio = np.frombuffer(read_wav(INTERRUPTION), "<i2")
    return audio[np.argmax(np.abs(audio) > 1_000) :].tobytes()


async def speak(line: AsteriskPeer, audio: bytes) -> None:
    """Send audio at the pace of a telephone, after enough of quiet for the line's noise to be known."""
    for start in range(0, len(audio) - 319, 320):
        line.send(encode_audio(Kind.SLIN, audio[start : start + 320]))
        await asyncio.sleep(0.02)


async def test_the_agent_pauses_as_soon_as_the_caller_speaks_and_goes_on_unless_it_is_confirmed() -> None:
    reply = MURMUR[: 4_000 * 8].tobytes()
    async with running_gateway(barge_in="local", barge_in_deadline=0.4) as harness:
        line, agent = await harness.call()
        async with line:
            await speak(line, bytes(6_400))
            await agent.send(audio_message(reply, 1))
            await line.hears_ms(200)
            await speak(line, spoken()[:9_600])
            held = await harness.wait_for(events.ReplyHeld, line.uuid)
            resumed = await harness.wait_for(events.ReplyResumed, line.uuid)
            assert resumed.held_ms == 400
            assert resumed.at > held.at
            await harness.wait_for(events.ReplyFinished, line.uuid)
            assert (await harness.wait_for(events.ReplyFinished, line.uuid)).heard_ms == 4_000
            heard = np.frombuffer(line.heard, "<i2")
            assert np.count_nonzero(heard) >= 4_000 * 8 - 2  # nothing is lost: the fades alone may be zero
            last = np.frombuffer(reply, "<i2")[-8 * 1_000 :].tobytes()
            assert last in line.heard
            assert not harness.of(events.Interrupted)


async def test_a_pause_that_is_confirmed_ends_the_reply() -> None:
    async with running_gateway(barge_in="local", barge_in_deadline=5) as harness:
        line, agent = await harness.call()
        async with line:
            await speak(line, bytes(6_400))
            await agent.send(audio_message(MURMUR.tobytes(), 1))
            await line.hears_ms(200)
            await speak(line, spoken()[:9_600])
            await harness.wait_for(events.ReplyHeld, line.uuid)
            await asyncio.sleep(0.1)
            heard = np.count_nonzero(np.frombuffer(line.heard, "<i2"))
            await agent.send(interruption(1))
            interrupted = await harness.wait_for(events.Interrupted, line.uuid)
            assert interrupted.discarded_ms > 9_000
            reply = await harness.wait_for(events.ReplyHeard, line.uuid)
            assert abs(heard / 8 - reply.heard_ms) < 1.1
            await agent.send(audio_message(ramp(100), 2))
            await line.hears(ramp(100))
            assert not harness.of(events.ReplyResumed)
            assert np.count_nonzero(np.frombuffer(line.heard, "<i2")) == heard + 800


async def test_the_agents_own_echo_does_not_make_it_pause() -> None:
    voice = np.frombuffer(read_wav(INTERRUPTION), "<i2")
    async with running_gateway(barge_in="local") as harness:
        line, agent = await harness.call()
        async with line:
            await speak(line, bytes(6_400))
            await agent.send(audio_message(voice.tobytes(), 1))
            frames = len(line.frames)
            while not harness.of(events.ReplyFinished):
                for frame in line.frames[frames:]:
                    assert isinstance(frame, Audio)
                    echo = (np.frombuffer(frame.payload, "<i2") * 0.3).astype("<i2")
                    line.send(encode_audio(Kind.SLIN, echo.tobytes()))
                    frames += 1
                await asyncio.sleep(0.005)
            assert not harness.of(events.ReplyHeld)


async def test_background_audio_is_not_held() -> None:
    noise = (np.random.default_rng(1).normal(0, 100, 8_000 * 60)).astype("<i2").tobytes()
    async with running_gateway(barge_in="local", barge_in_deadline=0.4) as harness:
        line, agent = await harness.call()
        async with line:

            async def play() -> None:
                for start in range(0, len(noise), 4_000):
                    await agent.send(audio_message(noise[start : start + 4_000], 1))
                    await asyncio.sleep(0.25)

            playing = asyncio.create_task(play())
            await harness.wait_for(events.ReplyFinished, line.uuid)  # it has been told from speech
            await speak(line, bytes(6_400) + spoken()[:9_600])
            assert not harness.of(events.ReplyHeld)
            playing.cancel()


async def test_an_agent_that_leaves_during_a_pause_is_heard_to_the_end() -> None:
    async with running_gateway(barge_in="local", barge_in_deadline=5) as harness:
        line, agent = await harness.call()
        async with line:
            await speak(line, bytes(6_400))
            await agent.send(audio_message(MURMUR[:8_000].tobytes(), 1))
            await line.hears_ms(100)
            await speak(line, spoken()[:9_600])
            await harness.wait_for(events.ReplyHeld, line.uuid)
            await agent.connection.close(1000)
            ended = await harness.wait_for(events.CallEnded, line.uuid)
            assert ended.heard_ms == 1_000
