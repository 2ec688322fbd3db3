"""Calls through a real Asterisk, the gateway, and the simulated agent: what the two ends hear of each other.

The caller's ear and mouth are a handset of the tests' own (`tests.asterisk.line`): every frame counts.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.testing.simulator import SimulatedAgent
from audiosocket_gw.testing.simulator.scenario import Mode
from tests.asterisk.lab import Lab
from tests.asterisk.release import KEYS, ORDERLY_END
from tests.asterisk.signals import noise
from tests.harness.gateway import MANUAL, GatewayHarness, running_gateway
from tests.harness.gateway_peer import GatewayPeer, Script, answering, silence

pytestmark = pytest.mark.asterisk

EXTENSIONS = pytest.mark.parametrize("extension", ["5001", "5002"])
FALLBACK = r"Executing \[s@fallback:1\]"


@dataclass(frozen=True)
class Talk:
    """A call that is up: the caller's handset at one end, the agent at the other."""

    handset: GatewayPeer
    agent: SimulatedAgent
    harness: GatewayHarness


@asynccontextmanager
async def talk(lab: Lab, extension: str, mouth: Script = silence) -> AsyncIterator[Talk]:
    async with (
        running_gateway(port=lab.ports.gateway) as harness,
        answering(lab.ports.handset, mouth) as handsets,
        lab.call(extension, "handset"),
    ):
        handset = await handsets.get()
        await harness.wait_for(events.AgentConnected)
        yield Talk(handset, harness.simulator.conversations[0], harness)


async def _say(agent: SimulatedAgent, audio: bytes, sizes: list[int]) -> None:
    """Send audio in one go, in pieces of odd sizes: far faster than real time, as ElevenLabs does."""
    start = 0
    for size in itertools.cycle(sizes):
        if start >= len(audio):
            return
        await agent.send_audio(audio[start : start + size])
        start += size


async def _heard(line: GatewayPeer, audio: bytes) -> None:
    while audio not in line.heard:
        await asyncio.sleep(0.5)


@EXTENSIONS
@pytest.mark.limit(150)
async def test_a_minute_both_ways_is_right_to_the_sample(lab: Lab, extension: str) -> None:
    sent, said = noise(60, seed=1), noise(60, seed=2)

    async def speak(line: GatewayPeer) -> None:
        await line.play(bytes(16_000))  # what is said before Asterisk has joined the legs is lost
        await line.play(said)
        await silence(line)

    async with talk(lab, extension, speak) as call:
        await _say(call.agent, sent, [32_662, 75_790, 1_021])
        await _heard(call.handset, sent)
        while len(call.agent.log.received_audio) < len(said) + 3 * 16_000:
            await asyncio.sleep(0.5)
        assert said in call.agent.log.received_audio


@EXTENSIONS
async def test_a_reply_of_ten_seconds_in_one_burst_plays_for_ten_seconds(lab: Lab, extension: str) -> None:
    sent = noise(10, seed=3)
    async with talk(lab, extension) as call:
        await call.agent.send_audio(sent)
        await _heard(call.handset, sent)
        first = call.handset.heard.index(sent[:320]) // 320
        arrivals = call.handset.arrivals[1:]  # but for the UUID frame's
        assert arrivals[first + 499] - arrivals[first] > 9.8


@EXTENSIONS
async def test_an_interruption_silences_the_ear_within_60_ms(lab: Lab, extension: str) -> None:
    """The best of five, since Asterisk, agent and handset share this machine's cores with whatever runs."""
    heard_after_ms = []
    async with talk(lab, extension) as call:
        for seed in range(5):
            await call.agent.send_audio(noise(5, seed))
            await asyncio.sleep(1)
            interrupted_at = asyncio.get_running_loop().time()
            await call.agent.interrupt()
            call.agent.begin_reply()
            await asyncio.sleep(0.5)
            audible = [
                at
                for frame, at in zip(call.handset.audio, call.handset.arrivals[1:], strict=False)
                if any(frame.payload)
            ]
            heard_after_ms.append((audible[-1] - interrupted_at) * 1000)
            assert audible[-1] < interrupted_at + 0.4, "the rest of the reply was still to come"
    assert min(heard_after_ms) < 60


@pytest.mark.limit(360)
async def test_five_minutes_with_a_silent_caller(lab: Lab) -> None:
    """Neither Asterisk's 2 s nor the agent's 60 s without audio ends the calls."""
    agent = replace(MANUAL, mode=Mode.SILENT)
    async with running_gateway(agent, port=lab.ports.gateway) as harness, lab.watch():
        for extension in ("5001", "5002"):
            await lab.originate(extension, "silent")
        await harness.simulator.wait_for_conversation(2)
        await asyncio.sleep(300)
        assert harness.gateway.calls == 2
        assert not harness.of(events.CallEnded)
        for conversation in harness.simulator.conversations:
            assert len(conversation.log.received_audio) > 295 * 16_000


@EXTENSIONS
async def test_the_caller_hangs_up(lab: Lab, extension: str) -> None:
    async with talk(lab, extension) as call:
        await lab.hang_up_all()
        assert (await call.harness.wait_for(events.CallEnded)).reason is EndReason.CALLER_HANGUP
        await call.agent.connection.ended.wait()


@pytest.mark.parametrize("extension", [pytest.param("5001", marks=ORDERLY_END), "5002"])
async def test_the_agent_hangs_up_and_the_dialplan_goes_on(lab: Lab, extension: str) -> None:
    last_words = noise(3, seed=9)
    async with talk(lab, extension) as call, lab.watch() as watch:
        await call.agent.send_audio(last_words)
        await call.agent.connection.close(1000)
        await call.handset.ended.wait()
        assert last_words in call.handset.heard
        await watch.logged(r"Executing \[s@after-agent:\d\] Hangup")


@EXTENSIONS
async def test_a_full_gateway_sends_the_caller_to_the_fallback(lab: Lab, extension: str) -> None:
    async with running_gateway(port=lab.ports.gateway, max_calls=1) as harness, lab.watch() as watch:
        await lab.originate("5001", "tone")
        await harness.wait_for(events.AgentConnected)
        await lab.originate(extension, "tone")
        await watch.logged(FALLBACK)
        assert harness.gateway.calls == 1


@EXTENSIONS
async def test_a_gateway_that_is_stopped_sends_the_caller_to_the_fallback(lab: Lab, extension: str) -> None:
    async with running_gateway(port=lab.ports.gateway):
        pass
    async with lab.call(extension, "tone") as watch:
        await watch.logged(FALLBACK)


@EXTENSIONS
async def test_an_agent_that_is_not_there_sends_the_caller_to_the_fallback(lab: Lab, extension: str) -> None:
    nowhere = "http://127.0.0.1:1"
    async with (
        running_gateway(port=lab.ports.gateway, elevenlabs_base_url=nowhere),
        lab.call(extension, "tone") as watch,
    ):
        await watch.logged(FALLBACK)


@EXTENSIONS
@KEYS
async def test_keys_reach_the_call(lab: Lab, extension: str) -> None:
    async with running_gateway(port=lab.ports.gateway) as harness, lab.call(extension, "keys-19*#"):
        while len(harness.of(events.DigitPressed)) < 4:
            await asyncio.sleep(0.1)
        assert "".join(event.digit for event in harness.of(events.DigitPressed)) == "19*#"
