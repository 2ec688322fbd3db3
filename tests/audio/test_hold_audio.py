"""Hold audio: when it is heard, that nothing clicks, and which files can be used."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.audio import hold_audio as hold_audio_module
from audiosocket_gw.audio.hold_audio import MAX_S, HoldAudio, HoldAudioFile, HoldAudioMode
from audiosocket_gw.audio.resample import Resampler
from tests.audio.signals import Samples, db, ideally_resampled, rms, to_samples, tone
from tests.audio.test_resample import RATES
from tests.audio.wav_bytes import description, riff, wav

every_mode = pytest.mark.parametrize("mode", HoldAudioMode)
VOICE = np.full(160, 1_000, "<i2").tobytes()
"""20 ms of an agent that is a constant: what is added to it can be told from it."""


def constant(level: int, rate: int = 8_000, s: float = 1.0) -> HoldAudioFile:
    return HoldAudioFile.parse(wav(np.full(round(rate * s), level, "<i2"), rate))


def listen(hold_audio: HoldAudio, agent: list[bytes | None]) -> Samples:
    """What the caller hears; silence is zeros."""
    return np.frombuffer(
        b"".join(hold_audio.next(audio, agent_speaks=audio is not None) or bytes(320) for audio in agent),
        "<i2",
    )


def beside_voice(heard: Samples, agent: list[bytes | None]) -> list[list[int]]:
    """What is heard in each frame but the agent."""
    frames = heard.reshape(-1, 160).astype(int)
    return [
        (frame - 1_000 * (audio is not None)).tolist() for frame, audio in zip(frames, agent, strict=True)
    ]


# When


SILENT = [0] * 160
FULL = [8_000] * 160
FADE_IN = [8_000 * n // 160 for n in range(160)]
FADE_OUT = [8_000 - 8_000 * n // 160 for n in range(160)]
AGENT: list[bytes | None] = [None, None, VOICE, VOICE, None, None, None, VOICE]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (HoldAudioMode.WAITING, [FADE_IN, FULL, FADE_OUT, SILENT, SILENT, SILENT, SILENT, SILENT]),
        (HoldAudioMode.GAPS, [FADE_IN, FULL, FADE_OUT, SILENT, FADE_IN, FULL, FULL, FADE_OUT]),
        (HoldAudioMode.UNDER, [FADE_IN, *[FULL] * 7]),
    ],
)
def test_when_it_is_heard(mode: HoldAudioMode, expected: list[list[int]]) -> None:
    heard = listen(HoldAudio(constant(8_000), mode, 8_000), AGENT)
    assert beside_voice(heard, AGENT) == expected


@every_mode
def test_an_agent_that_speaks_from_the_first_moment_on(mode: HoldAudioMode) -> None:
    hold_audio = HoldAudio(constant(8_000), mode, 8_000)
    heard = listen(hold_audio, [VOICE, VOICE])
    expected = [FADE_IN, FULL] if mode is HoldAudioMode.UNDER else [SILENT, SILENT]
    assert beside_voice(heard, [VOICE, VOICE]) == expected
    assert hold_audio.over is (mode is HoldAudioMode.WAITING)


@every_mode
def test_only_waiting_comes_to_an_end_and_says_so_with_the_frame_that_fades(mode: HoldAudioMode) -> None:
    hold_audio = HoldAudio(constant(8_000), mode, 8_000)
    over = []
    for audio in AGENT:
        hold_audio.next(audio, agent_speaks=audio is not None)
        over.append(hold_audio.over)
    assert over == [mode is HoldAudioMode.WAITING and n >= 2 for n in range(len(AGENT))]


def test_where_nothing_is_added_the_agents_audio_is_handed_on_as_it_is() -> None:
    hold_audio = HoldAudio(constant(8_000), HoldAudioMode.GAPS, 8_000)
    hold_audio.next(VOICE, agent_speaks=True)
    assert hold_audio.next(VOICE, agent_speaks=True) is VOICE
    hold_audio = HoldAudio(constant(8_000), HoldAudioMode.WAITING, 8_000)
    hold_audio.next(VOICE, agent_speaks=True)
    assert hold_audio.next(None, agent_speaks=False) is None


@pytest.mark.parametrize("level", [30_000, -30_000])
def test_too_loud_together_is_clipped_and_never_wraps(level: int) -> None:
    hold_audio = HoldAudio(constant(level), HoldAudioMode.UNDER, 8_000)
    loud = np.full(160, level, "<i2").tobytes()
    heard = listen(hold_audio, [None, loud])
    assert set(heard[160:].tolist()) == {32_767 if level > 0 else -32_768}


@given(st.sampled_from(HoldAudioMode), st.lists(st.one_of(st.none(), st.just(VOICE)), max_size=60))
def test_whatever_the_agent_does_nothing_clicks(mode: HoldAudioMode, agent: list[bytes | None]) -> None:
    heard = listen(HoldAudio(constant(8_000, s=0.5), mode, 8_000), agent)
    beside = np.concatenate([np.zeros(1), *map(np.array, beside_voice(heard, agent))])
    assert np.abs(np.diff(beside)).max(initial=0) <= 8_000 / 160 + 1
    assert (beside[1:] >= 0).all()


# The loop


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("source", [8_000, 22_050, 44_100, 48_000])
def test_it_goes_round_without_a_click_at_every_rate(source: int, rate: int) -> None:
    # Neither a whole number of periods nor of frames.
    audio = tone(437.3, source, peak=12_000, s=0.7531)
    loop = HoldAudioFile.parse(wav(audio, source)).at(rate)
    assert len(loop) == 37
    heard = np.concatenate([loop.frame(n % 37) for n in range(120)]).astype(float)
    steepest = 12_000 * 2 * np.pi * 437.3 / rate
    assert np.abs(np.diff(heard)).max() <= 1.5 * steepest + 2
    periods = heard[: rate // 50 * 37].reshape(37, -1)
    assert min(rms(frame) for frame in periods) > 0.6 * 12_000 / np.sqrt(2)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("source", [8_000, 22_050, 48_000])
def test_the_pieces_are_as_if_it_were_resampled_at_once(source: int, rate: int) -> None:
    generator = np.random.default_rng(source)
    band = np.zeros(source // 2 + 1, complex)
    band[100:3_000] = generator.standard_normal(2_900) + 1j * generator.standard_normal(2_900)
    audio = np.fft.irfft(band, source)
    audio *= 6_000 / rms(audio)
    hold_audio_file = HoldAudioFile.parse(wav(to_samples(audio), source))
    whole = hold_audio_file.frames.reshape(-1).astype(float)
    resampler = Resampler(source, rate)
    expected = (
        np.concatenate((resampler.push(to_samples(np.tile(whole, 3))), resampler.drain()))
        if source != rate
        else np.tile(whole, 3)
    )[rate : 2 * rate]
    loop = hold_audio_file.at(rate)
    backwards = [loop.frame(n) for n in reversed(range(len(loop)))]
    assert (np.concatenate(backwards[::-1]) == expected).all()
    assert (
        db(rms(expected - ideally_resampled(np.tile(whole, 3), source, rate)[rate : 2 * rate]) / 6_000) < -50
    )


def test_the_length_and_the_first_attack_of_the_file_stay() -> None:
    ticking = np.zeros(8_000)
    ticking[:40] = 20_000
    frames = HoldAudioFile.parse(wav(ticking)).frames
    assert frames.size == 8_000
    assert (frames.reshape(-1)[:40] == 20_000).all()


def test_each_rate_is_resampled_once_for_all_calls_and_only_as_far_as_it_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pieces = []

    def counted(source_rate: int, target_rate: int) -> Resampler:
        pieces.append((source_rate, target_rate))
        return Resampler(source_rate, target_rate)

    monkeypatch.setattr(hold_audio_module, "Resampler", counted)
    hold_audio_file = constant(500, 16_000, s=60)
    calls = [HoldAudio(hold_audio_file, HoldAudioMode.UNDER, rate) for rate in (8_000, 8_000, 16_000, 48_000)]
    assert pieces == []
    for _ in range(20):
        for call in calls:
            call.next(None, agent_speaks=False)
    assert pieces == [(16_000, 8_000), (16_000, 48_000)] * 2


@every_mode
def test_another_rate_in_mid_call_goes_on_where_it_was(mode: HoldAudioMode) -> None:
    hold_audio_file = HoldAudioFile.parse(wav(tone(300, 8_000, peak=8_000, s=2)))
    hold_audio = HoldAudio(hold_audio_file, mode, 8_000)
    for _ in range(7):
        hold_audio.next(None, agent_speaks=False)
    hold_audio.change_rate(48_000)
    heard = hold_audio.next(None, agent_speaks=False)
    assert heard == hold_audio_file.at(48_000).frame(7).tobytes()
    assert len(heard) == 1_920
    hold_audio.change_rate(8_000)
    assert hold_audio.next(None, agent_speaks=False) == hold_audio_file.frames[8].tobytes()


def test_the_shared_audio_can_not_be_changed() -> None:
    frame = constant(500).at(8_000).frame(0)
    with pytest.raises(ValueError, match="read-only"):
        frame[:] = 0


@pytest.mark.parametrize(("gain_db", "level"), [(0, 8_000), (-20, 800), (6.0206, 16_000), (40, 32_767)])
def test_the_gain(gain_db: float, level: int) -> None:
    frames = HoldAudioFile.parse(wav(np.full(8_000, 8_000, "<i2")), gain_db).frames
    assert set(frames.reshape(-1).tolist()) == {level}


# Files


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (b"", "not a WAV file"),
        (b"ID3\x04" + bytes(4_000), "not a WAV file"),
        (riff((b"fmt ", description())), "without audio"),
        (riff((b"data", bytes(8_000))), "without audio"),
        (riff((b"fmt ", b"\x01\0"), (b"data", bytes(8_000))), "cut off"),
        (riff((b"fmt ", description(3, bits=32)), (b"data", bytes(8_000))), "floating point"),
        (riff((b"fmt ", description(7, bits=8)), (b"data", bytes(8_000))), "mu-law"),
        (riff((b"fmt ", description(0x1234)), (b"data", bytes(8_000))), "of format 4660"),
        (riff((b"fmt ", description(bits=12)), (b"data", bytes(8_000))), "12 bit"),
        (riff((b"fmt ", description(channels=0)), (b"data", bytes(8_000))), "0 channel"),
        (riff((b"fmt ", description(rate=11_025)), (b"data", bytes(80_000))), "11025 Hz"),
        (riff((b"fmt ", description(rate=0)), (b"data", bytes(80_000))), "0 Hz"),
        (riff((b"fmt ", description()), (b"data", bytes(4_000))), "lasts 0.2 s, not 0.5 to 600 s"),
        (riff((b"fmt ", description(bits=8)), (b"data", bytes(8_000 * (MAX_S + 1)))), "lasts 601.0 s"),
    ],
)
def test_a_file_that_can_not_be_used(file: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        HoldAudioFile.parse(file)


def test_the_seam_of_noise_keeps_its_level() -> None:
    audio = np.random.default_rng(2).standard_normal(16_000) * 3_000
    frames = HoldAudioFile.parse(wav(to_samples(audio))).frames
    levels = [db(rms(frame.astype(float)) / 3_000) for frame in frames]
    assert abs(levels[-1]) < 2.5
    assert max(abs(after - before) for before, after in pairwise(levels)) < 4
