"""Every format of one side to every format of the other: level, spectrum, delay and length."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.audio import (
    AGENT_FORMATS,
    ALAW_8000,
    PCM_8000,
    ULAW_8000,
    AudioFormat,
    Converter,
    Encoding,
    alaw_to_linear,
    linear_to_alaw,
    linear_to_ulaw,
    ulaw_to_linear,
)
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES
from tests.audio.signals import (
    SPEECH,
    Floats,
    Samples,
    db,
    ideally_resampled,
    listen,
    rms,
    speech,
    to_samples,
    tone,
)

ASTERISK_FORMATS = [
    *(AudioFormat(Encoding.PCM, rate) for rate in SAMPLE_RATES.values()),
    ULAW_8000,
    ALAW_8000,
]
FORMATS = list(dict.fromkeys([*ASTERISK_FORMATS, *AGENT_FORMATS]))
PAIRS = list(
    dict.fromkeys([*product(ASTERISK_FORMATS, AGENT_FORMATS), *product(AGENT_FORMATS, ASTERISK_FORMATS)])
)
every_pair = pytest.mark.parametrize(("source", "target"), PAIRS, ids=lambda audio_format: str(audio_format))
any_pair = st.sampled_from(PAIRS)

PEAK = 20_000


def encoded(samples: Samples, audio_format: AudioFormat) -> bytes:
    linear = samples.tobytes()
    if audio_format.encoding is Encoding.ULAW:
        return linear_to_ulaw(linear)
    return linear_to_alaw(linear) if audio_format.encoding is Encoding.ALAW else linear


def decoded(audio: bytes, audio_format: AudioFormat) -> Samples:
    if audio_format.encoding is Encoding.ULAW:
        audio = ulaw_to_linear(audio)
    elif audio_format.encoding is Encoding.ALAW:
        audio = alaw_to_linear(audio)
    return np.frombuffer(audio, "<i2")


def through(converter: Converter, samples: Samples) -> Samples:
    """Convert frame by frame."""
    audio = encoded(samples, converter.source)
    size = converter.source.frame_bytes
    frames = [converter.convert(audio[start : start + size]) for start in range(0, len(audio), size)]
    return decoded(b"".join((*frames, converter.drain())), converter.target)


def noise_of(source: AudioFormat, target: AudioFormat) -> float:
    """What the coding itself adds, in dB below the audio: G.711 is good for 33 dB, twice for 30."""
    lossy = (source.encoding is not Encoding.PCM) + (target.encoding is not Encoding.PCM)
    return [-60, -33, -30][lossy]


@every_pair
def test_a_tone_sweep(source: AudioFormat, target: AudioFormat) -> None:
    lower = min(source.rate, target.rate)
    for share in (0.013, 0.031, 0.05, 0.085, 0.126, 0.163, 0.2, 0.26, 0.31, 0.36, 0.41, 0.425):
        hz = share * lower
        samples = through(Converter(source, target), tone(hz, source.rate, peak=PEAK, s=0.12))
        heard = listen(samples, hz, target.rate, peak=PEAK)
        assert abs(heard.level_db) <= 0.5, hz
        assert heard.rest_db <= noise_of(source, target), hz
        assert abs(heard.delay_ms) < 0.02, hz


@every_pair
def test_what_the_lower_rate_can_not_carry_is_gone(source: AudioFormat, target: AudioFormat) -> None:
    lower = min(source.rate, target.rate)
    for share in (0.52, 0.575, 0.8, 1.1, 2.3):
        hz = share * lower
        if hz < source.rate / 2:
            samples = through(Converter(source, target), tone(hz, source.rate, peak=PEAK, s=0.12))
            # A coder makes of nearly nothing its smallest step: A-law's is 72 dB below this tone.
            assert db(rms(samples[target.rate // 50 : -target.rate // 50] / PEAK) * math.sqrt(2)) <= -60, hz


@pytest.mark.parametrize(
    ("source", "target"),
    [pair for pair in PAIRS if pair[0].rate < pair[1].rate],
    ids=lambda audio_format: str(audio_format),
)
def test_nothing_is_added_beyond_what_the_lower_rate_carries(
    source: AudioFormat, target: AudioFormat
) -> None:
    """Images, also those of the noise that G.711 adds, under which a tone's own can't be seen."""
    for share in (0.1, 0.31, 0.425):
        hz = share * source.rate
        samples = through(Converter(source, target), tone(hz, source.rate, peak=PEAK, s=0.25))
        margin = target.rate // 50
        audio = samples[margin:-margin] / PEAK
        spectrum = np.abs(np.fft.rfft(audio * np.blackman(len(audio))))
        # The window spreads a tone by 3 bins; the filter's slope ends at half of the lower rate.
        beyond = round(0.5 * source.rate * len(audio) / target.rate) + 3
        assert db(float(np.linalg.norm(spectrum[beyond:]) / np.linalg.norm(spectrum))) <= -60, hz


@pytest.fixture(scope="module")
def spoken() -> Floats:
    """Two seconds of speech, up to 3.4 kHz: what every pair must carry."""
    audio = np.concatenate([speech(name)[800:7_200] for name in SPEECH])[:16_000].astype(float)
    spectrum = np.fft.rfft(audio)
    spectrum[int(3_400 * len(audio) / 8_000) :] = 0
    return np.fft.irfft(spectrum, len(audio))


@every_pair
def test_speech(source: AudioFormat, target: AudioFormat, spoken: Floats) -> None:
    samples = to_samples(ideally_resampled(spoken, 8_000, source.rate))
    expected = ideally_resampled(spoken, 8_000, target.rate)
    converter = Converter(source, target)
    result = through(converter, samples)
    assert len(result) == math.ceil(len(samples) * target.rate / source.rate)
    error = result - expected[: len(result)]
    limit = -40 if noise_of(source, target) == -60 else noise_of(source, target)
    assert db(rms(error) / rms(expected)) <= limit


@every_pair
def test_each_frame_of_20_ms_gives_one(source: AudioFormat, target: AudioFormat) -> None:
    converter = Converter(source, target)
    frame = source.silence(20)
    first, *later = [converter.convert(frame) for _ in range(10)]
    # The delay, and half a sample at the rates of which 20 ms are not a whole number of periods.
    held_back = target.frame_bytes - len(first)
    delay_ms = 0 if source.rate == target.rate else 3
    assert 0 <= held_back <= delay_ms * target.rate / 1000 * target.sample_bytes
    assert {len(audio) for audio in later} == {target.frame_bytes}


@every_pair
@pytest.mark.parametrize("samples_each", [1, 2, 7, 159, 161, 320, 641, 3_001])
def test_no_border_between_chunks_can_be_heard(
    source: AudioFormat, target: AudioFormat, samples_each: int
) -> None:
    """Not a single byte depends on them; and what comes late comes at most 3 ms late."""
    size = samples_each * source.sample_bytes
    samples = np.random.default_rng(samples_each).integers(-32_768, 32_768, source.rate // 25).astype("<i2")
    audio = encoded(samples, source)
    at_once, in_chunks = Converter(source, target), Converter(source, target)
    expected = at_once.convert(audio) + at_once.drain()
    result = b""
    for start in range(0, len(audio), size):
        result += in_chunks.convert(audio[start : start + size])
        heard_ms = min(start + size, len(audio)) // source.sample_bytes * 1000 / source.rate
        assert len(result) >= (heard_ms - 3) * target.rate / 1000 * target.sample_bytes
    assert result + in_chunks.drain() == expected


@pytest.mark.parametrize("audio_format", FORMATS, ids=str)
def test_equal_formats_pass_untouched(audio_format: AudioFormat) -> None:
    converter = Converter(audio_format, audio_format)
    for audio in (bytes(range(256)), b""):
        assert converter.convert(audio) is audio
    assert converter.drain() == b""


@pytest.mark.parametrize("source", [ULAW_8000, ALAW_8000, PCM_8000], ids=str)
@pytest.mark.parametrize("target", [ULAW_8000, ALAW_8000, PCM_8000], ids=str)
def test_between_equal_rates_only_tables_are_used(source: AudioFormat, target: AudioFormat) -> None:
    audio = bytes(range(256))
    converter = Converter(source, target)
    expected = audio if source == target else encoded(decoded(audio, source), target)
    assert converter.convert(audio) == expected


any_samples = st.binary(max_size=1_000).map(lambda half: half + half[::-1])
"""Whole ones, in each format."""


@given(any_pair, any_samples, st.lists(st.integers(0, 2_000), max_size=8))
def test_where_the_audio_was_cut_makes_no_difference(
    pair: tuple[AudioFormat, AudioFormat], audio: bytes, cuts: list[int]
) -> None:
    at_once, in_pieces = Converter(*pair), Converter(*pair)
    borders = [0, *(cut // 2 * 2 for cut in sorted(cuts)), len(audio)]
    pieces = [in_pieces.convert(audio[start:end]) for start, end in pairwise(borders)]
    expected = at_once.convert(audio) + at_once.drain()
    assert b"".join(pieces) + in_pieces.drain() == expected


@given(any_pair, any_samples)
def test_after_a_reset_nothing_is_left_of_the_old_audio(
    pair: tuple[AudioFormat, AudioFormat], old: bytes
) -> None:
    new = bytes(range(256))
    reset, fresh = Converter(*pair), Converter(*pair)
    reset.convert(old)
    reset.reset()
    assert reset.convert(new) + reset.drain() == fresh.convert(new) + fresh.drain()
