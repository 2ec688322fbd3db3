"""What an agent may send besides its words: backgrounds of every kind; and words with pauses. At 8 kHz."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio import PCM_8000
from audiosocket_gw.testing.simulator.prompts import WORDS, audio_of

Samples = npt.NDArray[np.float64]
RATE = 8_000


def words(*prompts: str, pause_s: float = 1.0) -> Samples:
    """Return prompts one after the other, with pauses between them."""
    pause = np.zeros(round(pause_s * RATE))
    pieces = [piece for name in prompts for piece in (pause, _prompt(name))]
    return np.concatenate(pieces[1:])


def silence(size: int) -> Samples:
    """Noise of the last bits, as converters and codecs leave it."""
    return _random().integers(0, 7, size).astype(float)


def white_noise(size: int) -> Samples:
    return _random().normal(0, 1, size)


def babble(size: int) -> Samples:
    """Return six voices at once."""
    voices = np.concatenate([_prompt(name) for name in sorted(WORDS)])
    starts = _random().integers(0, len(voices), 6)
    return np.asarray(sum(np.resize(np.roll(voices, start), size) for start in starts))


def tune(size: int) -> Samples:
    """Return four plucked notes a second."""
    notes = [_note(hz) for hz in (262, 330, 392, 523, 440, 349)]
    return np.resize(np.concatenate(notes), size)


def hum(size: int) -> Samples:
    return np.asarray(np.sin(2 * np.pi * 100 * np.arange(size) / RATE))


def typing(size: int) -> Samples:
    """Return keystrokes over a little noise."""
    random = _random()
    audio = random.normal(0, 0.05, size)
    for start in range(0, size - 120, 1_300):
        audio[start : start + 120] += random.normal(0, 3, 120) * np.exp(-np.arange(120) / 30)
    return audio


BACKGROUNDS: dict[str, Callable[[int], Samples]] = {
    "white noise": white_noise,
    "babble": babble,
    "tune": tune,
    "hum": hum,
    "typing": typing,
}


def at_level(audio: Samples, dbfs: float) -> Samples:
    """Bring audio to a level, its root mean square in dB below full scale."""
    return np.asarray(audio * 32_768 * 10 ** (dbfs / 20) / np.sqrt(np.mean(audio**2)))


def linear(audio: Samples) -> bytes:
    return np.rint(audio).clip(-32_768, 32_767).astype("<i2").tobytes()


def _prompt(name: str) -> Samples:
    return np.frombuffer(audio_of(name, PCM_8000), "<i2").astype(float)


def _note(hz: float) -> Samples:
    at = np.arange(RATE // 4) / RATE
    return np.asarray((np.sin(2 * np.pi * hz * at) + 0.5 * np.sin(4 * np.pi * hz * at)) * np.exp(-4 * at))


def _random() -> np.random.Generator:
    return np.random.default_rng(20)
