"""The audio of one direction of a call, reduced to what is drawn: times, levels, speech. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio.frame_timing import GAP_MS, FrameTiming, lateness_of
from audiosocket_gw.audio.level import FULL_SCALE, SILENCE_DBFS, SPEECH_DBFS

PAUSE_S = 0.4
"""Shorter silence is a pause within one utterance."""

Floats = npt.NDArray[np.float64]
Levels = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the call, in seconds since its start."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """All frames of one direction, in order. Times are seconds since the start of the call.

    ``starts``: when each begins to play, or began to be spoken; ``seconds``: its length; ``dbfs``: its level;
    ``is_audible``: whether any sample isn't 0. ``arrivals``: when each was sent or received, None if that
    isn't known.
    """

    starts: Floats
    seconds: Floats
    dbfs: Levels
    is_audible: Flags
    arrivals: Floats | None

    @property
    def end(self) -> float:
        """When the last frame is over."""
        return float(self.starts[-1] + self.seconds[-1]) if self.starts.size else 0.0

    def speech(self) -> tuple[Span, ...]:
        """Return the utterances, by the level of the audio."""
        speaks = self.dbfs > SPEECH_DBFS
        starts, ends = self.starts[speaks], (self.starts + self.seconds)[speaks]
        if not starts.size:
            return ()
        breaks = np.flatnonzero(starts[1:] - ends[:-1] >= PAUSE_S) + 1
        firsts = np.concatenate(([0], breaks))
        lasts = np.concatenate((breaks - 1, [starts.size - 1]))
        return tuple(map(Span, starts[firsts].tolist(), ends[lasts].tolist()))

    def levels(self, start: float, stop: float, bins: int) -> list[float]:
        """Return the highest level within each of ``bins`` equal parts of ``start`` to ``stop``."""
        first, last = np.searchsorted(self.starts, (start, stop))
        found = np.full(bins, SILENCE_DBFS, np.float32)
        places = ((self.starts[first:last] - start) / (stop - start) * bins).astype(int)
        np.maximum.at(found, np.clip(places, 0, bins - 1), self.dbfs[first:last])
        return [float(level) for level in found]

    def silent_after(self, at: float, before: float) -> float:
        """Return when the last audio that began earlier than ``before`` is over, ``at`` at the earliest."""
        audible = np.flatnonzero(self.is_audible[: np.searchsorted(self.starts, before)])
        if not audible.size:
            return at
        last = int(audible[-1])
        return max(at, float(self.starts[last] + self.seconds[last]))

    def lateness(self) -> Floats | None:
        """Return how late each frame was, in milliseconds; None if that isn't known."""
        if self.arrivals is None or not self.arrivals.size:
            return None
        return lateness_of(self.arrivals, self.seconds)

    def timing(self) -> FrameTiming | None:
        """Return the regularity of the frames; None if it isn't known."""
        return None if self.arrivals is None else FrameTiming.of_times(self.arrivals, self.seconds)

    def gaps(self) -> tuple[Span, ...]:
        """Return the pauses of more than `GAP_MS` between two frames."""
        if self.arrivals is None:
            return ()
        places = np.flatnonzero(np.diff(self.arrivals) * 1000 > GAP_MS)
        return tuple(map(Span, self.arrivals[places].tolist(), self.arrivals[places + 1].tolist()))


class DirectionBuilder:
    """Collects the frames of one direction; their audio is reduced piece by piece and not kept.

    ``ends_then``: a frame ends when it arrives, as the caller's do; otherwise it begins then.
    ``is_timed``: whether the times of arrival are known.
    """

    def __init__(self, *, ends_then: bool = False, is_timed: bool = True) -> None:
        self._ends_then = ends_then
        self._is_timed = is_timed
        self._at: list[Floats] = [np.zeros(0)]
        self._seconds: list[Floats] = [np.zeros(0)]
        self._dbfs: list[Levels] = [np.zeros(0, np.float32)]
        self._audible: list[Flags] = [np.zeros(0, bool)]

    def add(self, at: Sequence[float], linear: Sequence[bytes], rate: int) -> None:
        """Add frames of linear audio, each with its time of arrival."""
        whole = [(time, audio) for time, audio in zip(at, linear, strict=True) if len(audio) > 1]
        if not whole:
            return
        sizes = np.array([len(audio) // 2 for _, audio in whole])
        samples = np.frombuffer(b"".join(audio[: len(audio) // 2 * 2] for _, audio in whole), "<i2")
        firsts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        power = np.add.reduceat(np.square(samples.astype(np.float32) / FULL_SCALE), firsts) / sizes
        lowest = 10 ** (SILENCE_DBFS / 10)
        self._at.append(np.array([time for time, _ in whole]))
        self._seconds.append(sizes / rate)
        self._dbfs.append((10 * np.log10(np.maximum(power, lowest))).astype(np.float32))
        self._audible.append(power > 0)

    def build(self) -> Direction:
        at, seconds = np.concatenate(self._at), np.concatenate(self._seconds)
        return Direction(
            starts=at - seconds if self._ends_then else at,
            seconds=seconds,
            dbfs=np.concatenate(self._dbfs),
            is_audible=np.concatenate(self._audible),
            arrivals=at if self._is_timed else None,
        )
