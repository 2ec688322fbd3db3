"""How much the process has to do, and what follows from it.

All calls share one thread. While it has time to spare, each 20 ms of a caller's audio leave at once. When
it becomes scarce, more of them share a message: most of what a call costs is paid for each message, so that
buys room for a few tens of milliseconds of delay. When that is used up, new calls are refused, for the sake
of those that are up.

The thread's own CPU time warns in advance; lateness shows what it can't see: others on the same core.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

logger = logging.getLogger("audiosocket_gw.runtime")

WINDOW_S = 0.25

BUNDLE_ABOVE = 0.8
"""Busier than this, audio is batched. Audio begins to be late above 0.9."""

UNBUNDLE_BELOW = 0.55
"""Idler than this, it is batched less. A step saves at most 30 %: the two don't alternate."""

REFUSE_ABOVE = 0.87
ADMIT_BELOW = 0.82
"""Not of a window but of the last second or so: agents speak in bursts. It also lets the peak pass that many
calls make which begin at once (500: one to two seconds), unless the process was busy before."""

SMOOTHING = 0.2
"""What a window counts for in that. One in which frames were late counts as one without any time left."""

OWN_FAULT_ABOVE = 0.3
"""Idler than this, the process is late for others on its core, which to refuse a call wouldn't help."""

LATE_S = 0.005
VERY_LATE_S = 0.01

LATE_SHARE = 0.05
"""Of all ticks: the share that may be late."""

PRESSED_WINDOWS = 2
"""So many busy windows in a row, 0.5 s, before audio is batched."""

CALM_WINDOWS = 4
"""So many quiet windows in a row, 1 s, before anything is taken back."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured: parts of one."""

    busy: float
    """CPU time of the thread by clock time."""
    late: float
    """Moments of the clock that came more than 5 ms late."""
    very_late: float
    """Those that came more than 10 ms late."""


class Load:
    """Is told of every tick; says how audio is batched and whether a call may begin."""

    def __init__(self, least_frames: int = 1, most_frames: int = 1) -> None:
        """``least_frames`` and ``most_frames``: the bounds of `batch_frames`; equal: it is pinned."""
        self.batch_frames = least_frames
        """How many frames of 20 ms of a caller's audio share a message."""
        self.overloaded = False
        """Whether a new call would harm those that are up."""
        self.window = Window(0.0, 0.0, 0.0)
        """The last one."""
        self._least_frames = least_frames
        self._most_frames = most_frames
        self._lately = 0.0
        self._calm = self._pressed = 0
        self._began: tuple[float, float] | None = None
        self._moments = self._late = self._very_late = 0

    def record_tick(self, late_s: float, now: float, cpu: float) -> None:
        """Take a tick: how late it, or what is read, was; now; the thread's CPU time; in s."""
        if self._began is None:
            self._begin(now, cpu)
            return
        self._moments += 1
        if late_s > LATE_S:
            self._late += 1
            self._very_late += late_s > VERY_LATE_S
        if now - self._began[0] >= WINDOW_S:
            began, cpu_before = self._began
            self.window = Window(
                busy=(cpu - cpu_before) / (now - began),
                late=self._late / self._moments,
                very_late=self._very_late / self._moments,
            )
            self._begin(now, cpu)
            self._judge(self.window)

    def reset(self) -> None:
        """Learn that no call is up, and the clock stands still."""
        self._began = None
        self._lately = 0.0
        self._calm = self._pressed = 0
        self.batch_frames = self._least_frames
        self._refuse(False)

    def _begin(self, now: float, cpu: float) -> None:
        self._began = (now, cpu)
        self._moments = self._late = self._very_late = 0

    def _judge(self, window: Window) -> None:
        pressed = window.busy > BUNDLE_ABOVE or window.late > LATE_SHARE
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
        is_calm = self._calm >= CALM_WINDOWS and self._lately < UNBUNDLE_BELOW
        if is_calm and self.batch_frames > self._least_frames:
            self._batch(self.batch_frames - 1)
            self._calm = 0

    def _batch(self, frames: int) -> None:
        self.batch_frames = frames
        logger.info("callers' audio leaves %d ms at a time now: %s", 20 * frames, self)

    def _refuse(self, overloaded: bool) -> None:
        if overloaded is not self.overloaded:
            self.overloaded = overloaded
            if overloaded:
                logger.warning("overloaded: new calls are refused: %s", self)
            else:
                logger.warning("no longer overloaded: %s", self)

    def __str__(self) -> str:
        window = self.window
        return (
            f"{window.busy:.0%} busy, {window.late:.0%} of ticks late, {window.very_late:.0%} more than 10 ms"
        )
