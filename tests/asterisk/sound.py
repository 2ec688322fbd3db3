"""Sound whose every sample can be found again."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

SAMPLE_RATE = 8_000


def noise(seconds: float, seed: int) -> bytes:
    """Return white noise, 16-bit, 8 kHz: no stretch of it is like another, and none is silent."""
    samples = np.random.default_rng(seed).integers(1, 20_000, round(seconds * SAMPLE_RATE), dtype=np.int16)
    return samples.tobytes()


def tone(seconds: float, hertz: float) -> bytes:
    """Return a sine, 16-bit, 8 kHz."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return bytes((8_000 * np.sin(2 * np.pi * hertz * times)).astype(np.int16))


def loudest_hertz(pcm: bytes) -> float:
    """Return the frequency with the most energy in ``pcm`` (16-bit, 8 kHz)."""
    spectrum = np.abs(np.fft.rfft(np.frombuffer(pcm, np.int16)))
    return float(np.argmax(spectrum[1:]) + 1) * SAMPLE_RATE / (len(pcm) // 2)


def read_wav(path: Path) -> bytes:
    """Return the samples of a 16-bit, 8 kHz, mono WAV file."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (SAMPLE_RATE, 2, 1)
        return bytes(file.readframes(file.getnframes()))


def write_wav(path: Path, pcm: bytes) -> None:
    """Write ``pcm`` (16-bit, 8 kHz, mono) as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm)
