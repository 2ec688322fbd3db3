"""Voice activity detection: has the caller begun to speak, while the agent may be speaking?

Level alone is not enough: a line has noise, which may rise suddenly, clicks, tones, and the agent's own voice
as an echo from the telephone. So speech is audio that is

- loud: above the line's noise, and above any echo of the audio sent to the caller in the last 320 ms;
- sustained: for at least 60 of the last 120 ms;
- voiced: it has a pitch, like each syllable and unlike noise; and more than two partials, unlike tones,
  including DTMF.

The strength of the echo is measured while the agent speaks, by comparing the two levels, like the double-talk
detector of echo cancellers (Duttweiler, "A twelve-channel digital echo canceler", 1978, who ascribes it to
Geigel). Until then it is assumed to be as strong as a telephone hybrid makes it, 6 dB below the agent, and
the caller must be about as loud as the agent.

Whispering, and consonants such as s and f, are not detected: only the words distinguish them from noise.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio.formats import FRAME_MS

_Floats = npt.NDArray[np.float32]

_BLOCK_MS = 10
"""Levels are measured in blocks of this length."""

_NOTHING_DBFS = -100.0
_QUIETEST_DBFS = -45.0
"""Speech that interrupts is louder."""

_SUSTAINED_BLOCKS = 7
"""60 ms of audio touch this many blocks, and only longer audio fills them."""
_SUSTAINED_OF_BLOCKS = 12

_OVER_NOISE_DB = 10.0
_FLOOR_FALLS = 0.3
"""The share by which the noise floor approaches a lower level in one block: it reaches the bottom of each
pause."""
_FLOOR_RISES_DB = 0.1
"""The rise in one block: little within a word, but 10 dB in a second."""
_FLOOR_SETTLES_BLOCKS = 10

_OVER_ECHO_DB = 2.0
_ECHO_MS = 320
"""An echo comes within this time: two ways through a network and its jitter buffers, and 20 ms in frames."""
_WORST_ECHO_DB = -6.0
_AGENT_SPEAKS_DBFS = -22.0
"""While the agent is quieter than this, audio on the line may as well be noise."""
_ECHO_BLOCKS = 100
_ECHO_MEMORY = 8
"""Seconds of the agent's speech. The echo is as strong as it was at its strongest in them."""

_WINDOW_MS = 48
_VOICE_HZ = (200, 3_400)
_IN_BAND = 0.1
"""Only rumble and hum have less power in the band, even on telephones that transmit them."""
_PITCH_HZ = (70, 400)
_PERIODIC = 0.45
"""The autocorrelation at the pitch period: of noise below 0.4, of most syllables above."""
_TONAL = 0.93
"""The weighted share of two tones in noise 20 dB below them; 19 of 20 syllables have less."""


class SpeechDetector:
    """Detects the speech of one caller, at one of Asterisk's rates."""

    __slots__ = ("_block", "_echo", "_floor", "_loud", "_recent", "_rest", "_voice")

    def __init__(self, rate: int) -> None:
        self._block = rate * _BLOCK_MS // 1000
        self._voice = _voice(rate)
        self._recent = np.zeros(len(self._voice.window), np.float32)
        self._rest = np.zeros(0, np.float32)
        self._floor = _NoiseFloor()
        self._echo = _Echo()
        self._loud = deque([False] * _SUSTAINED_OF_BLOCKS, _SUSTAINED_OF_BLOCKS)

    def add_sent(self, audio: bytes | None) -> None:
        """Record the 20 ms of linear audio being sent to the caller; None is silence."""
        levels = [] if audio is None else _levels(_samples(audio), self._block)
        self._echo.add_sent(max(levels, default=_NOTHING_DBFS))

    def is_speech(self, audio: bytes) -> bool:
        """Take the caller's audio, linear, of any length; return whether the caller is speaking at its
        end.
        """
        samples = _samples(audio)
        self._recent = np.concatenate((self._recent, samples))[-len(self._recent) :]
        if self._rest.size:
            samples = np.concatenate((self._rest, samples))
        whole = len(samples) // self._block * self._block
        self._rest = samples[whole:]
        for level in _levels(samples[:whole], self._block):
            self._loud.append(self._is_loud(level))
        if not (self._is_sustained() and self._voice.is_in(self._recent)):
            return False
        self._echo.suspect()
        return True

    def report_false_alarm(self) -> None:
        """Record that the last detection was wrong: it may have been the agent's echo."""
        self._echo.confirm()

    def _is_loud(self, level: float) -> bool:
        loud = self._floor.settled and level > max(
            _QUIETEST_DBFS, self._floor.level + _OVER_NOISE_DB, self._echo.loudest + _OVER_ECHO_DB
        )
        self._floor.hear(level)
        self._echo.hear(level, mixed=loud)
        return loud

    def _is_sustained(self) -> bool:
        """Return whether it has been loud for long, and still is: the spectrum at the end of a tone resembles
        a voice.
        """
        return self._loud[-1] and sum(self._loud) >= _SUSTAINED_BLOCKS


class _NoiseFloor:
    """The level of the caller's line in the pauses."""

    __slots__ = ("_heard", "level")

    def __init__(self) -> None:
        self.level = _NOTHING_DBFS
        self._heard = 0

    @property
    def settled(self) -> bool:
        return self._heard >= _FLOOR_SETTLES_BLOCKS

    def hear(self, level: float) -> None:
        if level < self.level:
            self.level += _FLOOR_FALLS * (level - self.level)
        elif self.settled:
            self.level = min(level, self.level + _FLOOR_RISES_DB)
        else:
            self.level = level
        self._heard += 1


class _Echo:
    """The possible level of the echo, from the levels of both directions."""

    __slots__ = ("_blocks", "_gain", "_maxima", "_maximum", "_ratios", "_sent", "_sent_lately", "_suspect")

    def __init__(self) -> None:
        self._sent_lately = deque([_NOTHING_DBFS] * (_ECHO_MS // FRAME_MS), _ECHO_MS // FRAME_MS)
        self._sent = _NOTHING_DBFS
        """The loudest audio whose echo may arrive now."""
        self._ratios = deque([_NOTHING_DBFS] * _SUSTAINED_OF_BLOCKS, _SUSTAINED_OF_BLOCKS)
        self._gain = _WORST_ECHO_DB
        self._maxima: deque[float] = deque(maxlen=_ECHO_MEMORY)
        self._maximum = _NOTHING_DBFS
        self._blocks = 0
        self._suspect = _NOTHING_DBFS

    @property
    def loudest(self) -> float:
        return self._sent + self._gain

    def add_sent(self, level: float) -> None:
        self._sent_lately.append(level)
        self._sent = max(self._sent_lately)

    def hear(self, level: float, *, mixed: bool) -> None:
        """Record the level of a block from the caller; ``mixed``: it is louder than the echo alone."""
        ratio = level - self._sent
        self._ratios.append(ratio)
        if mixed or self._sent < _AGENT_SPEAKS_DBFS:
            return
        self._maximum = max(self._maximum, ratio)
        self._gain = max(self._gain, ratio)
        self._blocks += 1
        if self._blocks == _ECHO_BLOCKS:
            self._remember(self._maximum)
            self._maximum = _NOTHING_DBFS
            self._blocks = 0

    def suspect(self) -> None:
        """Record how strong the echo would be if this audio was one."""
        self._suspect = max(self._ratios) if self._sent >= _AGENT_SPEAKS_DBFS else _NOTHING_DBFS

    def confirm(self) -> None:
        """Accept the suspected audio as an echo."""
        self._remember(self._suspect)

    def _remember(self, maximum: float) -> None:
        self._maxima.append(maximum)
        self._gain = max(self._maxima)


@dataclass(frozen=True, slots=True, eq=False)
class _Voice:
    """Decides by its spectrum whether audio is voiced. The lags are those of the autocorrelation."""

    window: _Floats
    lowest: int
    weights: _Floats
    """Weights of the powers up to the end of the band: proportional to the frequency, since speech falls
    off."""
    size: int
    lags: slice

    def is_in(self, audio: _Floats) -> bool:
        spectrum = np.fft.rfft(audio * self.window)[: len(self.weights)]
        powers = spectrum.real**2 + spectrum.imag**2
        if powers[self.lowest :].sum() < _IN_BAND * powers.sum():
            return False
        powers *= self.weights
        correlation = np.fft.irfft(powers, self.size)
        if not correlation[self.lags].max() > _PERIODIC * correlation[0]:
            return False
        return _two_highest(powers) < _TONAL * float(powers.sum())


def _two_highest(powers: npt.NDArray[np.floating[Any]]) -> float:
    """Return the power of two tones: two peaks, each as wide as the window makes it."""
    powers = powers.copy()
    found = 0.0
    for _ in range(2):
        peak = int(powers.argmax())
        tone = powers[max(0, peak - 2) : peak + 3]
        found += float(tone.sum())
        tone[:] = 0
    return found


@lru_cache(maxsize=16)
def _voice(rate: int) -> _Voice:
    length = rate * _WINDOW_MS // 1000
    bin_hz = rate / length
    lowest, highest = (int(hz / bin_hz) for hz in _VOICE_HZ)
    weights = np.arange(highest, dtype=np.float32)
    size = 1 << (2 * highest).bit_length()
    first, last = (int(size * bin_hz / hz) for hz in reversed(_PITCH_HZ))
    window = np.hanning(length + 1)[:length].astype(np.float32)
    return _Voice(window, lowest, weights, size, slice(first, last + 1))


def _samples(linear: bytes) -> _Floats:
    return np.frombuffer(linear, "<i2", len(linear) // 2).astype(np.float32)


def _levels(samples: _Floats, block: int) -> list[float]:
    """Return the level of each complete block, in dBFS."""
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    energies: list[float] = np.square(blocks).sum(axis=1).tolist()
    return [10 * math.log10(energy / (block * 2**30) + 1e-10) for energy in energies]
