"""No frame that a real Asterisk sends ends a call: keys, lost packets, comfort noise, any packet time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import linear_to_ulaw
from audiosocket_gw.protocol.audiosocket import Audio, Kind
from audiosocket_gw.testing.simulator import SimulatedAgent
from tests.asterisk.lab import Lab
from tests.asterisk.raw_phone import RawPhone, calling
from tests.asterisk.release import COMFORT_NOISE, KEYS, WIDEBAND
from tests.asterisk.signals import likeness, loudest_tone, tone
from tests.asterisk.wire import Wire, wire
from tests.audio.signals import speech, to_samples
from tests.harness.gateway import MANUAL, GatewayHarness, running_gateway

pytestmark = pytest.mark.asterisk


@asynccontextmanager
async def call_of(
    lab: Lab, extension: str, agent: str = "pcm_8000"
) -> AsyncIterator[tuple[RawPhone, GatewayHarness, Wire, SimulatedAgent]]:
    """A phone's call to ``extension``, up as far as the agent."""
    scenario = replace(MANUAL, input_format=agent, output_format=agent)
    async with (
        running_gateway(scenario) as harness,
        wire(lab.ports.gateway, harness.gateway.address) as on_the_wire,
        lab.watch(),
        calling(lab, extension) as phone,
    ):
        await harness.wait_for(events.AgentConnected)
        yield phone, harness, on_the_wire, harness.simulator.conversations[0]


def spoken(seconds: float, hertz: float = 1_000) -> bytes:
    return linear_to_ulaw(tone(seconds, hertz))


@KEYS
async def test_keys_in_lower_case_from_the_dialplan(lab: Lab) -> None:
    async with running_gateway(port=lab.ports.gateway) as harness, lab.call("5001", "keys-1abcd#"):
        async with asyncio.timeout(30):
            while len(harness.of(events.DigitPressed)) < 6:
                await asyncio.sleep(0.05)
        assert not harness.of(events.CallEnded)
    assert "".join(digit.digit for digit in harness.of(events.DigitPressed)) == "1ABCD#"


@KEYS
async def test_keys_in_lower_case_from_a_phone(lab: Lab) -> None:
    async with call_of(lab, "5001") as (phone, harness, *_):
        for key in "1abcd#":
            await phone.press_by_info(key)
            await phone.speak(spoken(0.3), 20)
        async with asyncio.timeout(30):
            while len(harness.of(events.DigitPressed)) < 6:
                await asyncio.sleep(0.05)
        assert not harness.of(events.CallEnded)
    assert "".join(digit.digit for digit in harness.of(events.DigitPressed)) == "1ABCD#"


async def test_packets_that_a_jitter_buffer_makes_up_for_are_passed_over(lab: Lab) -> None:
    """Asterisk's frames for them are empty; every tenth packet is lost."""
    async with call_of(lab, "5021") as (phone, harness, on_the_wire, conversation):
        await phone.speak(spoken(6), 20, lost=lambda number: number % 10 == 7)
        async with asyncio.timeout(30):
            while conversation.output_format.seconds_of(bytes(conversation.log.received_audio)) < 5:
                await asyncio.sleep(0.1)
        assert not harness.of(events.CallEnded)
    empty = sum(1 for frame in on_the_wire.from_asterisk if isinstance(frame, Audio) and not frame.payload)
    print(f"{empty} empty frames")
    assert empty > 10
    assert loudest_tone(bytes(conversation.log.received_audio)[16_000:64_000]).hertz == pytest.approx(
        1_000, abs=2
    )


@pytest.mark.parametrize("extension", ["5001", pytest.param("5002", marks=COMFORT_NOISE)])
async def test_comfort_noise_does_no_harm(lab: Lab, extension: str) -> None:
    async with call_of(lab, extension) as (phone, harness, _, conversation):
        for payload in (b"\x40", b"\x40\x10\x20\x30", b"\x40" + bytes(range(10))):
            await phone.speak(spoken(0.5), 20)
            for _ in range(3):
                phone.send_comfort_noise(payload)
                await asyncio.sleep(0.1)
        await phone.speak(spoken(1, 700), 20)
        async with asyncio.timeout(30):
            while loudest_tone(bytes(conversation.log.received_audio)[-12_000:]).hertz < 1:
                await asyncio.sleep(0.1)
        assert not harness.of(events.CallEnded)
    assert {size % 2 for _, size in conversation.log.received_audio_sizes} == {0}


@WIDEBAND
@pytest.mark.parametrize("packet_ms", [100, 120])
async def test_long_packets_at_48_khz(lab: Lab, packet_ms: int) -> None:
    async with call_of(lab, "5022", "pcm_48000") as (phone, harness, on_the_wire, conversation):
        await phone.speak(spoken(4), packet_ms)
        async with asyncio.timeout(30):
            while len(conversation.log.received_audio) < 3 * 96_000:
                await asyncio.sleep(0.1)
        assert not harness.of(events.CallEnded)
    assert (Kind.SLIN48, packet_ms * 96) in on_the_wire.said_as
    heard = loudest_tone(bytes(conversation.log.received_audio)[96_000 : 3 * 96_000], 48_000)
    assert heard.hertz == pytest.approx(1_000, abs=2)
    assert 20 * np.log10(heard.peak / 8_000) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("extension", ["5001", "5002", "5003"])
@pytest.mark.parametrize(("packet_ms", "seconds"), [(2.5, 9), (5, 19), (120, 4)])
async def test_packets_of_any_length_are_heard(
    lab: Lab, extension: str, packet_ms: float, seconds: float
) -> None:
    """Counted as 20 ms each, those of 2.5 ms ended the call after 5 s, those of 5 ms after 15 s."""
    async with call_of(lab, extension) as (phone, harness, on_the_wire, conversation):
        await phone.speak(spoken(seconds), packet_ms)
        assert not harness.of(events.CallEnded)
        async with asyncio.timeout(30):
            while conversation.output_format.seconds_of(bytes(conversation.log.received_audio)) < seconds - 1:
                await asyncio.sleep(0.1)
    print(on_the_wire.said_as)
    heard = loudest_tone(bytes(conversation.log.received_audio)[-48_000:-16_000])
    assert heard.hertz == pytest.approx(1_000, abs=2)
    assert heard.rest_db > 20


SPEECH = speech("opening-hours")[: 2 * 8_000]


def clipped_wind(seconds: float) -> bytes:
    """Low noise at 8 kHz, far over full scale."""
    spectrum = np.fft.rfft(np.random.default_rng(2).standard_normal(round(8_000 * seconds)))
    hz = np.maximum(np.fft.rfftfreq(round(8_000 * seconds), 1 / 8_000), 20)
    audio = np.fft.irfft(spectrum * ((hz < 400) / hz**0.5 + 0.01))
    return to_samples(audio * 50_000 / audio.std()).tobytes()


@pytest.mark.parametrize("packet_ms", [10, 40])
async def test_wind_and_then_a_voice_without_a_manager_interface(lab: Lab, packet_ms: int) -> None:
    """Frames of 160 bytes have the size of G.711, those of 640 bytes that of 16 kHz; they are neither."""
    said = linear_to_ulaw(clipped_wind(0.5) + SPEECH.tobytes() + bytes(24_000))
    async with call_of(lab, "5001") as (phone, _, on_the_wire, conversation):
        await phone.speak(said, packet_ms)
        await asyncio.sleep(1)
    assert (Kind.SLIN, packet_ms * 16) in on_the_wire.said_as
    found = likeness(SPEECH.tobytes(), bytes(conversation.log.received_audio))
    print(found)
    assert found.level_db == pytest.approx(0, abs=1)
    assert found.added_db > 20


@pytest.mark.parametrize("packet_ms", [5, 10, 20, 40, 120])
async def test_g711_under_the_label_of_linear_audio_in_packets_of_any_length(
    lab: Lab, packet_ms: int
) -> None:
    said = linear_to_ulaw(bytes(16_000) + SPEECH.tobytes() + SPEECH.tobytes() + bytes(24_000))
    async with call_of(lab, "5012") as (phone, _, on_the_wire, conversation):
        await phone.speak(said, packet_ms)
        await asyncio.sleep(1)
    assert (Kind.SLIN, packet_ms * 8) in on_the_wire.said_as
    found = likeness(SPEECH.tobytes(), bytes(conversation.log.received_audio))
    print(found)
    assert found.level_db == pytest.approx(0, abs=1)
    assert found.added_db > 20
