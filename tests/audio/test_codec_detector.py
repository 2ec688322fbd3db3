"""What frames under kind 0x10 are taken for: on speech, tones, noise, idle lines, and other codecs."""

from __future__ import annotations

from collections.abc import Callable

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
    alaw_to_linear,
    linear_to_alaw,
    linear_to_ulaw,
    ulaw_to_linear,
)
from audiosocket_gw.audio.codec_detector import CodecDetector
from audiosocket_gw.audio.codec_evidence import CodecEvidence, Verdict
from audiosocket_gw.audio.frame_readings import FrameReadings
from tests.audio.signals import SPEECH, Samples, speech, to_samples, tone

FRAMES_TO_DECIDE = 50
"""A second."""

SIZES = {PCM_8000: (320, 160, 480), ULAW_8000: (160, 80, 240), ALAW_8000: (160, 80, 240)}
"""Frames of 20, 10 and 30 ms."""

FORMATS_AND_SIZES = [(audio_format, size) for audio_format, sizes in SIZES.items() for size in sizes]
every_format_and_size = pytest.mark.parametrize(("audio_format", "size"), FORMATS_AND_SIZES, ids=str)
every_format = pytest.mark.parametrize("audio_format", SIZES, ids=str)


def frames(samples: Samples, audio_format: AudioFormat, size: int) -> list[bytes]:
    encode = {ULAW_8000: linear_to_ulaw, ALAW_8000: linear_to_alaw}.get(audio_format, bytes)
    audio = encode(samples.tobytes())
    return [audio[start : start + size] for start in range(0, len(audio) - size + 1, size)]


def amplified(samples: Samples, level: float) -> Samples:
    """Return ``samples`` at another level; above 1 they overload the line."""
    return to_samples(np.asarray(samples * level, np.float64))


def judged(payloads: list[bytes]) -> tuple[Verdict, int]:
    """Return the last verdict and how many frames it took."""
    evidence = CodecEvidence()
    for count, payload in enumerate(payloads, 1):
        if evidence.hear(payload).certain:
            return evidence.verdict, count
    return evidence.verdict, len(payloads)


@every_format_and_size
@pytest.mark.parametrize("level", [1, 0.1, 0.02])
def test_speech_from_any_moment_on(audio_format: AudioFormat, size: int, level: float) -> None:
    counts = []
    for name in SPEECH:
        payloads = frames(amplified(speech(name), level), audio_format, size)
        for start in range(0, len(payloads) - FRAMES_TO_DECIDE, 7):
            verdict, count = judged(payloads[start:])
            assert verdict == Verdict(audio_format, certain=True)
            counts.append(count)
    assert np.median(counts) <= (4 if size > 80 else 8)


@every_format
@pytest.mark.parametrize("hz", [50, 300, 440, 1004, 2100, 3300, 3900])
@pytest.mark.parametrize("peak", [300, 10_000, 32_767])
def test_tones(audio_format: AudioFormat, hz: float, peak: float) -> None:
    payloads = frames(tone(hz, 8_000, peak=peak, s=1), audio_format, SIZES[audio_format][0])
    assert judged(payloads)[0] == Verdict(audio_format, certain=True)


@every_format
@pytest.mark.parametrize("level", [8, 30, 100, 300, 1_000, 3_000, 8_000, 20_000])
def test_noise_and_quiet_are_taken_for_nothing_else(audio_format: AudioFormat, level: float) -> None:
    noise = to_samples(np.random.default_rng(5).standard_normal(8_000) * level)
    evidence = CodecEvidence()
    heard = {evidence.hear(payload).format for payload in frames(noise, audio_format, SIZES[audio_format][0])}
    assert heard <= {audio_format, None}


@pytest.mark.parametrize("size", [80, 160, 240])
@pytest.mark.parametrize(
    "idle", [b"\xff", b"\x7f", b"\xff\x7f", b"\xd5", b"\x55", b"\xd5\x55", b"\0", b"\x08"]
)
def test_idle_codes_tell_nothing_however_long(idle: bytes, size: int) -> None:
    assert not judged([(idle * size)[:size]] * 200)[0].certain


def test_linear_silence_is_known_at_once() -> None:
    assert judged([bytes(320)]) == (Verdict(PCM_8000, certain=True), 1)


@every_format
def test_pauses_of_silence_suppression_make_no_difference(audio_format: AudioFormat) -> None:
    # Of each second of speech only every seventh frame arrives.
    payloads = frames(speech("opening-hours"), audio_format, SIZES[audio_format][0])[::7]
    assert judged(payloads)[0] == Verdict(audio_format, certain=True)


@pytest.mark.parametrize("audio_format", [ULAW_8000, ALAW_8000], ids=str)
def test_g711_in_frames_of_40_ms_is_not_taken_for_linear_audio(audio_format: AudioFormat) -> None:
    counts = []
    for name in SPEECH:
        for level in (1, 0.1, 0.02):
            payloads = frames(amplified(speech(name), level), audio_format, 320)
            for start in range(0, len(payloads) - FRAMES_TO_DECIDE, 5):
                verdict, count = judged(payloads[start:])
                assert verdict == Verdict(audio_format, certain=True)
                counts.append(count)
    assert np.median(counts) <= 4


@pytest.mark.parametrize(("law", "other"), [(ULAW_8000, ALAW_8000), (ALAW_8000, ULAW_8000)], ids=str)
def test_what_was_coded_by_the_other_law_on_its_way(law: AudioFormat, other: AudioFormat) -> None:
    linear = Converter(other, PCM_8000).convert(b"".join(frames(speech(), other, 160)))
    payloads = frames(np.frombuffer(linear, "<i2"), law, 160)
    assert judged(payloads)[0] == Verdict(law, certain=True)


@pytest.mark.parametrize("size", [20, 24, 33, 38, 50, 61, 80, 160])
def test_other_codecs_are_neither(size: int) -> None:
    # What a codec that leaves no redundance writes can't be told from random bytes.
    random = np.random.default_rng(size).integers(0, 256, (12_000 // size, size), np.uint8)
    evidence = CodecEvidence()
    verdicts = [evidence.hear(row.tobytes()) for row in random]
    assert {verdict.format for verdict in verdicts} == {None}
    assert verdicts[-1].certain


# Linear audio, in frames of a size that it usually has

TIMES = np.arange(2 * 8_000) / 8_000


def noise(level: float, offset: float = 0) -> Samples:
    return to_samples(np.random.default_rng(5).standard_normal(len(TIMES)) * level + offset)


def keys(level: float) -> Samples:
    """All sixteen keys, for 60 ms each."""
    pairs = [(low, high) for low in (697, 770, 852, 941) for high in (1209, 1336, 1477, 1633)]
    low, high = (np.repeat(hz, 480) for hz in np.transpose(pairs))
    times = TIMES[: len(low)]
    return np.tile(
        to_samples(level * (np.sin(2 * np.pi * low * times) + np.sin(2 * np.pi * high * times))), 3
    )


def music(level: float) -> Samples:
    """A chord of three strings, with eleven harmonics."""
    waves = [np.sin(2 * np.pi * hz * n * TIMES + n) / n for hz in (220, 277.2, 329.6) for n in range(1, 12)]
    return to_samples(level * np.sum(waves, axis=0))


def square(hz: float) -> Samples:
    return to_samples(20_000 * np.sign(np.sin(2 * np.pi * hz * TIMES)))


LINEAR_AUDIO = {
    **{
        f"{name}, {level}": np.tile(amplified(speech(name), level), 4)
        for name in SPEECH
        for level in (1, 0.1)
    },
    **{f"faint, {level}": amplified(speech(), level) for level in (0.02, 0.005, 0.001)},
    **{f"overloaded, {level}": amplified(speech(), level) for level in (4, 40, 400.0)},
    "from mu-law": np.frombuffer(ulaw_to_linear(linear_to_ulaw(speech().tobytes())), "<i2"),
    "from A-law": np.frombuffer(alaw_to_linear(linear_to_alaw(speech().tobytes())), "<i2"),
    **{
        f"tone, {hz} Hz, {peak}": tone(hz, 8_000, peak=peak, s=2)
        for hz in (20, 50, 100, 440, 1_000, 1_004, 2_000, 2_100, 3_300, 3_900)
        for peak in (1, 30, 3_000, 32_767)
    },
    **{f"keys, {level}": keys(level) for level in (30, 3_000, 16_000)},
    **{f"music, {level}": music(level) for level in (30, 3_000, 10_000)},
    **{f"square, {hz} Hz": square(hz) for hz in (110, 440, 1_000)},
    **{f"noise, {level}": noise(level) for level in (0.3, 1, 3, 30, 1_000, 8_000, 20_000, 40_000)},
    **{f"offset, {offset}": noise(0, offset) for offset in (0, 1, -1, 8, 1_000, -3_000, 32_767, -32_768)},
    **{f"noise with an offset, {offset}": noise(3, offset) for offset in (-1, 100, 1_000)},
}


@pytest.mark.parametrize("size", [320, 480])
@pytest.mark.parametrize("name", LINEAR_AUDIO)
def test_linear_audio_is_never_taken_for_anything_else(name: str, size: int) -> None:
    payloads = frames(LINEAR_AUDIO[name], PCM_8000, size)
    for start in range(0, len(payloads) - FRAMES_TO_DECIDE, 7):
        evidence = CodecEvidence()
        formats = {evidence.hear(payload).format for payload in payloads[start:][:FRAMES_TO_DECIDE]}
        assert formats == {PCM_8000}


def test_the_loudest_linear_noise_is_linear_audio_all_the_same() -> None:
    random = np.random.default_rng(1).integers(0, 256, (FRAMES_TO_DECIDE, 320), np.uint8)
    assert judged([row.tobytes() for row in random])[0].format == PCM_8000


def test_a_click_in_silence_is_linear_audio() -> None:
    click = np.zeros(240, "<i2")
    click[100] = 30_000
    assert judged([click.tobytes()] + [bytes(480)] * 5)[0].format == PCM_8000


@given(st.lists(st.binary(min_size=1, max_size=700), min_size=FRAMES_TO_DECIDE, max_size=60))
def test_the_same_bytes_have_the_same_verdict_whatever_they_are(payloads: list[bytes]) -> None:
    evidence, again = CodecEvidence(), CodecEvidence()
    for payload in payloads:
        verdict = evidence.hear(payload)
        assert verdict == again.hear(payload)


def test_before_the_first_frame_the_label_counts() -> None:
    assert CodecEvidence().verdict == Verdict(PCM_8000, certain=False)


# Throughout a call

LINEAR = frames(speech("greeting"), PCM_8000, 320)
ULAW = frames(speech("greeting"), ULAW_8000, 160)
ALAW = frames(speech("greeting"), ALAW_8000, 240)


def certain(audio_format: AudioFormat) -> Verdict:
    return Verdict(audio_format, certain=True)


def test_a_codec_that_changes_in_mid_call() -> None:
    watch = CodecDetector()
    for payloads, audio_format in (
        (LINEAR, PCM_8000),
        (ULAW, ULAW_8000),
        (ALAW, ALAW_8000),
        (LINEAR, PCM_8000),
    ):
        verdicts = [watch.hear(payload) for payload in payloads]
        assert verdicts.index(certain(audio_format)) <= 4
        assert verdicts[-1] == watch.verdict == certain(audio_format)


def test_until_another_codec_is_certain_the_verdict_stands() -> None:
    watch = CodecDetector()
    watch.hear(LINEAR[0])
    idle = [watch.hear(b"\xff" * 160) for _ in range(FRAMES_TO_DECIDE)]
    assert set(idle) == {certain(PCM_8000)}
    speaks = [watch.hear(payload) for payload in ULAW]
    change = speaks.index(certain(ULAW_8000))
    assert set(speaks[:change]) <= {certain(PCM_8000)}
    assert set(speaks[change:]) == {certain(ULAW_8000)}


def test_frames_of_several_sizes_are_soon_looked_at_no_more() -> None:
    watch = CodecDetector()
    halves = [part for payload in ULAW for part in (payload[:80], payload[80:], payload)]
    for payload in halves[: 6 * FRAMES_TO_DECIDE]:
        watch.hear(payload)
    assert watch.verdict == certain(ULAW_8000)
    for payload in frames(noise(8_000), PCM_8000, 160):
        assert watch.hear(payload) is watch.verdict
    assert watch.verdict == certain(ULAW_8000)


@pytest.mark.parametrize(
    ("codec", "audio_format"),
    [
        *(("slin", PCM_8000), ("ulaw", ULAW_8000), ("alaw", ALAW_8000), ("g722", None), ("opus", None)),
        *(("slin16", AudioFormat.parse("pcm_16000")), ("slin44", AudioFormat.parse("pcm_44100"))),
    ],
)
def test_asterisks_word_counts_whatever_it_looks_like(codec: str, audio_format: AudioFormat | None) -> None:
    watch = CodecDetector()
    watch.hear(ALAW[0])
    assert watch.set_codec(codec) == Verdict(audio_format, certain=True)
    for payload in (*LINEAR, *ULAW):
        assert watch.hear(payload) == Verdict(audio_format, certain=True)


@pytest.mark.parametrize("size", [320, 480, 640])
@pytest.mark.parametrize("encode", [linear_to_ulaw, linear_to_alaw], ids=["mu-law", "A-law"])
def test_a_caller_who_begins_with_seconds_of_silence_is_recognised_by_the_words(
    encode: Callable[[bytes], bytes], size: int
) -> None:
    watch = CodecDetector()
    audio = encode(bytes(2 * 8_000 * 4) + speech().tobytes())
    for start in range(0, len(audio) - size + 1, size):
        watch.hear(audio[start : start + size])
    assert watch.verdict.certain
    assert watch.verdict.format == (ULAW_8000 if encode is linear_to_ulaw else ALAW_8000)


@pytest.mark.parametrize("audio_format", [PCM_8000, ULAW_8000], ids=str)
def test_of_a_frame_of_seconds_only_the_beginning_is_read(audio_format: AudioFormat) -> None:
    converter = Converter(PCM_8000, audio_format)
    frame = converter.convert(speech("opening-hours").tobytes())[5_000:37_001]
    longest = FrameReadings(frame[:1_920])
    looked = FrameReadings(frame)
    assert (looked.size, looked.bits) == (longest.size, longest.bits)
