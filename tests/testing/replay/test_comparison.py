"""Two records of what was heard: what they share, what each has alone, and that silence doesn't count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.audio import ALAW_8000, PCM_8000, ULAW_8000, AudioFormat
from audiosocket_gw.testing.replay.comparison import Comparison, compare

FORMATS = (PCM_8000, ULAW_8000, ALAW_8000)


def noise(ms: int, seed: int, audio_format: AudioFormat = PCM_8000) -> bytes:
    """Audio that is never silent, and never the same for two seeds."""
    random = np.random.default_rng(seed)
    if audio_format.sample_bytes == 2:
        return random.integers(1_000, 30_000, ms * 8, dtype="<i2").tobytes()
    return random.integers(1, 0x50, ms * 8, dtype="u1").tobytes()


def same(ms: float) -> Comparison:
    return Comparison(ms, 0, 0)


@pytest.mark.parametrize("audio_format", FORMATS)
@given(pauses=st.lists(st.integers(0, 50), min_size=3, max_size=3))
def test_pauses_make_no_difference(audio_format: AudioFormat, pauses: list[int]) -> None:
    words = [noise(ms, ms, audio_format) for ms in (200, 33, 90)]
    paused = [
        part for word, ms in zip(words, pauses, strict=True) for part in (audio_format.silence(ms), word)
    ]
    assert compare(words, paused, audio_format) == same(323)


@pytest.mark.parametrize("audio_format", FORMATS)
def test_what_one_side_has_alone_is_counted(audio_format: AudioFormat) -> None:
    first, second, third, other = (noise(100, seed, audio_format) for seed in range(4))
    assert compare([first, second, third], [first, third], audio_format) == Comparison(200, 100, 0)
    assert compare([first, third], [first, second, third], audio_format) == Comparison(200, 0, 100)
    assert compare([first, second, third], [first, other, third], audio_format) == Comparison(200, 100, 100)
    assert compare([first, second], [first], audio_format) == Comparison(100, 100, 0)
    assert compare([], [first], audio_format) == Comparison(0, 0, 100)
    assert compare([], [], audio_format) == same(0)


def test_one_sample_that_differs_is_one_sample() -> None:
    audio = noise(300, 1)
    changed = bytearray(audio)
    changed[2_001] ^= 0x40
    compared = compare([audio], [bytes(changed)], PCM_8000)
    assert compared == Comparison(300 - 0.125, 0.125, 0.125)
    assert compared.differing_ms == 0.125


def test_a_shift_by_a_byte_is_not_the_same_audio() -> None:
    audio = noise(300, 1)
    compared = compare([audio], [b"\x07" + audio[:-1]], PCM_8000)
    assert compared.same_ms < 1


@given(st.data())
def test_nothing_is_counted_twice(data: st.DataObject) -> None:
    pieces = [noise(30, seed) for seed in range(4)]
    before = data.draw(st.lists(st.sampled_from(pieces), max_size=8))
    after = data.draw(st.lists(st.sampled_from(pieces), max_size=8))
    compared = compare(before, after, PCM_8000)
    assert compared.same_ms + compared.missing_ms == 30 * len(before)
    assert compared.same_ms + compared.added_ms == 30 * len(after)
    assert (before != after) or compared.differing_ms == 0
