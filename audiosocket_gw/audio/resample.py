"""A streaming, band-limited resampler between any two rates.

The filter is a sinc under a Kaiser window, linear in phase, 23 samples of the lower of the two rates to each
side. With f, the lower rate, it

- passes up to 0.425 f (3.4 kHz at 8 kHz) within 0.3 dB;
- stops from 0.5 f (4 kHz at 8 kHz) on: the sum of all images and aliases of a tone of any frequency is at
  least 65 dB below the tone, in every band;
- needs 23 / f of input beyond a sample to compute it: 2.9 ms at 8 kHz. That is the whole delay.

These figures depend on each other: the filter's length is inversely proportional to the width of the
transition band, and grows with the attenuation. 20 samples a side would reach 57 dB, 24 would reach 69.

Sample n of the output is the audio at n / rate: samples become available later, but are not shifted.

The coefficients are multiples of 2**-24. So their products with 16-bit samples, and the sums, are exact in
64-bit floating point in any order of addition: the output doesn't depend on how the input was split.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import gcd

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]
_Floats = npt.NDArray[np.float64]

_REACH = 23
"""Half the length of the filter, in samples of the lower rate."""

_CUTOFF = 0.456
"""The middle of the transition band, in cycles per sample of the lower rate: 0.3 dB down at 0.425, 65 dB at
0.5."""

_KAISER_BETA = 6.3

_COEFFICIENT_UNIT = 2.0**-24


class Resampler:
    """One direction of one call: linear audio in at one rate, out at another."""

    __slots__ = ("_bank", "_done", "_heard")

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self._bank = _bank(source_rate, target_rate)
        self._heard = self._bank.before
        """Input from the first sample that the current period of the bank needs."""
        self._done = 0
        """How many samples of the current period have been returned."""

    def push(self, samples: Samples) -> Samples:
        """Take any number of samples and return all that can be computed now.

        After n samples of input that is ``ceil((n - delay) * ratio)`` in total, with the delay in input
        samples. Values beyond 16 bits are clipped.
        """
        bank = self._bank
        heard = np.concatenate((self._heard, samples))
        ready = max(bank.computable(len(heard)), self._done)
        periods = ready // bank.outputs
        resampled = bank.compute(heard, self._done, ready)
        self._heard = heard[periods * bank.inputs :]
        self._done = ready - periods * bank.outputs
        return resampled

    def drain(self) -> Samples:
        """Return the tail, so that n samples have become ``ceil(n * ratio)``, and reset the resampler."""
        tail = self.push(np.zeros(self._bank.reach, np.int16))
        self.reset()
        return tail

    def reset(self) -> None:
        """Discard the audio so far: the next audio is a new start, after silence."""
        self._heard = self._bank.before
        self._done = 0


@dataclass(frozen=True, slots=True)
class _Bank:
    """The filter of one ratio, shared by all calls.

    The ratio is rational, so positions between input samples recur: a period of ``outputs`` samples from
    ``inputs`` samples. It is divided into blocks of equal length. Each is the product of a window of the
    input and a matrix, whose columns are the filter at the position of each sample.
    """

    inputs: int
    outputs: int
    reach: int
    """Half the length of the filter, in samples of the input: the delay."""
    starts: npt.NDArray[np.intp]
    """The start of each block's window in the period."""
    matrices: _Floats
    """(blocks, samples of the window, outputs of the block)"""

    @property
    def before(self) -> Samples:
        """The silence before the first sample, over half the length of the filter."""
        return np.zeros(self.reach - 1, np.int16)

    def computable(self, heard: int) -> int:
        """Return how many outputs ``heard`` inputs determine, counted from the start of a period."""
        return -((2 * self.reach - 1 - heard) * self.outputs // self.inputs)

    def compute(self, heard: Samples, start: int, stop: int) -> Samples:
        """Return the outputs ``start`` to ``stop``, counted as in `computable`."""
        periods = -(-stop // self.outputs)
        _, window, _ = self.matrices.shape
        # In an incomplete last period the outputs beyond `stop` come from zeros, and are dropped.
        padded = np.zeros(max(periods * self.inputs + window, len(heard)))
        padded[: len(heard)] = heard
        windows = np.ndarray((len(padded) - window + 1, window), padded.dtype, padded, 0, padded.strides * 2)
        starts = self.starts[:, None] + self.inputs * np.arange(periods)
        outputs = (windows[starts] @ self.matrices).swapaxes(0, 1).reshape(-1)[start:stop]
        resampled: Samples = np.rint(outputs).clip(-32_768, 32_767).astype("<i2")
        return resampled


@cache  # the rates of both sides make 90 pairs; all take 7 MB
def _bank(source_rate: int, target_rate: int) -> _Bank:
    common = gcd(source_rate, target_rate)
    up, down = target_rate // common, source_rate // common
    reach = _REACH * max(up, down) // up
    block = _block_length(up, reach * up // (2 * down))
    outputs = np.arange(max(up, block)).reshape(-1, block)
    positions = outputs * down // up
    starts = positions[:, 0]
    into_window = positions - starts[:, None]
    window = int(into_window.max()) + 2 * reach
    # Of each window sample (axis 1), its distance to each output (axis 2), in samples of the input.
    fractions = outputs * down % up / up
    distances = np.arange(window)[:, None] - (into_window + reach - 1 + fractions)[:, None, :]
    taps = _kernel(distances, reach, _CUTOFF * min(1, up / down))
    taps /= taps.sum(axis=1, keepdims=True)
    matrices = np.rint(taps / _COEFFICIENT_UNIT) * _COEFFICIENT_UNIT
    return _Bank(
        inputs=outputs.size * down // up,
        outputs=outputs.size,
        reach=reach,
        starts=starts,
        matrices=matrices,
    )


def _block_length(up: int, wanted: int) -> int:
    """Return the block length nearest to ``wanted`` that divides the period.

    Blocks of a quarter of the filter cost least: longer ones multiply more zeros, and shorter ones are more
    numerous.
    """
    if wanted > up:
        return wanted // up * up
    return min((length for length in range(1, up + 1) if up % length == 0), key=lambda n: abs(n - wanted))


def _kernel(distances: _Floats, reach: int, cutoff: float) -> _Floats:
    """Return the windowed sinc, 0 from ``reach`` on; distances in samples, cutoff in cycles per sample."""
    inside = np.maximum(1 - (distances / reach) ** 2, 0)
    window: _Floats = np.i0(_KAISER_BETA * np.sqrt(inside)) * (inside > 0)
    return np.sinc(2 * cutoff * distances) * window
