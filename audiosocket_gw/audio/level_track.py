"""The level of one direction of a call in the last half minute: two bytes each 20 ms, not the audio. Pure.

For the levels a small part of the audio is enough, the *extract*: the upper byte of every fourth sample. So
what waits to be measured takes an eighth of the memory, and less time. Audio softer than -42 dBFS is only one
bit of noise in it; speech is louder.
"""

from __future__ import annotations

from functools import lru_cache
from math import log10
from typing import Any

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio.formats import TELEPHONE_RATE, AudioFormat, Encoding
from audiosocket_gw.audio.g711 import alaw_to_linear, ulaw_to_linear

FULL_SCALE = 109
"""The level of the loudest audio, in decibels; silence has 0."""

Levels = npt.NDArray[np.float32]

_Bits = npt.NDArray[np.uint16]

_DB_PER_BIT = 10 * log10(2) / 128
_BITS_OF_ZERO = 110 * 128.0
"""The upper half of a 32-bit number that is 2 to the power of -17."""

_SAMPLES_APART = 4
_DECODERS = {Encoding.ULAW: ulaw_to_linear, Encoding.ALAW: alaw_to_linear}


@lru_cache(maxsize=64)
def extract_of(audio_format: AudioFormat) -> slice:
    """Return the part of audio that is its extract; of higher rates about as many bytes as at 8 kHz."""
    apart = _SAMPLES_APART * max(1, audio_format.rate // TELEPHONE_RATE)
    return slice(audio_format.sample_bytes - 1, None, apart * audio_format.sample_bytes)


def levels_of(extract: bytes, encoding: Encoding, frame_bytes: int) -> _Bits:
    """Return the levels of each 20 ms of audio by its extract, of whole frames of ``frame_bytes`` each.

    It is the energy of the changes from one byte to the next: without hum and rumble, whose level changes as
    that of a voice, that of other noise is even. Of each energy, a 32-bit number, the upper half is kept: 8
    bits of exponent and 7 of mantissa are nearly its logarithm, which costs more.
    """
    decode = _DECODERS.get(encoding)
    upper = np.frombuffer(extract if decode is None else decode(extract)[1::2], np.int8)
    samples = upper.astype(np.float32).reshape(-1, frame_bytes)
    changes = samples[:, 1:] - samples[:, :-1]
    energies: npt.NDArray[Any] = np.einsum("ij,ij->i", changes, changes)
    return energies.view(np.uint16)[1::2]


class LevelTrack:
    """Levels by their position, which counts from the beginning of the call."""

    __slots__ = ("_kept", "_levels", "end")

    def __init__(self, kept: int) -> None:
        """``kept``: the number of levels to keep at least."""
        self.end = 0
        """The position after the last level."""
        self._kept = kept
        self._levels = bytearray()

    def put(self, levels: _Bits, end: int) -> float:
        """Add levels that end at ``end``; return the loudest, in decibels.

        They replace what is there, and a gap before them is silent.
        """
        gap = end - len(levels) - self.end
        if gap < 0:
            del self._levels[2 * gap :]
        elif gap:
            self._levels += bytes(2 * min(gap, self._kept))
        self._levels += levels.tobytes()
        self.end = end
        if len(self._levels) > 3 * self._kept:
            del self._levels[: -2 * self._kept]
        loudest: int = max(levels.tolist())  # of so few faster than numpy's
        return (loudest - _BITS_OF_ZERO) * _DB_PER_BIT

    def read(self, start: int, end: int) -> Levels:
        """Return the levels from ``start`` to ``end`` in decibels; unknown ones are 0."""
        bits = np.zeros(max(0, end - start), np.float32)
        first = self.end - len(self._levels) // 2
        start_known, end_known = max(start, first), min(end, self.end)
        if start_known < end_known:
            known = np.frombuffer(self._levels, np.uint16)[start_known - first : end_known - first]
            bits[start_known - start : end_known - start] = known
        levels: Levels = (bits - np.float32(_BITS_OF_ZERO)) * np.float32(_DB_PER_BIT)
        return np.maximum(levels, 0, out=levels)
