"""What frames under kind 0x10 are taken for: on speech, tones, noise, idle lines, and other codecs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.audio import (
    ALAW_8000,
    PCM_8000,
    ULAW_8000,
    AudioFormat,
    Converter,
    linear_to_alaw,
    linear_to_ulaw,
)
from audiosocket_gw.audio.sentinel import FRAMES_TO_DECIDE, Sentinel, Verdict
from tests.audio.sound import SPEECH, Samples, speech, to_samples, tone

SIZES = {PCM_8000: (320, 160, 480), ULAW_8000: (160, 80, 240), ALAW_8000: (160, 80, 240)}
"""Frames of 20, 10 and 30 ms."""

FORMATS_AND_SIZES = [(audio_format, size) for audio_format, sizes in SIZES.items() for size in sizes]
every_format_and_size = pytest.mark.parametrize(("audio_format", "size"), FORMATS_AND_SIZES, ids=str)
every_format = pytest.mark.parametrize("audio_format", SIZES, ids=str)


def frames(samples: Samples, audio_format: AudioFormat, size: int) -> list[bytes]:
    encode = {ULAW_8000: linear_to_ulaw, ALAW_8000: linear_to_alaw}.get(audio_format, bytes)
    sound = encode(samples.tobytes())
    return [sound[start : start + size] for start in range(0, len(sound) - size + 1, size)]


def judged(payloads: list[bytes]) -> tuple[Verdict, int]:
    """Return the last verdict and how many frames it took."""
    sentinel = Sentinel()
    for count, payload in enumerate(payloads, 1):
        if sentinel.hear(payload).final:
            return sentinel.verdict, count
    return sentinel.verdict, len(payloads)


@every_format_and_size
@pytest.mark.parametrize("level", [1, 0.1, 0.02])
def test_speech_from_any_moment_on(audio_format: AudioFormat, size: int, level: float) -> None:
    counts = []
    for name in SPEECH:
        payloads = frames(to_samples(np.asarray(speech(name) * level, np.float64)), audio_format, size)
        for start in range(0, len(payloads) - FRAMES_TO_DECIDE, 7):
            verdict, count = judged(payloads[start:])
            assert verdict == Verdict(audio_format, confidence=1, final=True)
            counts.append(count)
    assert np.median(counts) <= 4


@every_format
@pytest.mark.parametrize("hz", [50, 300, 440, 1004, 2100, 3300, 3900])
@pytest.mark.parametrize("peak", [30, 300, 10_000, 32_767])
def test_tones(audio_format: AudioFormat, hz: float, peak: float) -> None:
    payloads = frames(tone(hz, 8_000, peak=peak, s=1), audio_format, SIZES[audio_format][0])
    assert judged(payloads)[0] == Verdict(audio_format, confidence=1, final=True)


@every_format
@pytest.mark.parametrize("level", [8, 30, 100, 300, 1_000, 3_000, 8_000])
def test_white_noise(audio_format: AudioFormat, level: float) -> None:
    noise = to_samples(np.random.default_rng(5).standard_normal(8_000) * level)
    verdict, count = judged(frames(noise, audio_format, SIZES[audio_format][0]))
    assert verdict == Verdict(audio_format, confidence=1, final=True)
    assert count <= 8


@pytest.mark.parametrize("size", [80, 160, 240])
@pytest.mark.parametrize(
    ("idle", "audio_format"),
    [
        *((b"\xff", ULAW_8000), (b"\x7f", ULAW_8000), (b"\xff\x7f", ULAW_8000)),
        *((b"\xd5", ALAW_8000), (b"\x55", ALAW_8000), (b"\xd5\x55", ALAW_8000)),
    ],
)
def test_idle_codes_from_the_first_frame_on(idle: bytes, audio_format: AudioFormat, size: int) -> None:
    payload = (idle * size)[:size]
    assert Sentinel().hear(payload).format == audio_format
    verdict, count = judged([payload] * 100)
    assert verdict.format == audio_format
    assert verdict.final
    assert count <= FRAMES_TO_DECIDE


def test_linear_silence_is_known_at_once() -> None:
    assert judged([bytes(320)]) == (Verdict(PCM_8000, confidence=1, final=True), 1)


@every_format
def test_pauses_of_silence_suppression_make_no_difference(audio_format: AudioFormat) -> None:
    # Of each second of speech only every seventh frame arrives.
    payloads = frames(speech("opening-hours"), audio_format, SIZES[audio_format][0])[::7]
    assert judged(payloads)[0] == Verdict(audio_format, confidence=1, final=True)


@pytest.mark.parametrize("audio_format", [ULAW_8000, ALAW_8000], ids=str)
def test_g711_in_frames_of_40_ms_is_not_taken_for_linear_sound(audio_format: AudioFormat) -> None:
    for name in SPEECH:
        payloads = frames(speech(name), audio_format, 320)
        assert judged(payloads)[0] == Verdict(audio_format, confidence=1, final=True)


@pytest.mark.parametrize(("law", "other"), [(ULAW_8000, ALAW_8000), (ALAW_8000, ULAW_8000)], ids=str)
def test_what_was_coded_by_the_other_law_on_its_way(law: AudioFormat, other: AudioFormat) -> None:
    linear = Converter(other, PCM_8000).convert(b"".join(frames(speech(), other, 160)))
    payloads = frames(np.frombuffer(linear, "<i2"), law, 160)
    assert judged(payloads)[0] == Verdict(law, confidence=1, final=True)


@pytest.mark.parametrize("size", [20, 24, 33, 38, 50, 61, 80, 160])
def test_other_codecs_are_neither(size: int) -> None:
    # What a codec that leaves no redundance writes can't be told from random bytes.
    random = np.random.default_rng(size).integers(0, 256, (FRAMES_TO_DECIDE, size), np.uint8)
    verdict, count = judged([row.tobytes() for row in random])
    assert verdict == Verdict(None, confidence=1, final=True)
    assert count == 10


def test_the_loudest_linear_noise_is_linear_sound_all_the_same() -> None:
    random = np.random.default_rng(1).integers(0, 256, (FRAMES_TO_DECIDE, 320), np.uint8)
    assert judged([row.tobytes() for row in random])[0].format == PCM_8000


@given(st.lists(st.binary(min_size=1, max_size=700), min_size=FRAMES_TO_DECIDE, max_size=60))
def test_there_is_a_verdict_in_time_on_anything(payloads: list[bytes]) -> None:
    sentinel, again = Sentinel(), Sentinel()
    for payload in payloads:
        verdict = sentinel.hear(payload)
        assert 0 <= verdict.confidence <= 1
        assert verdict == again.hear(payload)
    assert sentinel.verdict.final
    assert sentinel.hear(bytes(320)) is sentinel.verdict


def test_before_the_first_frame_the_label_counts() -> None:
    assert Sentinel().verdict == Verdict(PCM_8000, confidence=0, final=False)
