"""A G.722 encoder (ITU-T Recommendation G.722, 64 kbit/s): bytes that are no G.711, and come as fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tests.audio.signals import Samples, ideally_resampled, to_samples

_QMF = (3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11)
_DECISIONS = (
    *(0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023),
    *(1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919),
)
_NEGATIVE_CODES = (0, 63, 62, *range(31, 3, -1))
_POSITIVE_CODES = (0, *range(61, 31, -1))
_LOG_STEPS = (-60, -30, 58, 172, 334, 538, 1198, 3042)
_LOG_INDEX = (0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0)
_ANTILOG = tuple(round(2048 * 2 ** (n / 32)) for n in range(32))
_LOW_LEVELS = (
    0,
    -20456,
    -12896,
    -8968,
    -6288,
    -4240,
    -2584,
    -1200,
    20456,
    12896,
    8968,
    6288,
    4240,
    2584,
    1200,
    0,
)
_HIGH_LEVELS = (-7408, -1616, 7408, 1616)
_HIGH_LOG_STEPS = (798, -214, 798, -214)


def _clip(value: int) -> int:
    return max(-32_768, min(32_767, value))


class _Band:
    """One sub-band's adaptive predictor and quantiser scale."""

    def __init__(self, scale: int, shift: int, ceiling: int) -> None:
        self.scale = scale
        self.predicted = 0
        self._shift, self._ceiling = shift, ceiling
        self._log_scale = 0
        self._zeros = [0] * 6
        self._poles = [0, 0]
        self._differences = [0] * 6
        self._partial = [0, 0]
        self._reconstructed = [0, 0]
        self._from_zeros = 0

    def adapt(self, difference: int, log_step: int) -> None:
        self._log_scale = max(0, min(self._ceiling, (self._log_scale * 127 >> 7) + log_step))
        exponent = self._shift - (self._log_scale >> 11)
        step = _ANTILOG[self._log_scale >> 6 & 31]
        self.scale = (step << -exponent if exponent < 0 else step >> exponent) << 2
        self._predict(difference)

    def _predict(self, difference: int) -> None:
        reconstructed = _clip(self.predicted + difference)
        partial = _clip(self._from_zeros + difference)
        same = [(partial < 0) == (before < 0) for before in self._partial]
        first, second = self._poles
        slope = _clip(first << 2)
        slope = min(32_767, -slope if same[0] else slope) >> 7
        second = max(-12_288, min(12_288, slope + (128 if same[1] else -128) + (second * 32_512 >> 15)))
        limit = _clip(15_360 - second)
        first = max(-limit, min(limit, _clip((192 if same[0] else -192) + (first * 32_640 >> 15))))
        self._poles = [first, second]
        gain = 128 if difference else 0
        self._zeros = [
            _clip((gain if (before < 0) == (difference < 0) else -gain) + (zero * 32_640 >> 15))
            for zero, before in zip(self._zeros, self._differences, strict=True)
        ]
        self._differences = [difference, *self._differences[:-1]]
        self._partial = [partial, self._partial[0]]
        self._reconstructed = [reconstructed, self._reconstructed[0]]
        from_poles = _clip(
            sum(pole * _clip(2 * r) >> 15 for pole, r in zip(self._poles, self._reconstructed, strict=True))
        )
        self._from_zeros = _clip(
            sum(zero * _clip(2 * d) >> 15 for zero, d in zip(self._zeros, self._differences, strict=True))
        )
        self.predicted = _clip(from_poles + self._from_zeros)


def linear_to_g722(samples: Samples) -> bytes:
    """Encode 16 kHz audio: a byte for two samples, 160 for 20 ms."""
    return bytes(_codes(samples.astype(int).tolist()))


def _codes(samples: Sequence[int]) -> Iterator[int]:
    low, high = _Band(32, 8, 18_432), _Band(8, 10, 22_528)
    history = [0] * 24
    for first, second in zip(samples[::2], samples[1::2], strict=False):
        history = [*history[2:], first, second]
        odd = sum(c * x for c, x in zip(_QMF, history[::2], strict=True))
        even = sum(c * x for c, x in zip(reversed(_QMF), history[1::2], strict=True))
        yield _high_code(high, even - odd >> 14) << 6 | _low_code(low, even + odd >> 14)


def _low_code(band: _Band, sample: int) -> int:
    error = _clip(sample - band.predicted)
    size = error if error >= 0 else -error - 1
    level = 1
    while level < 30 and size >= _DECISIONS[level] * band.scale >> 12:
        level += 1
    code: int = (_NEGATIVE_CODES if error < 0 else _POSITIVE_CODES)[level]
    coarse = code >> 2
    band.adapt(band.scale * _LOW_LEVELS[coarse] >> 15, _LOG_STEPS[_LOG_INDEX[coarse]])
    return code


def _high_code(band: _Band, sample: int) -> int:
    error = _clip(sample - band.predicted)
    size = error if error >= 0 else -error - 1
    is_large = size >= 564 * band.scale >> 12
    code = (0 if is_large else 1) if error < 0 else (2 if is_large else 3)
    band.adapt(band.scale * _HIGH_LEVELS[code] >> 15, _HIGH_LOG_STEPS[code])
    return code


def wideband(samples: Samples) -> Samples:
    """Bring 8 kHz audio to 16 kHz: what a PSTN call is to a wideband phone, its upper band silent."""
    return to_samples(ideally_resampled(samples.astype(np.float64), 8_000, 16_000))
