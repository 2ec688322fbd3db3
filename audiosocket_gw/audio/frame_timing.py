"""Regularity of a call's frames: lateness, jitter and gaps. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]

GAP_MS = 60
"""A pause between two frames that a telephone's usual jitter buffer doesn't hide."""


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """The audio of one frame, and the loop time (seconds) at which it was sent or received."""

    at: float
    payload: bytes


@dataclass(frozen=True, slots=True)
class FrameTiming:
    """Regularity of frames. `lateness_ms` defines lateness."""

    frames: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    jitter_ms: float
    """Interarrival jitter as RFC 3550, section 6.4.1, defines it, at the last frame."""
    gaps: int
    """Pauses of more than `GAP_MS` between two frames."""
    longest_gap_ms: float

    @classmethod
    def of(cls, frames: Sequence[TimedFrame], rate: int) -> FrameTiming:
        return cls.of_times(*_times(frames, rate))

    @classmethod
    def of_times(cls, at: Seconds, seconds: Seconds) -> FrameTiming:
        """``at``: when each frame was sent or received; ``seconds``: how long each is."""
        if not at.size:
            return cls(0, 0.0, 0.0, 0.0, 0.0, 0, 0.0)
        lateness = lateness_of(at, seconds)
        gaps = np.diff(at) * 1000
        p50, p99 = np.percentile(lateness, (50, 99))
        return cls(
            frames=int(at.size),
            p50_ms=float(p50),
            p99_ms=float(p99),
            max_ms=float(lateness.max()),
            jitter_ms=_jitter(lateness),
            gaps=int((gaps > GAP_MS).sum()),
            longest_gap_ms=float(gaps.max(initial=0.0)),
        )


def lateness_ms(frames: Sequence[TimedFrame], rate: int) -> Seconds:
    """Return how late each frame was, in milliseconds: see `lateness_of`."""
    return lateness_of(*_times(frames, rate))


def lateness_of(at: Seconds, seconds: Seconds) -> Seconds:
    """Return how late each frame was, in milliseconds, against the grid that the audio itself defines.

    The grid (`due_times`) is anchored at the earliest frame, which has lateness 0. So a slow sender, a fast
    one and a burst all appear as lateness.
    """
    offset = at - _due(seconds)
    lateness: Seconds = (offset - offset.min()) * 1000
    return lateness


def due_times(frames: Sequence[TimedFrame], rate: int) -> Seconds:
    """Return when each frame is due, in seconds after the first: when all audio before it has been played."""
    return _due(_times(frames, rate)[1])


def _times(frames: Sequence[TimedFrame], rate: int) -> tuple[Seconds, Seconds]:
    at = np.array([frame.at for frame in frames], np.float64)
    return at, np.array([len(frame.payload) for frame in frames], np.float64) / (2 * rate)


def _due(seconds: Seconds) -> Seconds:
    return np.concatenate(([0.0], np.cumsum(seconds)[:-1]))


def _jitter(lateness: Seconds) -> float:
    """The transit time of RFC 3550 differs from the lateness by a constant, which cancels out."""
    jitter = 0.0
    for change in np.abs(np.diff(lateness)).tolist():
        jitter += (change - jitter) / 16
    return jitter
