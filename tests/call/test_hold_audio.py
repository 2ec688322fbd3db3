"""The hold audio: the caller hears it while waiting, and the agent never does."""

from __future__ import annotations

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import TELEPHONE_RATE
from audiosocket_gw.audio.hold_audio import HoldAudio, HoldAudioFile, HoldAudioMode
from audiosocket_gw.protocol.audiosocket import Kind
from tests.audio.wav_bytes import wav
from tests.call.driver import Driver
from tests.harness.agent_audio import linear, silence

HUM = wav(np.full(8_000, 1_000, "<i2"))
VOICE = np.full(8_000, 5_000, "<i2").tobytes()


def waiting(mode: str, gain_db: float = 0) -> Driver:
    """Return a driver whose caller hears a hum of 1,000 while waiting."""
    file = HoldAudioFile.parse(HUM, gain_db)
    return Driver(hold_audio=HoldAudio(file, HoldAudioMode(mode), TELEPHONE_RATE))


def hears_only(driver: Driver, value: int, frames: int = 5) -> bool:
    """Tell whether the caller has heard nothing but samples of that value for that many frames."""
    return set(np.frombuffer(driver.heard[-320 * frames :], "<i2")) == {value}


@pytest.mark.parametrize(
    ("mode", "speaking", "after"), [("waiting", 5_000, 0), ("gaps", 5_000, 1_000), ("under", 6_000, 1_000)]
)
def test_the_caller_hears_it_and_the_agent_never(mode: str, speaking: int, after: int) -> None:
    driver = waiting(mode)
    driver.tick(6)
    assert hears_only(driver, 1_000)
    driver.connect()
    driver.run(0.5)
    assert hears_only(driver, 1_000), "until the agent speaks"
    driver.agent_says(VOICE)
    driver.run(0.5)
    assert hears_only(driver, speaking)
    driver.run(0.7)
    assert hears_only(driver, after)
    steps = np.diff(np.frombuffer(driver.heard, "<i2").astype(int)[160:])
    assert np.abs(steps).max() <= 5_000
    assert driver.to_agent
    assert not any(driver.agent_heard)
    (finished,) = driver.of(events.ReplyFinished)
    assert finished.heard_ms == 1_000


@pytest.mark.parametrize(("mode", "after"), [("waiting", 0), ("gaps", 1_000)])
def test_background_audio_of_the_agents_own_is_no_speech(mode: str, after: int) -> None:
    background = linear(silence(1_600))
    driver = waiting(mode)
    driver.connect()

    def hears_over_background(value: int) -> bool:
        for _ in range(15):
            driver.agent_says(background)
            driver.run(0.18)
        return set(np.frombuffer(driver.heard[-3_200:], "<i2")) <= set(range(value, value + 7))

    assert hears_over_background(1_000)
    driver.agent_says(VOICE)
    driver.run(0.5)
    assert hears_only(driver, 5_000)
    assert hears_over_background(after)


def test_it_may_be_softer_than_its_file() -> None:
    driver = waiting("waiting", gain_db=-20)
    driver.tick(6)
    assert hears_only(driver, 100)


def test_it_is_resampled_for_wideband_callers() -> None:
    driver = waiting("gaps")
    driver.tick()
    driver.caller_says(bytes(640), Kind.SLIN16)
    driver.tick(10)
    heard = b"".join(frame.payload for frame in driver.frames if frame.kind is Kind.SLIN16)
    assert len(heard) == 640 * 10
    samples = np.frombuffer(heard, "<i2")[320:].astype(int)
    assert np.abs(samples - 1_000).max() <= 2
