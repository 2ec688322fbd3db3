"""When the caller spoke, found in the levels alone: spoken sentences, noise, tones and echo."""

from __future__ import annotations

import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from wave import open as open_wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.audio import (
    ALAW_8000,
    PCM_8000,
    ULAW_8000,
    AudioFormat,
    Encoding,
    linear_to_ulaw,
    ulaw_to_linear,
)
from audiosocket_gw.audio.level_track import FULL_SCALE, LevelTrack, extract_of, levels_of
from audiosocket_gw.audio.speech_times import SENT_TICKS, Speech, SpeechTimes
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES
from tests.audio.signals import SPEECH, Floats, Samples, ideally_resampled, speech, to_samples, tone

RATE = 8_000
FRAME = RATE // 50
LOOK = 48
EXTRACT = extract_of(PCM_8000)
LINEAR = [AudioFormat(Encoding.PCM, rate) for rate in SAMPLE_RATES.values()]
SENTENCES = {
    "en-us": "What are your opening hours?",
    "en-gb": "Yes please.",
    "de": "Ich möchte einen Termin vereinbaren.",
    "fr-fr": "Je voudrais parler à quelqu'un.",
    "it": "Buongiorno, vorrei delle informazioni.",
    "es": "No, gracias.",
    "tr": "Evet.",
    "pl": "Chciałbym zarezerwować stolik na cztery osoby.",
    "sv": "Jag vill prata med en människa.",
    "pt": "Qual é o horário de funcionamento?",
}


def noise(seconds: float, dbfs: float, colour: str = "white", seed: int = 1) -> Floats:
    audio = np.random.default_rng(seed).normal(size=round(seconds * RATE))
    if colour == "pink":
        spectrum = np.fft.rfft(audio)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        audio = np.fft.irfft(spectrum, len(audio))
    return at_level(audio, dbfs)


def at_level(audio: Floats, dbfs: float) -> Floats:
    scaled: Floats = audio * (32_768 * 10 ** (dbfs / 20) / np.sqrt(np.mean(np.square(audio))))
    return scaled


def spoken(samples: Samples | Floats, dbfs: float = -26) -> Floats:
    """Return speech at a level, from its first to its last audible 5 ms: 35 dB below the loudest."""
    blocks = samples[: len(samples) // 40 * 40].reshape(-1, 40).astype(float)
    levels = np.sqrt(np.mean(np.square(blocks), axis=1))
    loud = np.flatnonzero(levels > levels.max() * 10 ** (-35 / 20))
    return at_level(blocks[loud[0] : loud[-1] + 1].ravel(), dbfs)


def over(background: Floats, at_s: float, audio: Floats) -> Floats:
    start = round(at_s * RATE)
    mixed = background.copy()
    mixed[start : start + len(audio)] += audio
    return mixed


def found_in(audio: Floats, sent: Floats | None = None, since: float = 0.0) -> Speech | None:
    """Take both directions as a call does, and look back at their end."""
    times = SpeechTimes(0.0)
    heard = frames_of(audio)
    other: list[bytes] = frames_of(sent) if sent is not None else []
    for start in range(0, len(heard), LOOK):
        end = min(start + LOOK, len(heard))
        frames = [
            frame[EXTRACT] if any(frame) else None
            for frame in other[start + SENT_TICKS - 1 : end : SENT_TICKS]
        ]
        times.take(b"".join(heard[start:end])[EXTRACT], end / 50, frames, end / 50)
    return times.last_speech(since, len(heard) / 50)


def frames_of(audio: Floats) -> list[bytes]:
    samples = to_samples(audio)
    return [samples[start : start + FRAME].tobytes() for start in range(0, len(samples) - FRAME + 1, FRAME)]


def through_g711(audio: Floats) -> Floats:
    coded = ulaw_to_linear(linear_to_ulaw(to_samples(audio).tobytes()))
    return np.frombuffer(coded, "<i2").astype(float)


# Speech


@pytest.mark.parametrize("name", SPEECH)
@pytest.mark.parametrize("dbfs", [-18, -26, -34])
def test_the_packages_sentences(name: str, dbfs: float) -> None:
    said = spoken(speech(name), dbfs)
    found = found_in(through_g711(over(noise(len(said) / RATE + 2.2, -70), 1.01, said)))
    assert found is not None
    assert found.began == pytest.approx(1.01, abs=0.12)
    assert found.ended == pytest.approx(1.01 + len(said) / RATE, abs=0.12)


def espeak(voice: str, speed: int, folder: Path) -> Floats:
    path = folder / "said.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-s", f"{speed}", "-w", path, SENTENCES[voice]], check=True)
    with open_wave(BytesIO(path.read_bytes())) as recording:
        samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2").astype(float)
        return ideally_resampled(samples, recording.getframerate(), RATE)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_the_error_against_the_known_end_of_speech(tmp_path: Path) -> None:
    """The figures of docs/performance.md: espeak's voices through G.711, over the noise of a good line."""
    errors_ms, missed = [], 0
    for number, voice in enumerate(SENTENCES):
        for speed in (120, 160, 210):
            said = spoken(espeak(voice, speed, tmp_path))
            began = 1 + 0.0137 * number
            ended = began + len(said) / RATE
            line = over(noise(ended + 1.1, -65, "pink"), began, said)
            found = found_in(through_g711(line))
            if found is None:
                missed += 1
            else:
                errors_ms.append(abs(found.ended - ended) * 1000)
    assert missed == 0
    assert np.median(errors_ms) <= 20
    assert np.percentile(errors_ms, 95) <= 90


def test_speech_is_found_over_noise_that_began_before_it() -> None:
    said = spoken(speech("opening-hours"))
    line = over(over(noise(7, -70), 3, noise(4, -52, "pink")), 4, said)
    found = found_in(line)
    assert found is not None
    assert found.ended == pytest.approx(4 + len(said) / RATE, abs=0.2)


def test_only_what_ended_after_a_time_counts() -> None:
    said = spoken(speech("apology"))
    line = over(noise(12, -70), 1, said)
    assert found_in(line) is not None
    assert found_in(line, since=1 + len(said) / RATE + 0.5) is None


def test_the_last_of_two_sentences() -> None:
    first, second = spoken(speech("apology")), spoken(speech("goodbye"))
    found = found_in(over(over(noise(14, -70), 1, first), 8, second))
    assert found is not None
    assert found.began == pytest.approx(8, abs=0.12)


def test_speech_over_an_echo_is_found() -> None:
    """The agent has spoken for a while: how strong its echo is, is known."""
    agent = np.tile(spoken(speech("greeting"), -18), 4)[: 9 * RATE]
    echo = np.concatenate((np.zeros(960), agent[:-960])) * 10 ** (-26 / 20)
    said = spoken(speech("opening-hours"), -24)[:RATE]
    found = found_in(over(echo + noise(9, -70), 7.5, said), agent)
    assert found is not None
    assert found.began == pytest.approx(7.5, abs=0.15)


# Other audio

NO_SPEECH = {
    "silence": np.zeros(6 * RATE),
    "a good line": noise(6, -70),
    "a noisy line": noise(6, -35, "pink"),
    "noise that begins": over(noise(6, -70), 3, noise(3, -35)),
    "pink noise that begins": over(noise(6, -70), 4, noise(2, -30, "pink")),
    "noise for a second": over(noise(6, -70), 4, noise(1, -30, "pink")),
    "hum": 3_000 * np.sin(2 * np.pi * 50 * np.arange(6 * RATE) / RATE),
    "dial tone": 6_000 * np.sin(2 * np.pi * 425 * np.arange(6 * RATE) / RATE),
    "a busy tone": tone(425, RATE, peak=6_000, s=6).astype(float) * (np.arange(6 * RATE) % 7_680 < 3_840),
}


@pytest.mark.parametrize("name", NO_SPEECH)
def test_noise_and_tones_are_no_speech(name: str) -> None:
    assert found_in(NO_SPEECH[name]) is None


@pytest.mark.parametrize("seed", range(10))
def test_clicks_are_no_speech(seed: int) -> None:
    rng = np.random.default_rng(seed)
    line = noise(6, -70)
    for start in rng.integers(0, len(line) - 100, 8):
        line[start : start + rng.integers(2, 60)] += rng.uniform(3_000, 20_000)
    assert found_in(line) is None


@pytest.mark.parametrize("on_ms", [50, 70, 100, 200])
def test_dtmf_is_no_speech(on_ms: int) -> None:
    line = noise(6, -70)
    for number, (low, high) in enumerate([(697, 1209), (770, 1336), (852, 1477), (941, 1336)]):
        key = tone(low, RATE, peak=4_000, s=on_ms / 1000) + tone(high, RATE, peak=4_000, s=on_ms / 1000)
        line = over(line, 2.007 + number * on_ms * 0.002, key.astype(float))
    assert found_in(line) is None


@pytest.mark.parametrize("dbfs", [-50, -40])
def test_breathing_is_no_speech(dbfs: float) -> None:
    breath = noise(0.6, dbfs, "pink") * np.sin(np.pi * np.linspace(0, 1, round(0.6 * RATE)))
    assert found_in(over(over(noise(6, -70), 1.5, breath), 3.7, breath)) is None


@pytest.mark.parametrize("gain_db", [-10, -20, -30])
@pytest.mark.parametrize("delay_ms", [40, 120, 250])
def test_an_echo_is_no_speech(gain_db: float, delay_ms: int) -> None:
    agent = np.concatenate((np.zeros(RATE), np.tile(spoken(speech("greeting"), -18), 3)))[: 6 * RATE]
    agent = np.concatenate((agent, np.zeros(RATE)))
    delay = delay_ms * RATE // 1000
    echo = np.concatenate((np.zeros(delay), agent[:-delay])) * 10 ** (gain_db / 20)
    assert found_in(echo + noise(7, -70), agent) is None


# Whatever comes


@given(
    st.lists(st.tuples(st.binary(max_size=2_000), st.floats(0, 3)), max_size=20),
    st.sampled_from([ULAW_8000, ALAW_8000, *LINEAR]),
    st.sampled_from([40, 45, 60]),
)
def test_any_audio_of_any_length_at_any_time(
    pieces: list[tuple[bytes, float]], audio_format: AudioFormat, size: int
) -> None:
    times, now = SpeechTimes(100.0), 100.0
    times.set_format(audio_format)
    for audio, pause in pieces:
        now += pause
        frame = audio[:size].ljust(size, b"\1")
        times.take(audio, now, [frame, None, frame], now)
        times.take(b"", now, [frame, frame + b"\1"], now)
        found = times.last_speech(100.0, now)
        assert found is None or found.began < found.ended <= now + 0.02


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(-50, 2_000)), max_size=30))
def test_a_track_has_the_latest_levels_where_they_belong(puts: list[tuple[int, int]]) -> None:
    track, expected, end = LevelTrack(100), dict[int, int](), 0
    for number, (count, step) in enumerate(puts, 1):
        end = max(0, end + step) + count
        start, bits = end - count, 20_000 + number
        expected = {place: value for place, value in expected.items() if place < start}
        expected |= dict.fromkeys(range(start, end), bits)
        track.put(np.full(count, bits, np.uint16), end)
    if puts:
        levels = track.read(end - 50, end)  # what replaces later levels may leave no more
        assert len(levels) == 50
        known = [place in expected for place in range(end - 50, end)]
        assert ((levels > 0) == known).all()


def test_levels_are_decibels_of_full_scale() -> None:
    loud = tone(700, RATE, peak=32_767, s=0.2).tobytes()
    track = LevelTrack(100)
    assert FULL_SCALE - 3 < track.put(levels_of(loud[EXTRACT], Encoding.PCM, 40), 10) < FULL_SCALE + 6
    coded = linear_to_ulaw(loud)[extract_of(ULAW_8000)]
    assert track.read(0, 10).max() == pytest.approx(
        LevelTrack(9).put(levels_of(coded, Encoding.ULAW, 40), 10), abs=1
    )
    assert track.put(levels_of(bytes(40), Encoding.PCM, 40), 11) < 0
    assert track.read(10, 11)[0] == 0
