"""The level of one direction of a call in the last half minute: two bytes each 20 ms, not the audio. Pure."""

from __future__ import annotations

from math import log10
from typing import Any

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio.formats import FRAME_BYTES

FULL_SCALE = 109
"""The level of the loudest audio, in decibels above one unit of 16-bit samples; silence has 0."""

Levels = npt.NDArray[np.float32]

_Bits = npt.NDArray[np.uint16]

_DB_PER_BIT = 10 * log10(2) / 128
_BITS_OF_ONE = 127 * 128.0


def levels_of(audio: bytes, frame_bytes: int) -> _Bits:
    """Return the levels of each 20 ms of linear audio, which has whole frames of ``frame_bytes``.

    It is the energy in the band around 2 kHz, which all voices have: without hum and rumble, whose level
    changes as that of a voice, that of other noise is even. Of each energy, a 32-bit number, the upper half
    is kept: 8 bits of exponent and 7 of mantissa are nearly its logarithm, which costs more.
    """
    step = 2 * max(1, frame_bytes // FRAME_BYTES)
    samples = np.frombuffer(audio, "<i2").reshape(-1, frame_bytes // 2)[:, ::step].astype(np.float32)
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
        return (int(levels.max()) - _BITS_OF_ONE) * _DB_PER_BIT

    def read(self, start: int, end: int) -> Levels:
        """Return the levels from ``start`` to ``end`` in decibels; unknown ones are 0."""
        bits = np.zeros(max(0, end - start), np.float32)
        first = self.end - len(self._levels) // 2
        start_known, end_known = max(start, first), min(end, self.end)
        if start_known < end_known:
            known = np.frombuffer(self._levels, np.uint16)[start_known - first : end_known - first]
            bits[start_known - start : end_known - start] = known
        levels: Levels = (bits - np.float32(_BITS_OF_ONE)) * np.float32(_DB_PER_BIT)
        return np.maximum(levels, 0, out=levels)
