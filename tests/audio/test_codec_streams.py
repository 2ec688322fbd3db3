"""What a call's frames are taken for in the end: unkind beginnings, other codecs, packet times, networks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest

from audiosocket_gw.audio import (
    ALAW_8000,
    PCM_8000,
    ULAW_8000,
    AudioFormat,
    linear_to_alaw,
    linear_to_ulaw,
)
from audiosocket_gw.audio.byte_rate import ByteRate
from audiosocket_gw.audio.codec_detector import CodecDetector
from audiosocket_gw.audio.codec_evidence import Verdict
from tests.audio.g722 import linear_to_g722, wideband
from tests.audio.signals import SPEECH, Floats, Samples, ideally_resampled, rms, speech, to_samples, tone
from tests.harness.clock import Clock

PCM_16000 = AudioFormat.parse("pcm_16000")

BYTES_PER_S = {
    "pcm": 16_000,
    "ulaw": 8_000,
    "alaw": 8_000,
    "g722": 8_000,
    "narrow g722": 8_000,
    "adpcm": 4_000,
}
TRUTH = {"pcm": PCM_8000, "ulaw": ULAW_8000, "alaw": ALAW_8000}
SIZES = {
    "pcm": (40, 80, 160, 320, 480, 640, 960, 1_920),
    "ulaw": (20, 40, 80, 160, 240, 320, 640, 960),
    "alaw": (20, 40, 80, 160, 240, 320, 640, 960),
    "g722": (80, 160, 320, 640),
    "narrow g722": (80, 160, 320, 640),
    "adpcm": (40, 80, 160),
}


# What is said


def noise(colour: str, s: float, dbfs: float, seed: int = 1) -> Floats:
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(round(8_000 * s)))
    hz = np.maximum(np.fft.rfftfreq(round(8_000 * s), 1 / 8_000), 20)
    shape = {"white": hz**0, "pink": hz**-0.5, "wind": (hz < 400) / hz**0.5 + 0.01}[colour]
    audio = np.fft.irfft(spectrum * shape, round(8_000 * s))
    return audio * float(32_768 * 10 ** (dbfs / 20) / rms(audio))


def voice(name: str, dbfs: float, s: float = 4) -> Floats:
    audio = speech(name).astype(np.float64)
    return np.resize(audio * float(32_768 * 10 ** (dbfs / 20) / rms(audio)), round(8_000 * s))


def babble(s: float) -> Floats:
    together = np.zeros(round(8_000 * s))
    for n, name in enumerate(SPEECH):
        together += np.roll(voice(name, -28, s), n * 5_000)
    return together


def scenes() -> dict[str, Floats]:
    """Beginnings that tell nothing, or something wrong; then a voice."""
    return {
        "loud voice": voice("greeting", -10),
        "soft voice": voice("apology", -42),
        "digital silence first": np.concatenate((np.zeros(12_000), voice("opening-hours", -24))),
        "a quiet line first": np.concatenate((noise("pink", 1.5, -72), voice("opening-hours", -30))),
        "clipped wind first": np.concatenate((noise("wind", 0.5, 4), voice("greeting", -22))),
        "white noise first": np.concatenate((noise("white", 1, -14), voice("goodbye", -24))),
        "babble first": np.concatenate((babble(1), voice("apology", -24))),
        "level jumps": np.concatenate([voice("greeting", dbfs, 1) for dbfs in (-40, -12, -50, -6)]),
    }


# In which codec


def adpcm(samples: Samples) -> bytes:
    """Encode 8 kHz audio in 4 bits a sample, with a step that doubles or shrinks: as G.726 and DVI4 look."""
    predicted, step = 0.0, 16.0
    codes = []
    for sample in samples.tolist():
        error = sample - predicted
        size = min(7, int(abs(error) * 4 / step))
        predicted += (step * size / 4 + step / 8) * (1 if error >= 0 else -1)
        step = min(30_000.0, max(7.0, step * (0.91, 0.91, 0.91, 0.91, 1.2, 1.5, 1.9, 2.4)[size]))
        codes.append(size | (8 if error < 0 else 0))
    return bytes(low | high << 4 for low, high in zip(codes[::2], codes[1::2], strict=True))


@cache
def stream(scene: str, codec: str) -> bytes:
    samples = to_samples(scenes()[scene])
    match codec:
        case "ulaw":
            return linear_to_ulaw(samples.tobytes())
        case "alaw":
            return linear_to_alaw(samples.tobytes())
        case "narrow g722":  # a call from the PSTN, passed on
            return linear_to_g722(wideband(samples)[: 2 * len(samples)])
        case "g722":
            wide = wideband(samples)[: 2 * len(samples)].astype(np.float64)
            breath = np.random.default_rng(1).standard_normal(len(wide)) * np.abs(wide).mean() / 4
            return linear_to_g722(to_samples(wide + breath))
        case "adpcm":
            return adpcm(samples)
        case _:
            return samples.tobytes()


Arrivals = Callable[[float], float]
"""When a frame comes that was spoken at a time, in seconds from the first."""


def verdicts(
    audio: bytes, size: int, bytes_per_s: int, arrives: Arrivals = lambda at: at
) -> Iterator[tuple[float, Verdict]]:
    """Yield the verdict on each frame, and when it was given."""
    clock = Clock(100)
    watch = CodecDetector(clock)
    for start in range(0, len(audio) - size + 1, size):
        clock.now = max(clock.now, 100 + arrives((start + size) / bytes_per_s))
        yield clock.now - 100, watch.hear(audio[start : start + size])


@pytest.mark.parametrize("codec", SIZES)
@pytest.mark.parametrize("scene", scenes())
def test_no_beginning_makes_the_agent_deaf_or_noisy(scene: str, codec: str) -> None:
    truth = TRUTH.get(codec)
    audio = stream(scene, codec)  # encoded once for all sizes: G.722 in Python takes seconds
    for size in SIZES[codec]:
        heard = list(verdicts(audio, size, BYTES_PER_S[codec]))
        assert heard[-1][1].format == truth, size
        wrong_for_certain = [at for at, verdict in heard if verdict.certain and verdict.format != truth]
        assert len(wrong_for_certain) * size / BYTES_PER_S[codec] < 1.5, (size, wrong_for_certain[-1:])
        assert truth is None or heard[-1][1].certain, size


NETWORKS: dict[str, Arrivals] = {
    "jitter": lambda at: at + random.Random(at).random() * 0.03,
    "batches of 60 ms": lambda at: 0.06 * (int(at / 0.06) + 1),
    "a stall at once": lambda at: max(at, 0.7),
    "a stall later": lambda at: max(at, 1.9) if at > 1.2 else at,
    "stalls": lambda at: 0.3 * (int(at / 0.3) + 1),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("size", [160, 320, 640])
def test_a_network_that_stalls_makes_no_other_rate(network: str, size: int) -> None:
    for scene in ("loud voice", "digital silence first", "white noise first"):
        heard = list(verdicts(stream(scene, "pcm"), size, 16_000, NETWORKS[network]))
        assert {verdict.format for _, verdict in heard} <= {PCM_8000, None}
        assert heard[-1][1] == Verdict(PCM_8000, certain=True)


# Frames of 640 bytes: 20 ms at 16 kHz, under a wrong label, or 40 ms at 8 kHz


@cache
def wide(scene: str) -> bytes:
    return wideband(to_samples(scenes()[scene])).tobytes()


@pytest.mark.parametrize("network", ["punctual", "jitter", "batches of 60 ms"])
@pytest.mark.parametrize("scene", ["loud voice", "digital silence first", "clipped wind first"])
def test_16_khz_under_the_label_of_8_is_known_by_the_rate_of_its_bytes(scene: str, network: str) -> None:
    heard = list(verdicts(wide(scene), 640, 32_000, NETWORKS.get(network, lambda at: at)))
    change = next(at for at, verdict in heard if verdict.format == PCM_16000)
    assert change < 1
    assert all(verdict == Verdict(PCM_16000, certain=True) for at, verdict in heard if at > change)


@pytest.mark.parametrize("scene", ["loud voice", "digital silence first", "clipped wind first"])
def test_frames_of_640_bytes_every_40_ms_are_8_khz(scene: str) -> None:
    heard = list(verdicts(stream(scene, "pcm"), 640, 16_000))
    assert {verdict.format for _, verdict in heard} == {PCM_8000}


@pytest.mark.parametrize(
    ("rate", "size"),
    [(12_000, 480), (16_000, 320), (16_000, 1_280), (24_000, 960), (44_100, 1_764), (48_000, 1_920)],
)
def test_other_rates_under_the_label_of_8_khz(rate: int, size: int) -> None:
    audio = to_samples(ideally_resampled(scenes()["loud voice"], 8_000, rate)).tobytes()
    *_, (_, verdict) = verdicts(audio, size, rate * 2)
    assert verdict == Verdict(AudioFormat.parse(f"pcm_{rate}"), certain=True)


@pytest.mark.parametrize("lost", [0.05, 0.15])
def test_lost_packets_make_no_other_rate_of_16_khz(lost: float) -> None:
    chance = random.Random(4)
    clock = Clock()
    watch = CodecDetector(clock)
    audio = wide("loud voice")
    for start in range(0, len(audio) - 639, 640):
        clock.now += 0.02
        if chance.random() > lost:
            watch.hear(audio[start : start + 640])
            assert watch.verdict.format in (PCM_8000, PCM_16000)
    assert watch.verdict.format == PCM_16000


@pytest.mark.parametrize("codec", ["ulaw", "alaw", "pcm"])
@pytest.mark.parametrize("hz", [440, 1_000, 1_004, 2_100])
def test_a_tone_is_heard_and_decides_nothing(codec: str, hz: int) -> None:
    samples = tone(hz, 8_000, peak=8_000, s=2).tobytes()
    audio = {"ulaw": linear_to_ulaw, "alaw": linear_to_alaw}.get(codec, bytes)(samples)
    heard = [verdict for _, verdict in verdicts(audio, 160, BYTES_PER_S[codec])]
    assert {verdict.format for verdict in heard[1:]} == {TRUTH[codec]}


@pytest.mark.parametrize("beginning", ["constant", "square", "clipped noise"])
@pytest.mark.parametrize("codec", ["ulaw", "alaw"])
@pytest.mark.parametrize("packet_ms", [20, 40, 60])
def test_a_beginning_of_few_values_decides_nothing(beginning: str, codec: str, packet_ms: int) -> None:
    """The wrong law may look smoother; and G.711 of 40 and 60 ms has sizes that linear audio has, too."""
    at = np.arange(8_000 * 3)
    first = {
        "constant": np.full(len(at), 1_000.0),
        "square": 30_000 * np.sign(np.sin(2 * np.pi * 425 / 8_000 * at)),
        "clipped noise": 32_000 * np.sign(np.random.default_rng(7).normal(0, 1, len(at))),
    }[beginning]
    samples = to_samples(np.concatenate((first, voice("greeting", -22)))).tobytes()
    audio = linear_to_ulaw(samples) if codec == "ulaw" else linear_to_alaw(samples)
    heard = list(verdicts(audio, packet_ms * 8, BYTES_PER_S[codec]))
    assert not any(verdict.certain for at, verdict in heard if at < 3)
    assert all(verdict == Verdict(TRUTH[codec], certain=True) for at, verdict in heard if at > 3.5)


# Changes of mind


def test_a_verdict_that_was_wrong_is_corrected_by_speech() -> None:
    """Noise of full level can't be told from another codec; the voice after it can."""
    watch = CodecDetector()
    random_bytes = np.random.default_rng(1).integers(0, 256, 24_000, np.uint8).tobytes()
    for start in range(0, 24_000, 160):
        watch.hear(random_bytes[start : start + 160])
    assert watch.verdict == Verdict(None, certain=True)
    spoken = stream("loud voice", "alaw")
    formats = [watch.hear(spoken[start : start + 160]).format for start in range(0, 16_000, 160)]
    assert formats.index(ALAW_8000) <= 10
    assert formats[-1] == ALAW_8000


@pytest.mark.parametrize(
    ("before", "after"), [("ulaw", "g722"), ("alaw", "ulaw"), ("pcm", "alaw"), ("ulaw", "pcm")]
)
def test_after_a_pause_it_is_looked_at_again(before: str, after: str) -> None:
    """A re-INVITE during hold: the codec is another, and frames may have the size that they had."""
    clock = Clock()
    watch = CodecDetector(clock)
    for codec in (before, after):
        audio = stream("loud voice", codec)
        for start in range(0, len(audio) - 159, 160):
            clock.now += 160 / BYTES_PER_S[codec]
            watch.hear(audio[start : start + 160])
        assert watch.verdict.format == TRUTH.get(codec)
        clock.now += 4
        watch.look_again()


# What it costs


@pytest.mark.parametrize("size", [160, 320])
def test_linear_audio_is_looked_at_for_a_few_seconds_only(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    watch = CodecDetector(clock)
    audio = stream("loud voice", "pcm")
    for start in range(0, len(audio) - size + 1, size):
        clock.now += size / 16_000
        watch.hear(audio[start : start + size])
    looks = 0

    def look(*_: object) -> bool:
        nonlocal looks
        looks += 1
        return False

    monkeypatch.setattr(ByteRate, "hear", look)
    for start in range(0, len(audio) - size + 1, size):
        assert watch.hear(audio[start : start + size]).format == PCM_8000
    assert looks == 0


def test_hostile_sizes_are_not_kept_without_end() -> None:
    clock = Clock()
    watch = CodecDetector(clock)
    for size in range(16, 3_000):
        clock.now += 0.02
        watch.hear(bytes(size))
    assert len(watch._sizes) <= 16
