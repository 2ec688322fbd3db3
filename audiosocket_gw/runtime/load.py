"""Measures the load of the process, and decides on batching and admission.

All calls share one thread. While it has spare time, each 20 ms of caller audio are sent at once. Under load
several frames share a message: most of a call's cost is per message, so a few tens of milliseconds of delay
buy capacity. When that is used up, new calls are rejected to protect calls in progress.

The thread's CPU time warns early. Late ticks also show other processes on the same core, which it doesn't.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

logger = logging.getLogger("audiosocket_gw.runtime")

WINDOW_S = 0.25

BATCH_ABOVE = 0.8
"""Above this share of a core, audio is batched. Audio starts to be late above 0.9."""

BATCH_LESS_BELOW = 0.55
"""Below this share, it is batched less. A step saves at most 30 % (0.8 becomes 0.56), so batching more never
leads to batching less at once."""

REJECT_ABOVE = 0.87
ADMIT_BELOW = 0.82
"""Shares of a core, averaged over a second or so: agents send audio in bursts. The average also tolerates the
peak of many calls that start at once (500: one to two seconds), unless the process was busy before."""

SMOOTHING = 0.2
"""Weight of one window in that average. A window with late frames counts as fully busy."""

OWN_LOAD_ABOVE = 0.3
"""Below this share, ticks are late because of other processes on the core; rejecting calls wouldn't help."""

LATE_S = 0.005
VERY_LATE_S = 0.01

LATE_SHARE = 0.05
"""Share of all ticks that may be late."""

BUSY_WINDOWS = 2
"""Consecutive busy windows, 0.5 s, before audio is batched."""

QUIET_WINDOWS = 4
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
        self._average = 0.0
        self._quiet_windows = self._busy_windows = 0
        self._began: tuple[float, float] | None = None
        self._ticks = self._late = self._very_late = 0

    def record_tick(self, late_s: float, now: float, cpu: float) -> None:
        """Record a tick; all arguments are in seconds.

        ``late_s``: how late the tick, or the reading of the sockets, was. ``cpu``: the thread's CPU time.
        """
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
            self._decide(self.window)

    def reset(self) -> None:
        """Start again: no call is in progress, and the clock has stopped."""
        self._began = None
        self._average = 0.0
        self._quiet_windows = self._busy_windows = 0
        self.batch_frames = self._least_frames
        self._set_overloaded(False)

    def _begin(self, now: float, cpu: float) -> None:
        self._began = (now, cpu)
        self._ticks = self._late = self._very_late = 0

    def _decide(self, window: Window) -> None:
        is_busy = window.busy > BATCH_ABOVE or window.late > LATE_SHARE
        too_late = window.very_late > LATE_SHARE and window.busy > OWN_LOAD_ABOVE
        self._average += SMOOTHING * ((1 if too_late else window.busy) - self._average)
        self._quiet_windows = 0 if is_busy else self._quiet_windows + 1
        self._busy_windows = self._busy_windows + 1 if is_busy else 0
        overloaded = self._average > REJECT_ABOVE
        if (overloaded or self._busy_windows >= BUSY_WINDOWS) and self.batch_frames < self._most_frames:
            self._set_batch(self.batch_frames + 1)
        elif overloaded:
            self._set_overloaded(True)
        elif self._average < ADMIT_BELOW:
            self._set_overloaded(False)
        is_quiet = self._quiet_windows >= QUIET_WINDOWS and self._average < BATCH_LESS_BELOW
        if is_quiet and self.batch_frames > self._least_frames:
            self._set_batch(self.batch_frames - 1)
            self._quiet_windows = 0

    def _set_batch(self, frames: int) -> None:
        self.batch_frames = frames
        logger.info("caller audio is now sent to agents in batches of %d ms: %s", 20 * frames, self)

    def _set_overloaded(self, overloaded: bool) -> None:
        if overloaded is not self.overloaded:
            self.overloaded = overloaded
            if overloaded:
                logger.warning("overloaded: new calls are rejected unless REFUSE_OVERLOAD=false: %s", self)
            else:
                logger.warning("no longer overloaded: %s", self)

    def __str__(self) -> str:
        window = self.window
        return (
            f"{window.busy:.0%} of a core used, {window.late:.0%} of ticks over {LATE_S * 1000:.0f} ms late, "
            f"{window.very_late:.0%} over {VERY_LATE_S * 1000:.0f} ms"
        )
