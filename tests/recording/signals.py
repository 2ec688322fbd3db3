"""Audio whose place shows: each frame of it is a constant of its own."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audiosocket_gw.protocol.audiosocket import Audio, Kind, encode_audio

Samples = npt.NDArray[np.int16]

RATE = 8_000
FRAME = 160
"""Samples of 20 ms."""


def payload(number: int, samples: int = FRAME) -> bytes:
    """Return a frame full of ``number``, which is not 0."""
    return np.full(samples, number, "<i2").tobytes()


def to_caller(number: int, samples: int = FRAME) -> bytes:
    return encode_audio(Kind.SLIN, payload(number, samples))


def from_caller(number: int, samples: int = FRAME) -> Audio:
    return Audio(Kind.SLIN, payload(number, samples))


def places(channel: Samples) -> dict[int, int]:
    """Return where each frame begins: number to position; what is there must be whole."""
    found = {}
    for number in np.unique(channel[channel != 0]).tolist():
        where = np.flatnonzero(channel == number)
        assert len(where) == FRAME, number
        assert where[-1] - where[0] == FRAME - 1, number
        found[number] = int(where[0])
    return found


def read(path: Path) -> tuple[int, Samples, Samples]:
    """Return rate, left and right channel of a file, as any player would."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        audio = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        assert len(audio) == file.getnframes()
        return file.getframerate(), audio[:, 0], audio[:, 1]
