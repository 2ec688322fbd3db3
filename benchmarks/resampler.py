"""Measure the resampler, pair by pair: the cost of 20 ms, the delay, the pass-band, images and aliases."""

from __future__ import annotations

import argparse
import math
import time
from itertools import permutations

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio.resample import Resampler

USUAL = [(16_000, 8_000), (8_000, 16_000), (24_000, 8_000), (44_100, 8_000), (22_050, 8_000), (48_000, 8_000)]
USUAL += [(target, source) for source, target in USUAL[2:]] + [(48_000, 16_000), (44_100, 16_000)]
RATES = [8_000, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000]

PEAK = 30_000
PASSED = np.linspace(0.01, 0.425, 15)
EVERYWHERE = [*np.linspace(0.01, 0.495, 25), *np.linspace(0.505, 0.6, 10), *np.geomspace(0.7, 12, 15)]
"""Shares of the lower rate."""

REPEATS = 200
ROUNDS = 7


def main() -> None:
    """Print one line a pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every pair of rates of Asterisk and ElevenLabs")
    pairs = list(permutations(RATES, 2)) if parser.parse_args().all else USUAL
    print(f"{'from':>7} {'to':>7}  us/20 ms  first, ms  delay, ms  pass-band, dB   images and aliases, dB")
    for source, target in pairs:
        started = time.perf_counter()
        resampler = Resampler(source, target)
        first_ms = (time.perf_counter() - started) * 1000
        levels = [_response(source, target, share)[0] for share in PASSED]
        rest = max(_response(source, target, share)[1] for share in EVERYWHERE)
        times = f"{_cost_us(resampler, source):8.1f}  {first_ms:9.1f}  {_delay_ms(source, target):9.2f}"
        print(f"{source:7} {target:7}  {times}  {min(levels):+.2f} to {max(levels):+.2f}  {rest:6.1f}")


def _delay_ms(source: int, target: int) -> float:
    """Return how much of a second of audio is kept back."""
    returned = len(Resampler(source, target).push(np.zeros(source, np.int16)))
    return 1000 - returned * 1000 / target


def _cost_us(resampler: Resampler, rate: int) -> float:
    """Return what a frame of 20 ms costs, in the best of some rounds."""
    frame = np.random.default_rng(1).integers(-20_000, 20_000, rate // 50).astype("<i2")
    costs_s = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(REPEATS):
            resampler.push(frame)
        costs_s.append((time.perf_counter() - started) / REPEATS)
    return min(costs_s) * 1e6


def _response(source: int, target: int, share: float) -> tuple[float, float]:
    """Return the level of a tone, and of all else that it becomes, against the tone as it went in, in dB."""
    hz = share * min(source, target)
    if hz >= source / 2:
        return -180, -180
    went_in = PEAK * np.sin(2 * np.pi * hz * np.arange(source // 10) / source)
    came_out = Resampler(source, target).push(np.rint(went_in).astype("<i2"))[target // 50 : -target // 50]
    cycles = 2 * np.pi * hz * (np.arange(len(came_out)) + target // 50) / target
    basis = np.stack([np.sin(cycles), np.cos(cycles)], axis=1) * (hz < target / 2)
    found = np.linalg.lstsq(basis, came_out / PEAK, rcond=None)[0]
    return _db(float(np.hypot(*found))), _db(_rms(came_out / PEAK - basis @ found) * math.sqrt(2))


def _rms(audio: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(audio))))


def _db(ratio: float) -> float:
    return 20 * math.log10(max(ratio, 1e-9))


if __name__ == "__main__":
    main()
