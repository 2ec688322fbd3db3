"""The hold audio: the caller hears it while waiting, and the agent never does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.protocol.audiosocket import Kind, encode_audio
from audiosocket_gw.settings import GatewaySettings, Settings
from audiosocket_gw.testing.simulator.scenario import Metadata
from audiosocket_gw.testing.softphone.wav import write_wav
from tests.harness.agent_audio import linear, silence
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.gateway import MANUAL, running_gateway

pytestmark = pytest.mark.virtual_time

HUM = np.full(8_000, 1_000, "<i2").tobytes()
VOICE = np.full(8_000, 5_000, "<i2").tobytes()


@pytest.fixture
def hum(tmp_path: Path) -> Path:
    path = tmp_path / "hum.wav"
    write_wav(path, HUM)
    return path


async def hears_only(line: AsteriskPeer, value: int, frames: int = 5) -> None:
    """Wait until the caller has heard nothing but samples of that value for so many frames."""
    while set(np.frombuffer(line.heard[-320 * frames :], "<i2")) != {value}:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("mode", "speaking", "after"), [("waiting", 5_000, 0), ("gaps", 5_000, 1_000), ("under", 6_000, 1_000)]
)
async def test_the_caller_hears_it_and_the_agent_never(
    hum: Path, mode: str, speaking: int, after: int
) -> None:
    async with running_gateway(hold_audio=hum, hold_audio_mode=mode) as harness:
        line, agent = await harness.call()
        async with line:
            await hears_only(line, 1_000)
            await agent.send_audio(VOICE)
            await hears_only(line, speaking)
            await harness.wait_for(events.ReplyFinished, line.uuid)
            await hears_only(line, after)
            assert np.abs(np.diff(np.frombuffer(line.heard, "<i2").astype(int)[160:])).max() <= 5_000
            assert not any(agent.log.received_audio)
            assert harness.of(events.ReplyFinished)[0].heard_ms == 1_000


@pytest.mark.parametrize(("mode", "after"), [("waiting", 0), ("gaps", 1_000)])
async def test_background_audio_of_the_agents_own_is_no_speech(hum: Path, mode: str, after: int) -> None:
    background = silence(60 * 8_000)
    async with running_gateway(hold_audio=hum, hold_audio_mode=mode) as harness:
        line, agent = await harness.call()
        async with line:

            async def hears_over_background(value: int) -> None:
                while set(np.frombuffer(line.heard[-3_200:], "<i2")) - set(range(value, value + 7)):
                    await agent.send_audio(linear(background[:1_600]))
                    await asyncio.sleep(0.18)

            await hears_over_background(1_000)
            await agent.send_audio(VOICE)
            await hears_only(line, 5_000)
            await hears_over_background(after)


async def test_it_is_heard_before_the_agent_is_there(hum: Path) -> None:
    async with (
        running_gateway(
            replace(MANUAL, metadata=Metadata.NEVER), hold_audio=hum, hold_audio_gain_db=-20
        ) as harness,
        await harness.line() as line,
    ):
        line.identify()
        await hears_only(line, 100)


async def test_it_is_resampled_for_wideband_callers(hum: Path) -> None:
    async with running_gateway(hold_audio=hum, hold_audio_mode="gaps") as harness:
        line, _ = await harness.call()
        async with line:
            line.send(encode_audio(Kind.SLIN16, bytes(640)))
            while len(line.heard_as(Kind.SLIN16)) < 640 * 10:
                await asyncio.sleep(0.01)
            samples = np.frombuffer(line.heard_as(Kind.SLIN16), "<i2")[320:]
            assert np.abs(samples.astype(int) - 1_000).max() <= 2


async def test_a_file_that_can_not_be_used_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "hum.mp3"
    path.write_bytes(b"ID3" + bytes(100))
    settings = Settings(elevenlabs_agent_id="agent", port=0, hold_audio=path)
    with pytest.raises(ConfigurationError, match=r"HOLD_AUDIO=.*hum\.mp3.*not a WAV"):
        async with Gateway(GatewaySettings.of(settings)):
            pass
