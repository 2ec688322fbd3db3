from __future__ import annotations

import pytest

from audiosocket_gw.testing.simulator.vad import EnergyVad, Heard
from tests.testing.simulator.client import tone

STARTED, ENDED = Heard.SPEECH_STARTED, Heard.SPEECH_ENDED


def silence(ms: int) -> bytes:
    return bytes(16 * ms)


def vad() -> EnergyVad:
    return EnergyVad(8_000, level=500, speech_ms=60, silence_ms=200)


def test_speech_and_then_silence() -> None:
    assert vad().feed(silence(100) + tone(300) + silence(300)) == [STARTED, ENDED]


@pytest.mark.parametrize("size", [1, 7, 320, 321, 1000])
def test_the_pieces_do_not_matter(size: int) -> None:
    listener = vad()
    audio = tone(100) + silence(260) + tone(80) + silence(220)
    heard = [
        event for start in range(0, len(audio), size) for event in listener.feed(audio[start : start + size])
    ]
    assert heard == [STARTED, ENDED, STARTED, ENDED]


def test_a_click_is_no_speech() -> None:
    assert vad().feed((tone(40) + silence(100)) * 5) == []


def test_a_pause_is_no_end() -> None:
    listener = vad()
    assert listener.feed(tone(100) + silence(180) + tone(100) + silence(180)) == [STARTED]
    assert listener.is_speech
    assert listener.feed(silence(20)) == [ENDED]
    assert not listener.is_speech


def test_soft_noise_is_silence() -> None:
    quiet = (b"\x64\x00\x9c\xff" * 80) * 100
    assert vad().feed(quiet) == []


def test_windows_are_20_ms_at_any_rate() -> None:
    assert EnergyVad(22_050, 500, 60, 200).feed(tone(59, 22_050)) == []
    assert EnergyVad(22_050, 500, 60, 200).feed(tone(61, 22_050)) == [STARTED]
