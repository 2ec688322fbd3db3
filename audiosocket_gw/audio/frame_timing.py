"""Regularity of a call's frames: lateness, jitter and gaps. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

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
        if not frames:
            return cls(0, 0.0, 0.0, 0.0, 0.0, 0, 0.0)
        lateness = lateness_ms(frames, rate)
        gaps = [(after.at - before.at) * 1000 for before, after in pairwise(frames)]
        p50, p99 = np.percentile(lateness, (50, 99))
        return cls(
            frames=len(frames),
            p50_ms=float(p50),
            p99_ms=float(p99),
            max_ms=float(lateness.max()),
            jitter_ms=_jitter(lateness),
            gaps=sum(gap > GAP_MS for gap in gaps),
            longest_gap_ms=max(gaps, default=0.0),
        )


def lateness_ms(frames: Sequence[TimedFrame], rate: int) -> npt.NDArray[np.float64]:
    """Return how late each frame was, in milliseconds, against the grid that the audio itself defines.

    The grid (`due_times`) is anchored at the earliest frame, which has lateness 0. So a slow sender, a fast
    one and a burst all appear as lateness.
    """
    offset = np.array([frame.at for frame in frames]) - due_times(frames, rate)
    lateness: npt.NDArray[np.float64] = (offset - offset.min()) * 1000
    return lateness


def due_times(frames: Sequence[TimedFrame], rate: int) -> npt.NDArray[np.float64]:
    """Return when each frame is due, in seconds after the first: when all audio before it has been played."""
    seconds = np.array([len(frame.payload) for frame in frames]) / (2 * rate)
    return np.concatenate(([0.0], np.cumsum(seconds)[:-1]))


def _jitter(lateness: npt.NDArray[np.float64]) -> float:
    """The transit time of RFC 3550 differs from the lateness by a constant, which cancels out."""
    jitter = 0.0
    for change in np.abs(np.diff(lateness)):
        jitter += (float(change) - jitter) / 16
    return jitter
