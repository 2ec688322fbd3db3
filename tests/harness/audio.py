"""Linear audio at 8 kHz in which each sample can be followed."""

from __future__ import annotations

import numpy as np

SILENCE = bytes(320)
"""20 ms."""


def ramp(ms: int, start: int = 1) -> bytes:
    """Audio in which every sample differs from its neighbours, and none is 0: a lost or doubled one shows."""
    count = ms * 8
    return b"".join(((start + n * 7) % 30_000 + 1).to_bytes(2, "little") for n in range(count))


def without_silence(audio: bytes) -> bytes:
    """Return the samples that are not 0."""
    samples = np.frombuffer(audio, np.int16)
    return bytes(samples[samples != 0])


def speech_ms(audio: bytes) -> float:
    """Return how many milliseconds of the audio aren't silence."""
    return np.count_nonzero(np.frombuffer(audio, "<i2")) / 8
