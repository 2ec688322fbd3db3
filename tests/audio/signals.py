"""Audio for the tests, and how it is measured: a tone is fitted, the rest compared with an ideal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from wave import open as open_wave

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]

SPEECH = ("greeting", "opening-hours", "apology", "goodbye")


def speech(name: str = "greeting") -> Samples:
    """A spoken sentence of the package, 8 kHz."""
    data = files("audiosocket_gw.testing.simulator").joinpath("prompts", f"{name}.wav").read_bytes()
    with open_wave(BytesIO(data)) as recording:
        assert recording.getframerate() == 8_000
        return np.frombuffer(recording.readframes(recording.getnframes()), "<i2")


def tone(hz: float, rate: int, *, peak: float, s: float) -> Samples:
    return to_samples(peak * np.sin(2 * np.pi * hz * np.arange(round(rate * s)) / rate))


def to_samples(audio: Floats) -> Samples:
    samples: Samples = np.rint(audio).clip(-32_768, 32_767).astype("<i2")
    return samples


def db(ratio: float) -> float:
    return 20 * math.log10(max(ratio, 1e-9))


@dataclass(frozen=True, slots=True)
class Heard:
    """What has become of a sine wave."""

    level_db: float
    """Its level, against the original."""
    delay_ms: float
    """How much later it is than the original, within half a period."""
    rest_db: float
    """All that is not the tone, taken together, against the original."""


def listen(samples: Samples, hz: float, rate: int, *, peak: float) -> Heard:
    """Fit the sine wave of ``hz`` that began at 0; 20 ms at both ends are left out."""
    margin = rate // 50
    audio = samples[margin:-margin] / peak
    cycles = 2 * np.pi * hz * (np.arange(len(audio)) + margin) / rate
    if hz >= rate / 2:
        return Heard(db(0), 0, db(rms(audio) * math.sqrt(2)))
    basis = np.stack([np.sin(cycles), np.cos(cycles)], axis=1)
    (sine, cosine), *_ = np.linalg.lstsq(basis, audio, rcond=None)
    rest = audio - basis @ [sine, cosine]
    delay_ms = -math.atan2(cosine, sine) / (2 * np.pi * hz) * 1000
    return Heard(db(math.hypot(sine, cosine)), delay_ms, db(rms(rest) * math.sqrt(2)))


def rms(audio: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(audio))))


def ideally_resampled(samples: Floats, source_rate: int, target_rate: int) -> Floats:
    """Resample the whole at once in the frequency domain, with a filter as steep as can be."""
    count = -(-len(samples) * target_rate // source_rate)
    # To a whole number of seconds, so that both lengths are whole; silence doesn't change the audio.
    seconds = math.ceil(len(samples) / source_rate) + 1
    spectrum = np.fft.rfft(samples, seconds * source_rate)
    return np.fft.irfft(spectrum, seconds * target_rate)[:count] * (target_rate / source_rate)
