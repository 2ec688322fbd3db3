"""The readings of one frame: the bits that its audio takes as linear audio, as mu-law, and as A-law.

Audio is smooth: read in the right format it is predictable, and in any other it looks like noise. So a
reading is measured by the number of bits of its description, and the shortest description is right. The
output of a compressing codec is noise in every reading.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio.formats import ALAW_8000, PCM_8000, ULAW_8000, AudioFormat
from audiosocket_gw.audio.g711 import alaw_to_linear, linear_to_alaw, linear_to_ulaw, ulaw_to_linear

_Floats = npt.NDArray[np.float64]

NOISE_BITS_PER_BYTE = 7.6
"""Random bytes take 8.2 in every reading, G.722 7.7 to 8.3, and ADPCM 7.6 to 8. White noise at full level
takes 7.6 in the right reading, speech 4 to 7.2."""

_MAX_BYTES = 1_920
"""Of a frame, what is read: the longest packet of a telephone, 120 ms. A peer's own may have 64 KiB."""

_MIN_ALPHABET = 16
"""A frame with fewer different bytes is idle, quiet, a steady tone, or only five samples long."""

_REGULAR_ALPHABET = 3
_REGULAR_BITS_PER_BYTE = 5.0
"""Tones and quiet take less. The idle pattern of G.722 takes 5.5, and a tone in ADPCM 5.9, in any reading."""

_OFFSET_WEIGHT = 0.1
"""Telephone audio has no DC offset. Idle codes read by the wrong law have one, and nothing else is wrong with
them: so only nine tenths of it are predicted."""


class FrameReadings:
    """One frame in every reading: ``bits`` of each, and properties of them all."""

    __slots__ = ("alphabet", "bits", "is_noise", "is_regular", "size", "tells")

    def __init__(self, payload: bytes) -> None:
        payload = payload[:_MAX_BYTES]
        self.size = len(payload)
        self.bits = {reading: describe(payload) for reading, describe in READINGS.items()}
        best = min(self.bits.values()) / self.size
        self.alphabet = alphabet = len(set(payload))
        self.is_regular = alphabet >= _REGULAR_ALPHABET and best < _REGULAR_BITS_PER_BYTE
        self.is_noise = alphabet >= _MIN_ALPHABET and best > NOISE_BITS_PER_BYTE
        # Few different bytes take few bits in any reading, such as the idle patterns of G.722 and ADPCM.
        of_noise = 256 * (1 - (255 / 256) ** min(self.size, 160))
        self.tells = alphabet >= _MIN_ALPHABET and best < NOISE_BITS_PER_BYTE - math.log2(of_noise / alphabet)

    def contradicts(self, format_: AudioFormat | None) -> bool:
        """Return whether this frame looks like a format other than this."""
        if format_ is None:
            return self.tells
        if self.tells:
            return min(self.bits, key=self.bits.__getitem__) != (
                format_ if format_ in self.bits else PCM_8000
            )
        return self.is_noise


def _linear_bits(payload: bytes) -> float:
    if len(payload) < 2:
        return math.inf
    samples = np.frombuffer(payload, "<i2", count=len(payload) // 2)
    # With more resolution, an unchanging signal would cost less than in G.711, which has twice the samples.
    return _audio_bits(samples.astype(np.float64), math.e / 2)


def _g711_bits(
    decode: Callable[[bytes], bytes], encode: Callable[[bytes], bytes]
) -> Callable[[bytes], float]:
    every_sample = np.arange(-32_768, 32_768, dtype="<i2").tobytes()
    steps = np.bincount(np.frombuffer(encode(every_sample), np.uint8), minlength=256)
    step_bits = np.log2(steps)

    def description_bits(payload: bytes) -> float:
        codes = np.frombuffer(payload, np.uint8)
        samples = np.frombuffer(decode(payload), "<i2").astype(np.float64)
        return _audio_bits(samples, float(steps[codes].mean()) / 2) - float(step_bits[codes].sum())

    return description_bits


def _audio_bits(samples: _Floats, resolution: float) -> float:
    """Return the bits to encode ``samples``, to within one unit, as errors of a prediction.

    The predictor is linear, of the second order and fitted to the samples; its errors are Laplacian.
    """
    offset = samples.mean()
    errors = _prediction_errors(samples - offset)
    mean = np.abs(errors).mean() + _OFFSET_WEIGHT * abs(offset) + resolution
    return len(samples) * math.log2(2 * math.e * mean)


def _prediction_errors(samples: _Floats) -> _Floats:
    once, twice = samples[:-1], samples[:-2]
    r0 = float(samples @ samples) * 1.0001 + 1  # a little noise, to solve silence and pure tones too
    r1 = float(samples[1:] @ once)
    r2 = float(samples[2:] @ twice)
    scale = r0 * r0 - r1 * r1
    errors = samples.copy()
    errors[1:] -= r1 * (r0 - r2) / scale * once
    errors[2:] -= (r0 * r2 - r1 * r1) / scale * twice
    return errors


READINGS: dict[AudioFormat, Callable[[bytes], float]] = {
    PCM_8000: _linear_bits,
    ULAW_8000: _g711_bits(ulaw_to_linear, linear_to_ulaw),
    ALAW_8000: _g711_bits(alaw_to_linear, linear_to_alaw),
}
