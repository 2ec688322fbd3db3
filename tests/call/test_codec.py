"""Audio under a wrong label, from Asterisk's bytes to the agent's, and what the log says of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from audiosocket_gw.audio import linear_to_alaw
from audiosocket_gw.protocol.audiosocket import Audio, Kind, encode_audio
from tests.audio.g722 import wideband
from tests.audio.signals import speech
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.gateway import MANUAL, running_gateway

pytestmark = pytest.mark.virtual_time


async def speak(line: AsteriskPeer, audio: bytes, size: int, frame_ms: float) -> None:
    """Send frames in real time."""
    clock = asyncio.get_running_loop().time
    start = clock()
    for number, at in enumerate(range(0, len(audio) - size + 1, size)):
        await asyncio.sleep(start + number * frame_ms / 1000 - clock())
        line.send(encode_audio(Kind.SLIN, audio[at : at + size]))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    logged = (record for record in caplog.records if record.levelno >= logging.WARNING)
    return [
        record.getMessage()
        for record in logged
        if "the caller" in record.getMessage() or "label" in record.getMessage()
    ]


async def test_16_khz_under_the_label_of_8_khz(caplog: pytest.LogCaptureFixture) -> None:
    """What Asterisk does with c(slin16) before 20.17, 21.12, 22.7 and 23.1."""
    scenario = replace(MANUAL, input_format="pcm_16000", output_format="pcm_16000")
    said = wideband(speech("opening-hours")).tobytes()
    async with running_gateway(scenario) as harness:
        line, conversation = await harness.call()
        async with line:
            await speak(line, said, 640, 20)
            rest = said[48_000 : len(said) // 640 * 640]
            while rest not in bytes(conversation.log.received_audio):
                await asyncio.sleep(0.02)
            sizes = {(frame.kind, len(frame.payload)) for frame in line.frames if isinstance(frame, Audio)}
    assert sizes == {(Kind.SLIN, 320)}, "the answer has the kind that came, which such an Asterisk takes"
    (warning,) = warnings(caplog)
    assert "16000 Hz labelled as 8000 Hz" in warning
    assert "20.17, 21.12, 22.7 and 23.1" in warning


async def test_packets_of_40_ms_are_8_khz(caplog: pytest.LogCaptureFixture) -> None:
    said = speech("opening-hours").tobytes()
    async with running_gateway() as harness:
        line, conversation = await harness.call()
        async with line:
            await speak(line, said, 640, 40)
            while said[: len(said) // 640 * 640] not in bytes(conversation.log.received_audio):
                await asyncio.sleep(0.02)
    assert warnings(caplog) == []


async def test_a_codec_that_changes_is_one_line_more(caplog: pytest.LogCaptureFixture) -> None:
    """A-law at first; then, after a re-INVITE, linear audio, whose frames have another size."""
    said = speech("opening-hours").tobytes()
    async with running_gateway() as harness:
        line, conversation = await harness.call()
        async with line:
            await speak(line, linear_to_alaw(said), 160, 20)
            await asyncio.sleep(0.4)
            await speak(line, said, 320, 20)
            while said[640 : len(said) // 320 * 320] not in bytes(conversation.log.received_audio):
                await asyncio.sleep(0.02)
    advice, change = warnings(caplog)
    assert "alaw_8000" in advice
    assert "is pcm_8000 now, not alaw_8000" in change
