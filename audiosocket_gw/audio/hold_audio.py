"""Hold audio: audio that the caller hears with the agent or in its place, and that the agent never gets.

The audio is a loop of whole 20 ms frames at every rate, so a position is the same at all rates, and a call
takes one frame after the other. It is resampled once for all calls, in chunks, when each is first needed: ten
minutes at once would block all calls for a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio.formats import FRAME_MS
from audiosocket_gw.audio.resample import Resampler, Samples
from audiosocket_gw.audio.wav import Wav, parse_wav

MAX_S = 600
"""The longest file: 10 MB at 8 kHz, kept once per rate."""

MAX_FILE_BYTES = 2**28
"""The largest file. Ten minutes of stereo at 48 kHz and 32 bits have less."""

_MIN_S = 0.5

_RATES = (8_000, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000)
"""The rates of both sides; the resampler is tested for each pair."""

_SEAM_MS = 10
_PIECE_FRAMES = 10
"""Resampled at once: less than 0.2 ms of work between any two rates."""

_Frames = npt.NDArray[np.int16]


class HoldAudioMode(StrEnum):
    """When the caller hears the file."""

    WAITING = "waiting"
    """Until the agent speaks for the first time, and never again."""
    GAPS = "gaps"
    """Whenever the agent doesn't speak, also over its background audio."""
    UNDER = "under"
    """Always, also under the agent's voice."""


@dataclass(frozen=True, slots=True, eq=False)
class HoldAudioFile:
    """A loop of audio, shared by all calls; ``frames`` are at its own rate."""

    rate: int
    frames: _Frames
    _loops: dict[int, _Loop] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, file: bytes, gain_db: float = 0.0) -> HoldAudioFile:
        """Make a loop from the contents of a WAV file; samples that ``gain_db`` makes too loud are clipped.

        Raises:
            ValueError: it isn't a WAV file, or its audio is unusable.
        """
        wav = parse_wav(file)
        _check(wav)
        loud = wav.mono() * np.float32(10 ** (gain_db / 20))
        size = wav.rate * FRAME_MS // 1000
        frames = _seamless(loud[: len(loud) // size * size], wav.rate * _SEAM_MS // 1000).reshape(-1, size)
        frames.setflags(write=False)
        return cls(wav.rate, frames)

    def at(self, rate: int) -> _Loop:
        """Return the loop at ``rate``, the same object for every call."""
        loop = self._loops.get(rate)
        if loop is None:
            loop = self._loops[rate] = _Loop(self, rate)
        return loop


def _check(wav: Wav) -> None:
    if wav.rate not in _RATES:
        raise ValueError(f"it has {wav.rate} Hz; the rate must be one of {', '.join(map(str, _RATES))}")
    if not _MIN_S <= wav.duration_s <= MAX_S:
        raise ValueError(f"it lasts {wav.duration_s:.1f} s, not {_MIN_S:g} to {MAX_S} s")


def _seamless(audio: npt.NDArray[np.float32], seam: int) -> Samples:
    """Crossfade the end into the mirrored beginning; the length and the first attack are unchanged."""
    ramp = np.linspace(0, 1, seam, dtype=np.float32)
    audio[-seam:] += ramp * (audio[:seam][::-1] - audio[-seam:])
    return _clipped(audio)


class _Loop:
    """The file at one rate."""

    __slots__ = ("_computed", "_frames", "_rate", "_source")

    def __init__(self, source: HoldAudioFile, rate: int) -> None:
        self._source = source
        self._rate = rate
        count = len(source.frames)
        if rate == source.rate:
            self._frames = source.frames
            self._computed = np.ones(count, np.bool_)
        else:
            self._frames = np.empty((count, rate * FRAME_MS // 1000), np.int16)
            self._computed = np.zeros(count, np.bool_)

    def __len__(self) -> int:
        return len(self._frames)

    def frame(self, number: int) -> Samples:
        """Return the 20 ms frame ``number``, below the number of frames."""
        if not self._computed[number]:
            self._compute(number, min(number + _PIECE_FRAMES, len(self)))
        frame: Samples = self._frames[number]
        return frame

    def _compute(self, start: int, stop: int) -> None:
        """Resample some frames together with their neighbours, which exceed the filter's length."""
        source = self._source
        audio = source.frames.take(range(start - 1, stop + 1), axis=0, mode="wrap").reshape(-1)
        resampler = Resampler(source.rate, self._rate)
        resampled = np.concatenate((resampler.push(audio), resampler.drain()))
        self._frames[start:stop] = resampled.reshape(-1, self._frames.shape[1])[1:-1]
        self._computed[start:stop] = True


class HoldAudio:
    """The hold audio of one call. ``over``: there is no more, so `next` needn't be called."""

    __slots__ = ("_file", "_gain", "_loop", "_mode", "_position", "over")

    def __init__(self, hold_audio_file: HoldAudioFile, mode: HoldAudioMode, rate: int) -> None:
        self._file = hold_audio_file
        self._mode = mode
        self._loop = hold_audio_file.at(rate)
        self._position = 0
        self._gain = 0
        self.over = False

    def next(self, audio: bytes | None, *, agent_speaks: bool) -> bytes | None:
        """Take the agent's next 20 ms, linear, or None for silence; return the audio for the caller.

        ``agent_speaks``: it contains speech, not only background audio.

        Each fade takes one frame. The file later resumes where it stopped.
        """
        before = self._gain
        self._gain = self._wanted(agent_speaks)
        if not before and not self._gain:
            return audio
        frame = self._loop.frame(self._position)
        self._position = (self._position + 1) % len(self._loop)
        if before != self._gain:
            return _mixed(frame * np.linspace(before, self._gain, len(frame), endpoint=False), audio)
        return frame.tobytes() if audio is None else _mixed(frame, audio)

    def change_rate(self, rate: int) -> None:
        """Continue at the same position at another rate."""
        self._loop = self._file.at(rate)

    def _wanted(self, agent_speaks: bool) -> int:
        if self._mode is HoldAudioMode.WAITING and agent_speaks:
            self.over = True
        return int(not self.over and (not agent_speaks or self._mode is HoldAudioMode.UNDER))


def _mixed(quiet: npt.NDArray[np.int16 | np.float64], audio: bytes | None) -> bytes:
    if audio is None:
        return _clipped(quiet).tobytes()
    return _clipped(np.add(quiet, np.frombuffer(audio, "<i2"), dtype=np.float64)).tobytes()


def _clipped(audio: npt.NDArray[np.int16 | np.float32 | np.float64]) -> Samples:
    samples: Samples = np.rint(audio).clip(-32_768, 32_767).astype("<i2")
    return samples
