"""Measures the load of the process, and decides on batching and admission.

All calls share one thread. While it has spare time, each 20 ms of caller audio are sent at once. Under load
several frames share a message: most of a call's cost is per message, so a few tens of milliseconds of delay
buy capacity. When that is used up, new calls are rejected to protect calls in progress.

The thread's CPU time warns early; late ticks show what it misses: other processes on the same core.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

logger = logging.getLogger("audiosocket_gw.runtime")

WINDOW_S = 0.25

BATCH_ABOVE = 0.8
"""Above this share of a core, audio is batched. Audio starts to be late above 0.9."""

BATCH_LESS_BELOW = 0.55
"""Below this share, it is batched less. A step saves at most 30 %, so the two don't alternate."""

REFUSE_ABOVE = 0.87
ADMIT_BELOW = 0.82
"""Of the last second or so, not of one window: agents send audio in bursts. This also tolerates the peak of
many calls that start at once (500: one to two seconds), unless the process was busy before."""

SMOOTHING = 0.2
"""Weight of one window in that average. A window with late frames counts as fully busy."""

OWN_FAULT_ABOVE = 0.3
"""Below this share, ticks are late because of other processes on the core; rejecting calls wouldn't help."""

LATE_S = 0.005
VERY_LATE_S = 0.01

LATE_SHARE = 0.05
"""Share of all ticks that may be late."""

PRESSED_WINDOWS = 2
"""Consecutive busy windows, 0.5 s, before audio is batched."""

CALM_WINDOWS = 4
"""Consecutive quiet windows, 1 s, before a step is reversed."""


@dataclass(frozen=True, slots=True)
class Window:
    """One measurement; all values are fractions of 1."""

    busy: float
    """CPU time of the thread divided by wall time."""
    late: float
    """Ticks that were more than 5 ms late."""
    very_late: float
    """Ticks that were more than 10 ms late."""


class Load:
    """Records every tick; decides how audio is batched and whether a call may begin."""

    def __init__(self, least_frames: int = 1, most_frames: int = 1) -> None:
        """``least_frames`` and ``most_frames`` are the bounds of `batch_frames`; if equal, it is fixed."""
        self.batch_frames = least_frames
        """Number of 20 ms frames of caller audio per message."""
        self.overloaded = False
        """Whether a new call would harm calls in progress."""
        self.window = Window(0.0, 0.0, 0.0)
        """The last window."""
        self._least_frames = least_frames
        self._most_frames = most_frames
        self._lately = 0.0
        self._calm = self._pressed = 0
        self._began: tuple[float, float] | None = None
        self._ticks = self._late = self._very_late = 0

    def record_tick(self, late_s: float, now: float, cpu: float) -> None:
        """Record a tick: how late it or the reads were, the time, and the thread's CPU time, in s."""
        if self._began is None:
            self._begin(now, cpu)
            return
        self._ticks += 1
        if late_s > LATE_S:
            self._late += 1
            self._very_late += late_s > VERY_LATE_S
        if now - self._began[0] >= WINDOW_S:
            began, cpu_before = self._began
            self.window = Window(
                busy=(cpu - cpu_before) / (now - began),
                late=self._late / self._ticks,
                very_late=self._very_late / self._ticks,
            )
            self._begin(now, cpu)
            self._judge(self.window)

    def reset(self) -> None:
        """Start again: no call is in progress, and the clock has stopped."""
        self._began = None
        self._lately = 0.0
        self._calm = self._pressed = 0
        self.batch_frames = self._least_frames
        self._refuse(False)

    def _begin(self, now: float, cpu: float) -> None:
        self._began = (now, cpu)
        self._ticks = self._late = self._very_late = 0

    def _judge(self, window: Window) -> None:
        pressed = window.busy > BATCH_ABOVE or window.late > LATE_SHARE
        too_late = window.very_late > LATE_SHARE and window.busy > OWN_FAULT_ABOVE
        self._lately += SMOOTHING * ((1 if too_late else window.busy) - self._lately)
        self._calm = 0 if pressed else self._calm + 1
        self._pressed = self._pressed + 1 if pressed else 0
        overloaded = self._lately > REFUSE_ABOVE
        if (overloaded or self._pressed >= PRESSED_WINDOWS) and self.batch_frames < self._most_frames:
            self._batch(self.batch_frames + 1)
        elif overloaded:
            self._refuse(True)
        elif self._lately < ADMIT_BELOW:
            self._refuse(False)
        is_calm = self._calm >= CALM_WINDOWS and self._lately < BATCH_LESS_BELOW
        if is_calm and self.batch_frames > self._least_frames:
            self._batch(self.batch_frames - 1)
            self._calm = 0

    def _batch(self, frames: int) -> None:
        self.batch_frames = frames
        logger.info("caller audio is now sent in %d ms batches: %s", 20 * frames, self)

    def _refuse(self, overloaded: bool) -> None:
        if overloaded is not self.overloaded:
            self.overloaded = overloaded
            if overloaded:
                logger.warning("overloaded: new calls are rejected: %s", self)
            else:
                logger.warning("no longer overloaded: %s", self)

    def __str__(self) -> str:
        window = self.window
        return (
            f"{window.busy:.0%} busy, {window.late:.0%} of ticks late, {window.very_late:.0%} more than 10 ms"
        )
