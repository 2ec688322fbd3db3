"""G.711: mu-law and A-law, one byte a sample, to and from linear audio, two bytes a sample.

The codes and values are those of ITU-T G.711, tables 1 and 2, in the upper bits of a 16-bit sample: the 13
bits of A-law times 8, the 14 bits of mu-law times 4. The tables don't define the code of a sample that equals
a decision value; there this module follows the ITU's reference code (G.191): a negative sample is coded as
its ones' complement, so -1 mirrors 0, and each code covers as many samples as its counterpart of the other
sign.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_CODES = np.arange(256, dtype=np.int32)
_SAMPLES = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)
"""Every sample, indexed by its bits read as unsigned: the order of the encoding tables."""

_MAGNITUDES = _SAMPLES ^ (_SAMPLES >> 31)

_POSITIVE = 0x80
"""The sign bit is set in the codes of positive samples, in both laws."""

_ULAW_BIAS = 0x84
_ALAW_INVERTED = 0x55
"""A-law is sent with every other bit inverted; mu-law with all seven bits of its magnitude inverted."""


def _signed(codes: npt.NDArray[np.int32], magnitudes: npt.NDArray[np.int32]) -> npt.NDArray[np.int16]:
    return np.where(codes & _POSITIVE, magnitudes, -magnitudes).astype("<i2")


def _ulaw_values() -> npt.NDArray[np.int16]:
    """Table 2, character signals in order: 3 bits of segment, 4 bits of step."""
    inverted = ~_CODES
    magnitudes = (((inverted & 0x0F) << 3) + _ULAW_BIAS << (inverted >> 4 & 0x07)) - _ULAW_BIAS
    return _signed(_CODES, magnitudes)


def _alaw_values() -> npt.NDArray[np.int16]:
    """Table 1; the two segments nearest to zero have the same step."""
    straight = _CODES ^ _ALAW_INVERTED
    segment = straight >> 4 & 0x07
    steps = ((straight & 0x0F) << 4) + 8 + np.where(segment > 0, 0x100, 0)
    return _signed(_CODES, steps << np.maximum(segment - 1, 0))


def _segments(magnitudes: npt.NDArray[np.int32], first_bits: int) -> npt.NDArray[np.int32]:
    """The number of the highest bit, counted from ``first_bits``, and 0 for all that is below."""
    exponents: npt.NDArray[np.int32] = np.frexp(magnitudes)[1]
    return np.maximum(exponents - first_bits, 0)


def _ulaw_codes() -> npt.NDArray[np.uint8]:
    biased = np.minimum(_MAGNITUDES + _ULAW_BIAS, 0x7FFF)
    segment = _segments(biased, 8)
    magnitude = segment << 4 | (biased >> segment + 3 & 0x0F)
    return np.asarray(np.where(_SAMPLES < 0, 0, _POSITIVE) | magnitude ^ 0x7F, np.uint8)


def _alaw_codes() -> npt.NDArray[np.uint8]:
    segment = _segments(_MAGNITUDES, 8)
    step = _MAGNITUDES >> np.maximum(segment - 1, 0) + 4 & 0x0F
    straight = np.where(_SAMPLES < 0, 0, _POSITIVE) | segment << 4 | step
    return np.asarray(straight ^ _ALAW_INVERTED, np.uint8)


_ULAW_VALUES = _ulaw_values()
_ALAW_VALUES = _alaw_values()
_ULAW_CODES = _ulaw_codes()
_ALAW_CODES = _alaw_codes()


def ulaw_to_linear(ulaw: bytes) -> bytes:
    """Expand mu-law to linear audio."""
    linear: bytes = _ULAW_VALUES[np.frombuffer(ulaw, np.uint8)].tobytes()
    return linear


def alaw_to_linear(alaw: bytes) -> bytes:
    """Expand A-law to linear audio."""
    linear: bytes = _ALAW_VALUES[np.frombuffer(alaw, np.uint8)].tobytes()
    return linear


def linear_to_ulaw(linear: bytes) -> bytes:
    """Compress linear audio, an even number of bytes, to mu-law."""
    ulaw: bytes = _ULAW_CODES[np.frombuffer(linear, "<u2")].tobytes()
    return ulaw


def linear_to_alaw(linear: bytes) -> bytes:
    """Compress linear audio, an even number of bytes, to A-law."""
    alaw: bytes = _ALAW_CODES[np.frombuffer(linear, "<u2")].tobytes()
    return alaw
