"""The resampler: its figures for every pair of rates, and that no chunk border can be heard."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.audio import AGENT_FORMATS
from audiosocket_gw.audio.resample import Resampler
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES
from tests.audio.signals import Heard, Samples, listen, tone

RATES = sorted({*SAMPLE_RATES.values(), *(audio_format.rate for audio_format in AGENT_FORMATS)})
PAIRS = list(permutations(RATES, 2))
every_pair = pytest.mark.parametrize(("source", "target"), PAIRS)
pairs = st.sampled_from(PAIRS)

PEAK = 30_000
PASSED = [0.02, 0.1, 0.2, 0.3, 0.36, 0.4, 0.425]
"""Up to 0.425 of the lower rate, 3.4 kHz at 8 kHz, all must pass."""
SLOPE = [0.44, 0.46, 0.48, 0.495]
STOPPED = [0.505, 0.52, 0.55, 0.6, 0.75, 0.95, 1.02, 1.4, 1.98, 2.6, 4.1, 7.3, 11.2]


def whole(resampler: Resampler, samples: Samples) -> Samples:
    return np.concatenate((resampler.push(samples), resampler.drain()))


def noise(count: int, seed: int = 1) -> Samples:
    return np.random.default_rng(seed).integers(-32_768, 32_768, count).astype("<i2")


def resampled_tone(hz: float, source: int, target: int) -> Heard:
    samples = whole(Resampler(source, target), tone(hz, source, peak=PEAK, s=0.1))
    return listen(samples, hz, target, peak=PEAK)


@every_pair
def test_the_pass_band_is_flat_and_in_place(source: int, target: int) -> None:
    for share in PASSED:
        heard = resampled_tone(share * min(source, target), source, target)
        assert abs(heard.level_db) <= 0.3, share
        assert abs(heard.delay_ms) < 0.001, share


@every_pair
def test_images_and_aliases_of_any_tone_are_60_db_down_all_together(source: int, target: int) -> None:
    lower = min(source, target)
    for share in PASSED + SLOPE + STOPPED:
        if share * lower < source / 2:
            heard = resampled_tone(share * lower, source, target)
            assert heard.rest_db <= -60, share
            # What is stopped can't be told from the tone itself when it is less than half of the rate.
            assert share < 0.5 or heard.level_db <= -60, share


@every_pair
def test_the_delay_is_at_most_3_ms_and_nothing_is_held_back_beyond_it(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    delay = resampler._bank.reach
    assert 0 < delay * 1000 / source <= 3
    heard = returned = 0
    for size in (1, 7, 1, 0, source // 50, source // 50, 3, source // 100, source // 7):
        heard += size
        returned += len(resampler.push(noise(size)))
        assert returned == max(0, math.ceil((heard - delay) * target / source))
    assert returned + len(resampler.drain()) == math.ceil(heard * target / source)


@every_pair
def test_20_ms_in_are_20_ms_out(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    sizes = [len(resampler.push(noise(source // 50))) for _ in range(50)]
    assert set(sizes[1:]) == {target // 50}


@every_pair
def test_sums_are_exact_so_that_their_order_makes_no_difference(source: int, target: int) -> None:
    matrices = Resampler(source, target)._bank.matrices * 2.0**24
    assert (matrices == np.rint(matrices)).all()
    assert np.abs(matrices).sum(axis=1).max() * 32_768 < 2**53


@given(pairs, st.lists(st.integers(0, 300), max_size=30), st.integers(0, 3))
def test_how_the_audio_was_cut_makes_no_difference(
    pair: tuple[int, int], sizes: list[int], seed: int
) -> None:
    samples = noise(sum(sizes), seed)
    in_pieces = Resampler(*pair)
    pieces = [in_pieces.push(piece) for piece in np.split(samples, np.cumsum(sizes))]
    assert np.concatenate((*pieces, in_pieces.drain())).tolist() == whole(Resampler(*pair), samples).tolist()


@given(pairs, st.integers(0, 500), st.booleans())
def test_a_new_beginning_knows_nothing_of_the_old(pair: tuple[int, int], size: int, flush: bool) -> None:
    resampler = Resampler(*pair)
    resampler.push(noise(size))
    if flush:
        resampler.drain()
    else:
        resampler.reset()
    assert whole(resampler, noise(200)).tolist() == whole(Resampler(*pair), noise(200)).tolist()


@every_pair
def test_each_second_is_like_the_other_for_ever(source: int, target: int) -> None:
    # A second is a whole number of periods of every ratio: what holds for two of them holds for hours.
    resampler = Resampler(source, target)
    samples = noise(source)
    resampler.push(samples)
    second = resampler.push(samples)
    assert len(second) == target
    assert (resampler.push(samples) == second).all()


@every_pair
def test_a_constant_stays_what_it_is(source: int, target: int) -> None:
    samples = whole(Resampler(source, target), np.full(source // 10, 12_345, "<i2"))
    margin = target // 100
    assert set(samples[margin:-margin].tolist()) == {12_345}


@every_pair
def test_too_loud_is_clipped_and_never_wraps(source: int, target: int) -> None:
    square = np.where(np.arange(source // 5) // (source // 50) % 2, -32_768, 32_767).astype("<i2")
    samples = whole(Resampler(source, target), square)
    half_wave = target // 50
    for start in range(0, len(samples), half_wave):
        middle = samples[start + half_wave // 10 : start + half_wave - half_wave // 10]
        assert (np.abs(middle.astype(int)) > 29_000).all()
        assert len(set(np.sign(middle))) == 1
    assert samples.max() == 32_767
    assert samples.min() == -32_768


def test_silence_is_silence() -> None:
    assert not whole(Resampler(44_100, 8_000), np.zeros(44_100, "<i2")).any()


def test_one_filter_serves_all_calls() -> None:
    assert Resampler(44_100, 8_000)._bank is Resampler(44_100, 8_000)._bank
