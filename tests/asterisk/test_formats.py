"""A call sounds right whatever the phone and the agent speak: from a real SIP phone to the agent and back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import PCM_8000, AudioFormat, Converter
from audiosocket_gw.log.formatter import LineFormatter
from audiosocket_gw.protocol.audiosocket import Kind
from tests.asterisk.lab import AMI_PASSWORD, Lab
from tests.asterisk.phone import Phone
from tests.asterisk.release import WIDEBAND
from tests.asterisk.signals import likeness, loudest_tone, read_wav, tone
from tests.asterisk.wire import Wire, wire
from tests.audio.signals import ideally_resampled, speech, to_samples
from tests.harness.gateway import MANUAL, GatewayHarness, running_gateway

pytestmark = pytest.mark.asterisk

SPEECH = speech("opening-hours")[: 2 * 8_000]
SPEECH_S = 2
PEAK = 8_000


@pytest.fixture
def phone(lab: Lab, tmp_path: Path) -> Phone:
    return Phone.at_hand(lab, tmp_path)


@asynccontextmanager
async def gateway_on_the_wire(
    lab: Lab, agent: str, *, with_ami: bool = False
) -> AsyncIterator[tuple[GatewayHarness, Wire]]:
    """A gateway that speaks ``agent`` with the agent, and what it sends to and gets from Asterisk."""
    scenario = replace(MANUAL, input_format=agent, output_format=agent)
    ami: dict[str, Any] = {"ami_host": "127.0.0.1", "ami_port": lab.ports.ami, "ami_password": AMI_PASSWORD}
    async with (
        running_gateway(scenario, **(ami if with_ami else {})) as harness,
        wire(lab.ports.gateway, harness.gateway.address) as on_the_wire,
        lab.watch(),
    ):
        control = harness.gateway._server.context.pbxs.find("127.0.0.1")
        while control is not None and not control.connected:
            await asyncio.sleep(0.02)
        yield harness, on_the_wire


def spoken(agent: str, *, hertz: float, tone_s: float) -> bytes:
    """Return a sentence and a tone, in a format of the agent's."""
    audio_format = AudioFormat.parse(agent)
    sentence = to_samples(ideally_resampled(SPEECH.astype(np.float64), 8_000, audio_format.rate)).tobytes()
    linear = sentence + tone(tone_s, hertz, audio_format.rate, PEAK)
    return Converter(AudioFormat.parse(f"pcm_{audio_format.rate}"), audio_format).convert(linear)


def linear_8000(audio: bytes, agent: str) -> bytes:
    converter = Converter(AudioFormat.parse(agent), PCM_8000)
    return converter.convert(audio) + converter.drain()


def assert_it_sounds_right(heard: bytes, *, hertz: float) -> None:
    """Find the sentence and, after it, the tone in ``heard`` (8 kHz): both at their level, and clean."""
    sentence = likeness(SPEECH.tobytes(), heard)
    print(f"{sentence}")
    assert sentence.level_db == pytest.approx(0, abs=1)
    assert sentence.added_db > 30
    # The tone goes on to the end, where the way may have been cut in mid-frame: its last second but a bit.
    heard_tone = loudest_tone(heard[-20_000:-4_000])
    print(f"{heard_tone}")
    assert heard_tone.hertz == pytest.approx(hertz, abs=1)
    assert 20 * np.log10(heard_tone.peak / PEAK) == pytest.approx(0, abs=1)
    assert heard_tone.rest_db > 30


@pytest.mark.parametrize("agent", ["pcm_8000", "ulaw_8000", "pcm_16000"])
@pytest.mark.parametrize(("codec", "name"), [("PCMU/8000/1", "ulaw"), ("PCMA/8000/1", "alaw")])
async def test_a_dialplan_that_names_no_codec(
    lab: Lab, phone: Phone, codec: str, name: str, agent: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where there is a manager interface it tells the codec, and the warning shows the line to change."""
    with_ami = agent != "ulaw_8000"
    said = bytes(16_000) + SPEECH.tobytes() + tone(10, 1_000, peak=PEAK)
    async with gateway_on_the_wire(lab, agent, with_ami=with_ami) as (harness, on_the_wire):
        async with phone.call("5012", said, codec):
            uuid = (await harness.wait_for(events.AgentConnected)).uuid
            conversation = harness.simulator.conversations[0]
            await conversation.send_audio(spoken(agent, hertz=700, tone_s=5))
            while (
                conversation.output_format.seconds_of(bytes(conversation.log.received_audio))
                < 1 + SPEECH_S + 2
            ):
                await asyncio.sleep(0.1)
        await harness.wait_for(events.CallEnded)
    assert on_the_wire.said_as == {(Kind.SLIN, 160)}
    assert on_the_wire.heard_as == {(Kind.SLIN, 320)}
    received = bytes(conversation.log.received_audio)
    if agent == f"{name}_8000":
        assert on_the_wire.said[8_000:24_000] in received, "equal formats pass untouched"
    assert_it_sounds_right(linear_8000(received, agent), hertz=1_000)
    assert_it_sounds_right(read_wav(phone.heard), hertz=700)

    (warning,) = codec_warnings(caplog)
    if with_ami:
        assert f"codec ({name})" in warning
        dialled = f"AudioSocket/127.0.0.1:{lab.ports.gateway}/{uuid}"
        assert f"at 5012@phones:2 from Dial({dialled},,g) to Dial({dialled}/c(slin),,g)" in warning
    else:
        assert f"codec ({name}_8000)" in warning
        assert "/c(slin))" in warning


async def test_the_warning_shows_neither_number_nor_name_of_the_caller(
    lab: Lab, phone: Phone, caplog: pytest.LogCaptureFixture
) -> None:
    said = bytes(16_000) + SPEECH.tobytes() + tone(10, 1_000, peak=PEAK)
    async with gateway_on_the_wire(lab, "pcm_16000", with_ami=True) as (harness, _):
        async with phone.call("5024", said, "PCMU/8000/1"):
            uuid = (await harness.wait_for(events.AgentConnected)).uuid
            while not codec_warnings(caplog):
                await asyncio.sleep(0.1)
        await harness.wait_for(events.CallEnded)
    lines = [LineFormatter().format(record) for record in caplog.records]
    (warning,) = [line for line in lines if "c(slin)" in line]
    dialled = f"AudioSocket/127.0.0.1:{lab.ports.gateway}/{uuid}"
    assert warning.endswith(f"at 5024@phones:2 from Dial({dialled},...) to Dial({dialled}/c(slin),...)")
    assert not [line for line in lines if "Alice" in line or "01711234567" in line]


def codec_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return [message for message in logged if "c(slin)" in message]


@pytest.mark.parametrize("with_ami", [True, False])
async def test_a_codec_that_is_not_decoded_is_silence_for_the_agent(
    lab: Lab, phone: Phone, with_ami: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller hears the agent all the same, and the warning says what to do."""
    said = tone(20, 1_000, 16_000, PEAK)
    async with gateway_on_the_wire(lab, "pcm_8000", with_ami=with_ami) as (harness, on_the_wire):
        async with phone.call("5012", said, "G722/16000/1"):
            await harness.wait_for(events.AgentConnected)
            conversation = harness.simulator.conversations[0]
            await conversation.send_audio(tone(3, 700, peak=PEAK))
            while len(conversation.log.received_audio) < 3 * 16_000:
                await asyncio.sleep(0.1)
        await harness.wait_for(events.CallEnded)
    assert on_the_wire.said_as == {(Kind.SLIN, 160)}
    # Without Asterisk's word it takes ten frames to know.
    assert not any(conversation.log.received_audio[0 if with_ami else 16_000 :])
    heard_tone = loudest_tone(read_wav(phone.heard, 16_000)[-64_000:-16_000], 16_000)
    assert heard_tone.hertz == pytest.approx(700, abs=1)
    assert heard_tone.rest_db > 30
    (warning,) = codec_warnings(caplog)
    assert f"codec ({'g722' if with_ami else 'not G.711'})" in warning


@WIDEBAND
async def test_wideband_is_carried_both_ways_untouched(lab: Lab, phone: Phone) -> None:
    reply = tone(3, 6_000, 16_000, PEAK)
    async with gateway_on_the_wire(lab, "pcm_16000") as (harness, on_the_wire):
        # Telephones offer G.711, too.
        codecs = "G722/16000/1,PCMU/8000/1,PCMA/8000/1"
        async with phone.call("5003", tone(20, 6_000, 16_000, PEAK), codecs):
            await harness.wait_for(events.AgentConnected)
            conversation = harness.simulator.conversations[0]
            await conversation.send_audio(reply)
            while len(conversation.log.received_audio) < 3.5 * 32_000:
                await asyncio.sleep(0.1)
        await harness.wait_for(events.CallEnded)
    assert on_the_wire.said_as == {(Kind.SLIN16, 640)}
    assert on_the_wire.heard_as == {(Kind.SLIN16, 640)}
    # Nothing was resampled: the agent got what Asterisk sent, frame by frame, and the other way round.
    received = bytes(conversation.log.received_audio)
    assert on_the_wire.said[32_000:96_000] in received
    assert {size for _, size in conversation.log.received_audio_sizes[-100:]} == {640}
    assert reply in on_the_wire.heard

    for heard in (received, read_wav(phone.heard, 16_000)):
        heard_tone = loudest_tone(heard[-80_000:-16_000], 16_000)
        print(heard_tone)
        assert heard_tone.hertz == pytest.approx(6_000, abs=1)
        assert 20 * np.log10(heard_tone.peak / PEAK) == pytest.approx(0, abs=1)
        assert heard_tone.rest_db > 20  # G.722 has two bits for a sample above 4 kHz


# Barge-in

LOUD = 30_000


@pytest.mark.parametrize("extension", ["5001", "5002"])
async def test_an_interrupted_agent_fades(lab: Lab, extension: str) -> None:
    """In the caller's own recording no step is longer than the tone's own, and its end takes 5 to 10 ms."""
    # A cosine: every frame of 20 ms ends at its peak, where a cut would be a step of 30,000.
    times = np.arange(5 * 8_000) / 8_000
    reply = to_samples(LOUD * np.cos(2 * np.pi * 700 * times) * np.minimum(1, times / 0.01))
    async with running_gateway(port=lab.ports.gateway) as harness, lab.call(extension, "record-ear"):
        await harness.wait_for(events.AgentConnected)
        conversation = harness.simulator.conversations[0]
        for _ in range(3):
            conversation.begin_reply()
            await conversation.send_audio(reply.tobytes())
            await asyncio.sleep(0.7)
            await conversation.interrupt()
            await asyncio.sleep(0.3)
    heard = np.frombuffer(read_wav(lab.recordings / "ear.wav"), np.int16).astype(np.int32)
    assert np.abs(np.diff(heard)).max() <= np.abs(np.diff(reply.astype(np.int32))).max()
    fades_ms = list(fade_lengths_ms(heard))
    print(f"{extension}: fades of {fades_ms} ms")
    assert len(fades_ms) == 3
    assert all(5 <= fade_ms <= 10 for fade_ms in fades_ms)


def fade_lengths_ms(heard: npt.NDArray[np.int32]) -> Iterator[float]:
    """Find the ends of the replies; yield how long each takes from its full level to silence."""
    period = 80  # seven cycles
    peaks = np.abs(heard[: len(heard) // period * period]).reshape(-1, period).max(axis=1)
    for number in np.flatnonzero((peaks[:-1] > 0) & (peaks[1:] == 0)):
        end = np.flatnonzero(heard[: (number + 1) * period])[-1]
        last_at_full_level = np.flatnonzero(np.abs(heard[: end + 1]) > 0.97 * LOUD)[-1]
        yield float(end - last_at_full_level) / 8
