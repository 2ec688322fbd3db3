"""Audio whose every sample can be found again, and what has become of it on its way."""

from __future__ import annotations

import math
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 8_000


def noise(seconds: float, seed: int) -> bytes:
    """Return white noise, 16-bit, 8 kHz: no stretch of it is like another, and none is silent."""
    samples = np.random.default_rng(seed).integers(1, 20_000, round(seconds * SAMPLE_RATE), dtype=np.int16)
    return samples.tobytes()


def tone(seconds: float, hertz: float, rate: int = SAMPLE_RATE, peak: int = 8_000) -> bytes:
    """Return a sine, 16-bit."""
    times = np.arange(round(seconds * rate)) / rate
    return bytes((peak * np.sin(2 * np.pi * hertz * times)).astype(np.int16))


@dataclass(frozen=True, slots=True)
class Tone:
    """The loudest tone of some audio, and how far all the rest together is below it."""

    hertz: float
    peak: float
    rest_db: float


def loudest_tone(pcm: bytes, rate: int = SAMPLE_RATE) -> Tone:
    """Find the loudest tone of ``pcm`` (16-bit)."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float64)
    window = np.hanning(len(samples))
    power = np.abs(np.fft.rfft(samples * window)) ** 2
    power[:3] = 0  # what a direct component leaves
    loudest = int(np.argmax(power))
    # The window spreads a tone over two bins on each side.
    of_tone = float(power[max(0, loudest - 3) : loudest + 4].sum())
    rest = max(float(power.sum()) - of_tone, 1e-9)
    peak = math.sqrt(4 * of_tone / (len(samples) * float(window @ window)))
    return Tone(loudest * rate / len(samples), peak, 10 * math.log10(of_tone / rest))


def loudest_hertz(pcm: bytes, rate: int = SAMPLE_RATE) -> float:
    """Return the frequency of the loudest tone of ``pcm`` (16-bit)."""
    return loudest_tone(pcm, rate).hertz


@dataclass(frozen=True, slots=True)
class Likeness:
    """What a way has made of audio: the change of its level, and what has been added, below the audio."""

    level_db: float
    added_db: float


HALF_A_FILTER = 16
"""Samples on each side."""


def likeness(sent: bytes, received: bytes) -> Likeness:
    """Compare ``received`` with ``sent`` (16-bit, of one rate), wherever in it that begins.

    A short filter is granted: a delay may be a part of a sample, and a resampler cuts the highest tones off.
    """
    original, heard = (np.frombuffer(pcm, np.int16).astype(np.float64) for pcm in (sent, received))
    start = _start_of(original, heard)
    size = len(original)
    delays = range(start - HALF_A_FILTER, start + HALF_A_FILTER + 1)
    shifted = np.stack([heard[delay : delay + size] for delay in delays], axis=1)
    taps, *_ = np.linalg.lstsq(shifted, original, rcond=None)
    carried = shifted @ taps
    return Likeness(_decibels(heard[start : start + size], original), _decibels(carried, original - carried))


def _decibels(audio: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    return 10 * math.log10(float(audio @ audio) / max(float(other @ other), 1e-9))


def _start_of(original: npt.NDArray[np.float64], heard: npt.NDArray[np.float64]) -> int:
    """Return where ``heard`` is most like ``original``; there is room for the filter on both sides."""
    size = len(original) + len(heard)
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(original, size))
    last = len(heard) - len(original) - HALF_A_FILTER
    return max(HALF_A_FILTER, int(np.argmax(np.fft.irfft(product, size)[:last])))


def read_wav(path: Path, rate: int = SAMPLE_RATE) -> bytes:
    """Return the samples of a 16-bit, mono WAV file."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (rate, 2, 1)
        return bytes(file.readframes(file.getnframes()))


def write_wav(path: Path, pcm: bytes, rate: int = SAMPLE_RATE) -> None:
    """Write ``pcm`` (16-bit, mono) as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
