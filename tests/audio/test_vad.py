"""The speech detector: how soon it notices a caller, and what it doesn't take for one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.audio import alaw_to_linear, linear_to_alaw, linear_to_ulaw, ulaw_to_linear
from audiosocket_gw.audio.vad import SpeechDetector
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES
from audiosocket_gw.testing.softphone import read_wav
from tests.audio.signals import SPEECH, Floats, db, ideally_resampled, rms, speech, to_samples

RATE = 8_000
IN_TIME_MS = 120
PITCHES = (80, 110, 150, 200, 260, 340)
"""A deep man's voice to a child's."""


# Audio


def at_level(audio: Floats, dbfs: float) -> Floats:
    """Bring audio to a level, its pauses not counted."""
    blocks = audio[: len(audio) // 160 * 160].reshape(-1, 160)
    powers = np.square(blocks).mean(axis=1)
    active = powers[powers > powers.max() / 10**3.5].mean()
    return audio * float(32_768 * 10 ** (dbfs / 20) / np.sqrt(active))


def vowel(pitch_hz: float, *, s: float = 0.4, rate: int = RATE) -> Floats:
    """A voice that says a long a: pulses at the pitch, which falls a little, through three resonances."""
    time = np.arange(round(rate * s)) / rate
    cycles = pitch_hz * (time - 0.1 * time**2)
    audio = np.zeros(len(time))
    for partial in range(1, int(3_400 / pitch_hz)):
        hz = partial * pitch_hz
        gain = sum(1 / (1 + ((hz - formant) / 90) ** 2) ** 0.5 for formant in (700, 1_220, 2_600)) / partial
        audio += gain * np.sin(2 * np.pi * partial * cycles + partial**2)
    return audio * np.minimum(1, time / 0.02)


def noise(colour: str, samples: int, dbfs: float, seed: int = 1) -> Floats:
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    hz = np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 20)
    shape = {"white": hz**0, "pink": hz**-0.5, "brown": 1 / hz, "telephone": (hz > 300) * (hz < 3_400)}[
        colour
    ]
    audio = np.fft.irfft(spectrum * shape, samples)
    return audio * float(32_768 * 10 ** (dbfs / 20) / rms(audio))


def tones(*hz: float, samples: int, dbfs: float) -> Floats:
    audio = sum(np.sin(2 * np.pi * each * np.arange(samples) / RATE + each) for each in hz)
    assert isinstance(audio, np.ndarray)
    return audio * float(32_768 * 10 ** (dbfs / 20) / rms(audio))


def agent(samples: int, dbfs: float) -> Floats:
    """An agent that speaks all the time, as sentences are spoken."""
    sentences = [at_level(speech(name).astype(float), dbfs) for name in SPEECH]
    spoken = np.concatenate([part for sentence in sentences for part in (sentence, np.zeros(1_600))])
    return np.resize(spoken, samples).clip(-32_768, 32_767)


def echo(sent: Floats, loss_db: float, delay_ms: int, seed: int = 1) -> Floats:
    """What comes back, through a hybrid that smears it over some milliseconds."""
    taps = np.random.default_rng(seed).standard_normal(48) * np.exp(-np.arange(48) / 8)
    smeared = np.convolve(sent, taps)[: len(sent)]
    smeared *= rms(sent) / rms(smeared) * 10 ** (-loss_db / 20)
    return np.concatenate((np.zeros(delay_ms * RATE // 1000), smeared))[: len(sent)]


def noticed(
    caller: Floats, sent: Floats | None = None, *, rate: int = RATE, detector: SpeechDetector | None = None
) -> Iterator[int]:
    """Call for call, 20 ms each: the times, in milliseconds, at which the caller is said to speak."""
    detector = detector or SpeechDetector(rate)
    frame = rate // 50
    for start in range(0, len(caller) - frame + 1, frame):
        heard = to_samples(caller[start : start + frame]).tobytes()
        detector.add_sent(None if sent is None else to_samples(sent[start : start + frame]).tobytes())
        if detector.is_speech(heard):
            yield (start + frame) * 1000 // rate


def delay_ms(caller: Floats, onset: int, sent: Floats | None = None, *, rate: int = RATE) -> float:
    """How long after its onset speech is noticed; noticed before, it is an error."""
    first = next(noticed(caller, sent, rate=rate), None)
    assert first is not None, "it was not noticed at all"
    return first - onset * 1000 / rate


def after_a_second(
    audio: Floats, background: str = "telephone", dbfs: float = -60, shift: int = 37
) -> Floats:
    """Audio that begins after a second of noise, anywhere in a frame."""
    caller = np.concatenate((np.zeros(RATE + shift), audio))
    return caller + noise(background, len(caller), dbfs)


# Speech


@pytest.mark.parametrize("pitch", PITCHES)
@pytest.mark.parametrize(
    ("level", "noise_level"), [(-10, -35), (-20, -60), (-20, -40), (-30, -50), (-38, -60), (-38, -90)]
)
def test_a_voice_is_noticed_in_time(pitch: int, level: float, noise_level: float) -> None:
    for shift in (0, 37, 81, 140):
        caller = after_a_second(at_level(vowel(pitch), level), dbfs=noise_level, shift=shift)
        assert 0 < delay_ms(caller, RATE + shift) <= IN_TIME_MS


@pytest.mark.parametrize("name", SPEECH)
@pytest.mark.parametrize(("level", "noise_level"), [(-12, -40), (-20, -60), (-20, -45), (-30, -55)])
def test_a_spoken_sentence_is_noticed_in_time(name: str, level: float, noise_level: float) -> None:
    audio = at_level(speech(name).astype(float), level)
    onset = onset_of(audio, level)
    caller = after_a_second(audio, dbfs=noise_level)
    assert delay_ms(caller, RATE + 37 + onset) <= IN_TIME_MS


def onset_of(audio: Floats, level: float) -> int:
    """The first sample of 40 ms in a row that are within 15 dB of the speech's level."""
    blocks = audio[: len(audio) // 80 * 80].reshape(-1, 80)
    loud = [db(rms(block) / 32_768) > level - 15 for block in blocks]
    return next(n for n in range(len(loud)) if all(loud[n : n + 4])) * 80


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
@pytest.mark.parametrize("voice", ["en+m1", "en+m3", "en+f2", "en+f4", "de+m2", "fr+f1"])
def test_espeaks_voices_are_noticed_in_time(voice: str, tmp_path: Path) -> None:
    delays = []
    for words in ("No, wait", "Yes", "Hello", "Operator", "I want to speak to a person", "Moment"):
        recorded = tmp_path / "words.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-w", recorded, words], check=True)
        spoken = np.frombuffer(read_wav(recorded, rate=22_050), "<i2").astype(float)
        audio = at_level(ideally_resampled(spoken, 22_050, RATE), -20)
        delays.append(delay_ms(after_a_second(audio), RATE + 37 + onset_of(audio, -20)))
    assert np.median(delays) <= 90
    assert sum(delay <= IN_TIME_MS for delay in delays) >= 5, delays


@pytest.mark.parametrize("rate", SAMPLE_RATES.values())
def test_at_every_rate_of_asterisk(rate: int) -> None:
    caller = after_a_second(at_level(vowel(130), -25), dbfs=-60, shift=0)
    wide = ideally_resampled(caller, RATE, rate)
    assert 0 < delay_ms(wide, rate, rate=rate) <= IN_TIME_MS


@pytest.mark.parametrize(
    ("encode", "decode"), [(linear_to_ulaw, ulaw_to_linear), (linear_to_alaw, alaw_to_linear)]
)
def test_what_came_by_g711(encode, decode) -> None:  # type: ignore[no-untyped-def]
    caller = to_samples(after_a_second(at_level(vowel(130), -30), dbfs=-70))
    coded = np.frombuffer(decode(encode(caller.tobytes())), "<i2").astype(float)
    assert 0 < delay_ms(coded, RATE + 37) <= IN_TIME_MS


@given(st.lists(st.integers(80, 400), min_size=1, max_size=20))
def test_frames_of_any_length_from_10_ms_on(lengths: list[int]) -> None:
    caller = to_samples(after_a_second(at_level(vowel(150), -20), shift=0))
    detector = SpeechDetector(RATE)
    position, turn = 0, 0
    while not detector.is_speech(caller[position : position + lengths[turn]].tobytes()):
        position += lengths[turn]
        turn = (turn + 1) % len(lengths)
        assert position < len(caller)
    assert position + lengths[turn] > RATE
    assert position <= RATE + IN_TIME_MS * RATE // 1000


def test_a_consonant_in_the_first_syllable_does_not_begin_it_anew() -> None:
    audio = at_level(vowel(150), -20)
    audio[40 * 8 : 60 * 8] = 0
    assert delay_ms(after_a_second(audio, shift=0), RATE) <= IN_TIME_MS


@pytest.mark.parametrize("length", [80, 159, 160, 240, 319, 320])
def test_no_part_of_a_frame_is_lost(length: int) -> None:
    caller = after_a_second(at_level(vowel(150), -20), shift=0)
    frames = (caller[start : start + length] for start in range(0, len(caller), length))
    detector = SpeechDetector(RATE)
    first = next(n for n, frame in enumerate(frames, 1) if detector.is_speech(to_samples(frame).tobytes()))
    assert (first * length - RATE) * 1000 / RATE <= 80 + length * 1000 / RATE


def test_silence_after_speech_is_no_speech() -> None:
    caller = after_a_second(at_level(vowel(150), -20))
    caller = np.concatenate((caller, noise("telephone", RATE, -60)))
    assert max(noticed(caller)) <= 1_000 + 5 + 400 + 70


def test_who_speaks_already_when_listening_begins_is_noticed_after_the_next_pause() -> None:
    syllables = [np.concatenate((at_level(vowel(150, s=0.3), -20), np.zeros(800))) for _ in range(4)]
    assert next(noticed(np.concatenate(syllables))) <= 400 + IN_TIME_MS


# What is no speech


COLOURS = ("white", "pink", "telephone")


@pytest.mark.parametrize("colour", [*COLOURS, "brown"])
@pytest.mark.parametrize("level", [-60, -50, -40, -30, -20, -12])
def test_a_line_that_is_noisy_from_the_beginning(colour: str, level: float) -> None:
    assert not list(noticed(noise(colour, 10 * RATE, level)))


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("level", [-50, -40, -30, -20, -12])
def test_noise_that_steps_up(colour: str, level: float) -> None:
    for seed in range(3):
        steps = [noise(colour, RATE, -65, seed), noise(colour, 5 * RATE, level, seed)]
        assert not list(noticed(np.concatenate(steps)))


def test_hum_that_has_always_been_there() -> None:
    assert not list(noticed(tones(50, 150, 250, samples=5 * RATE, dbfs=-20)))


def test_low_hum_that_begins() -> None:
    caller = np.concatenate((np.zeros(RATE), tones(50, 100, 150, samples=5 * RATE, dbfs=-20)))
    assert not list(noticed(caller + noise("telephone", len(caller), -60)))


def test_what_has_a_pitch_for_ever_is_not_taken_for_a_voice_for_ever() -> None:
    buzz = at_level(np.sign(np.sin(2 * np.pi * 100 * np.arange(12 * RATE) / RATE)), -25)
    assert max(noticed(after_a_second(buzz))) < 5_000


KEYS = list(product((697, 770, 852, 941), (1_209, 1_336, 1_477, 1_633)))
SIGNALS = [(425,), (350, 440), (440, 480), (480, 620), (950,), (1_400,), (1_100,), (2_100,), (1_004,)]


@pytest.mark.parametrize("hz", [*KEYS, *SIGNALS], ids=str)
@pytest.mark.parametrize(("level", "noise_level"), [(-8, -60), (-8, -40), (-20, -60), (-20, -40), (-35, -60)])
def test_keys_and_the_networks_tones(hz: tuple[float, ...], level: float, noise_level: float) -> None:
    audio = np.tile(np.concatenate((tones(*hz, samples=2_000, dbfs=level), np.zeros(800))), 4)
    assert not list(noticed(after_a_second(audio, dbfs=noise_level)))


@pytest.mark.parametrize("length_ms", [1, 5, 20, 35, 50])
@pytest.mark.parametrize("shift", [0, 37, 81, 140])
def test_clicks_and_coughs(length_ms: int, shift: int) -> None:
    samples = length_ms * RATE // 1000
    for audio in (vowel(220)[800 : 800 + samples], noise("white", samples, -10), np.ones(samples)):
        loud = audio / np.abs(audio).max() * 30_000
        assert not list(noticed(after_a_second(np.concatenate((loud, np.zeros(RATE // 2))), shift=shift)))


def test_what_is_too_quiet_to_be_meant() -> None:
    assert not list(noticed(after_a_second(at_level(vowel(150), -48), dbfs=-75)))


@pytest.mark.parametrize("audio", [b"", b"\0", bytes(321), b"\xff" * 319, bytes(100_000)])
def test_payloads_that_no_telephone_sends(audio: bytes) -> None:
    detector = SpeechDetector(RATE)
    for _ in range(40):
        detector.add_sent(audio)
        assert not detector.is_speech(audio)


# The agent's echo


@pytest.mark.parametrize("loss_db", [6, 8, 10, 12, 20, 30])
@pytest.mark.parametrize("delay", [0, 35, 120, 250])
def test_the_agents_echo_is_never_taken_for_the_caller(loss_db: float, delay: int) -> None:
    for level, seed in ((-12, 1), (-18, 2), (-26, 3)):
        sent = agent(12 * RATE, level)
        caller = echo(sent, loss_db, delay, seed) + noise("telephone", len(sent), -60, seed)
        assert not list(noticed(caller, sent))


@pytest.mark.parametrize("law", ["ulaw", "alaw"])
def test_nor_is_one_that_went_through_g711(law: str) -> None:
    encode, decode = (linear_to_ulaw, ulaw_to_linear) if law == "ulaw" else (linear_to_alaw, alaw_to_linear)
    sent = agent(10 * RATE, -16)
    coded = decode(encode(to_samples(echo(sent, 10, 60)).tobytes()))
    assert not list(noticed(np.frombuffer(coded, "<i2").astype(float), sent))


@pytest.mark.parametrize("loss_db", [6, 8, 10])
@pytest.mark.parametrize("level", [-12, -20, -28])
def test_nor_is_the_first_that_is_heard(loss_db: float, level: float) -> None:
    for seed, start in product(range(3), range(0, 8_000, 1_600)):
        sent = np.concatenate((np.zeros(RATE), agent(3 * RATE, level)[start:]))
        caller = echo(sent, loss_db, 80, seed) + noise("telephone", len(sent), -65, seed)
        assert not list(noticed(caller, sent))


@pytest.mark.parametrize("seed", range(4))
def test_nor_is_one_that_grows(seed: int) -> None:
    """As when somebody turns the volume up: by 14 dB in 4 s."""
    sent = agent(9 * RATE, -18)
    gain_db = np.clip(np.arange(len(sent)) / RATE - 3, 0, 4) * 3.5
    assert not list(noticed(echo(sent, 22, 60, seed) * 10 ** (gain_db / 20), sent))


@pytest.mark.parametrize("seed", range(4))
def test_nor_is_one_that_is_weak_for_some_seconds(seed: int) -> None:
    """As of an agent that says little in the band that comes back."""
    sent = agent(20 * RATE, -18)
    gain_db = np.where(np.arange(len(sent)) // (3 * RATE) % 2, -14, 0)
    assert not list(noticed(echo(sent, 12, 60, seed) * 10 ** (gain_db / 20), sent))


def barges_in(
    pitch: int, *, level: float, agent_level: float, loss_db: float, after_s: float, noise_level: float = -60
) -> float:
    """The delay with which a caller who cuts in is noticed."""
    onset = round(after_s * RATE) + 53
    sent = agent(onset + RATE, agent_level)
    caller = echo(sent, loss_db, 60) + noise("telephone", len(sent), noise_level)
    said = at_level(vowel(pitch), level)
    caller[onset : onset + len(said)] += said
    return delay_ms(caller, onset, sent)


@pytest.mark.parametrize("pitch", PITCHES)
@pytest.mark.parametrize("after_s", [3, 5.3, 9.7])
@pytest.mark.parametrize("agent_level", [-14, -20])
@pytest.mark.parametrize(("loss_db", "noise_level"), [(25, -60), (90, -60), (90, -45)])
def test_who_speaks_over_the_agent_is_noticed_in_time(
    pitch: int, after_s: float, agent_level: float, loss_db: float, noise_level: float
) -> None:
    delay = barges_in(
        pitch, level=-20, agent_level=agent_level, loss_db=loss_db, after_s=after_s, noise_level=noise_level
    )
    assert 0 < delay <= IN_TIME_MS


@pytest.mark.parametrize(("loss_db", "level"), [(6, -13), (10, -16), (15, -20)])
def test_the_stronger_the_echo_the_louder_the_caller_must_be(loss_db: float, level: float) -> None:
    for pitch in PITCHES:
        delay = barges_in(pitch, level=level, agent_level=-20, loss_db=loss_db, after_s=6)
        assert 0 < delay <= IN_TIME_MS


def test_until_the_echo_is_known_a_caller_as_loud_as_the_agent_is_noticed() -> None:
    for pitch in PITCHES:
        assert barges_in(pitch, level=-14, agent_level=-20, loss_db=90, after_s=0.5) <= IN_TIME_MS


def test_a_mistake_is_made_once() -> None:
    """A loudspeaker that the caller switches on in mid-call, and that is as loud as the caller."""
    sent = agent(20 * RATE, -20)
    caller = np.concatenate((noise("telephone", 6 * RATE, -60), echo(sent, -1, 90)[6 * RATE :]))
    detector = SpeechDetector(RATE)
    mistakes: list[int] = []
    for ms in noticed(caller, sent, detector=detector):
        if not mistakes or ms - mistakes[-1] > 500:
            mistakes.append(ms)
            detector.report_false_alarm()
    assert 1 <= len(mistakes) <= 2
    assert mistakes[-1] < 8_000
