"""Measures the load of the process, and decides on batching and admission.

All calls share one thread. While it has spare time, each 20 ms of caller audio are sent at once. Under load
several frames share a message: most of a call's cost is per message, so a few tens of milliseconds of delay
buy capacity. When that is used up, new calls wait, and after a second they are rejected, to protect calls in
progress. `Capacity` says whether there is room for one more.
"""

from __future__ import annotations

import logging

from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.log.limit import ONCE
from audiosocket_gw.runtime.capacity import Capacity, Window
from audiosocket_gw.runtime.core_time import CoreTime, ReadCoreTime, stolen_s
from audiosocket_gw.runtime.lateness import Lateness
from audiosocket_gw.runtime.load_figures import ADVICE, Admission, Bottleneck, LoadFigures

logger = logging.getLogger("audiosocket_gw.runtime")

WINDOW_S = 0.25

BATCH_ABOVE = 0.8
"""Above this share of a core, audio is batched. Audio starts to be late above 0.9."""

BATCH_LESS_BELOW = 0.55
"""Below this share, it is batched less. A step saves at most 30 % (0.8 becomes 0.56), so batching more never
leads to batching less at once."""

REJECT_ABOVE = 0.87
ADMIT_BELOW = 0.82
"""What the calls may use of what the core gives; the second one while the gateway is overloaded."""

BATCH_SMOOTHING = 0.2
"""Weight of one window in the average for this, which reaches back about a second."""

LATE_S = 0.005
VERY_LATE_S = 0.01

LATE_SHARE = 0.05
"""Share of all ticks that may be late."""

BUSY_WINDOWS = 2
"""Consecutive busy windows, 0.5 s, before audio is batched."""

WORTH_BATCHING = 0.1
"""Below this share of a core, batching saves next to nothing: late ticks then have another cause."""

QUIET_WINDOWS = 20
"""Consecutive quiet windows, 5 s, before a step is reversed: what comes again within that stays batched."""

HOLD_WINDOWS = 4
"""Consecutive windows without room for one more call, and those that wait, 1 s, before calls are rejected."""

CALM_WINDOWS = 8
"""Consecutive windows with room, 2 s, before calls are admitted again."""


class Load:
    """Records every tick; decides how audio is batched and whether a call may begin."""

    def __init__(
        self,
        least_frames: int = 1,
        most_frames: int = 1,
        read_core_time: ReadCoreTime | None = None,
    ) -> None:
        """``least_frames`` and ``most_frames`` are the bounds of `batch_frames`; if equal, it is fixed.

        ``read_core_time`` is called once a window; without it nothing counts as stolen.
        """
        self.batch_frames = least_frames
        """Number of 20 ms frames of caller audio per message."""
        self.overloaded = False
        """Whether new calls are rejected."""
        self.window = Window(0.0, 0.0, 0.0)
        """The last window."""
        self.on_clock = 0
        """Calls that the ticker serves: it counts them here."""
        self.waiting = 0
        """Those of them whose set-up hasn't begun: their queue counts them here."""
        self.lateness = Lateness()
        """How late all ticks were; it grows once a window."""
        self._read_core_time = read_core_time
        self._least_frames = least_frames
        self._most_frames = most_frames
        self._capacity = Capacity()
        self._setups = 0
        self._setup_steps = 0
        self._quiet_windows = self._busy_windows = self._full_windows = self._calm_windows = 0
        self._recently_busy = 0.0
        self._began: tuple[float, float] | None = None
        self._core_time: CoreTime | None = None
        self._late_s: list[float] = []  # of each tick of this window

    # Measuring

    def record_tick(self, late_s: float, now: float, cpu: float) -> None:
        """Record a tick; all arguments are in seconds.

        ``late_s``: how late the tick, or the reading of the sockets, was. ``cpu``: the thread's CPU time.
        """
        if self._began is None:
            self._begin(now, cpu)
            return
        self._late_s.append(late_s)
        if now - self._began[0] >= WINDOW_S:
            self.window = self._measure(now - self._began[0], cpu - self._began[1])
            self._begin(now, cpu)
            self._decide(self.window)

    def reset(self) -> None:
        """Start again: no call is in progress, and the clock has stopped."""
        self._began = self._core_time = None
        self._count_lateness()
        self._recently_busy = 0.0
        self._capacity.reset()
        self._quiet_windows = self._busy_windows = self._full_windows = self._calm_windows = 0
        self.batch_frames = self._least_frames
        self._set_overloaded(False)

    def begin_setup(self) -> None:
        """Count a call whose set-up begins."""
        self._setups += 1
        self._setup_steps += 1

    def end_setup(self) -> None:
        """Count a set-up that is over."""
        self._setups -= 1
        self._setup_steps += 1

    def _begin(self, now: float, cpu: float) -> None:
        self._began = (now, cpu)
        self._setup_steps = 0

    def _count_lateness(self) -> None:
        self.lateness.add(self._late_s)
        self._late_s.clear()

    def _measure(self, wall_s: float, cpu_s: float) -> Window:
        """Return the window that is over, and add it to the averages."""
        ticks = len(self._late_s)
        late = [each for each in self._late_s if each > LATE_S]
        window = Window(
            busy=min(1.0, cpu_s / wall_s),
            late=len(late) / ticks,
            very_late=sum(each > VERY_LATE_S for each in late) / ticks,
            stolen=self._stolen_s(wall_s, cpu_s) / wall_s,
        )
        self._count_lateness()
        # A set-up counts half when it begins and half when it ends: it may last longer than a window.
        self._capacity.record(window, wall_s, self._calls, self._setup_steps / 2)
        return window

    def _stolen_s(self, wall_s: float, cpu_s: float) -> float:
        before = self._core_time
        if self._read_core_time is None:
            return 0.0
        after = self._core_time = self._read_core_time()
        return stolen_s(before, after, wall_s, cpu_s) if before is not None else 0.0

    # Deciding

    @property
    def has_room(self) -> bool:
        """Whether one more call can be set up now."""
        return not self.overloaded and self._bottleneck(self._calls) is Bottleneck.NONE

    @property
    def setup_interval_s(self) -> float:
        """The time from one set-up to the next: they get the core's spare time, at most half of it."""
        return self._capacity.setup_interval_s(self._calls, REJECT_ABOVE)

    @property
    def _calls(self) -> int:
        return self.on_clock - self.waiting

    def _bottleneck(self, calls: int) -> Bottleneck:
        return self._capacity.bottleneck(calls, ADMIT_BELOW if self.overloaded else REJECT_ABOVE)

    def _decide(self, window: Window) -> None:
        is_late = window.late > LATE_SHARE and window.busy > WORTH_BATCHING
        is_busy = window.busy > BATCH_ABOVE or is_late
        is_full = self._bottleneck(self.on_clock) is not Bottleneck.NONE
        self._quiet_windows = 0 if is_busy else self._quiet_windows + 1
        self._busy_windows = self._busy_windows + 1 if is_busy else 0
        self._calm_windows = 0 if is_full else self._calm_windows + 1
        if (is_full or self._busy_windows >= BUSY_WINDOWS) and self.batch_frames < self._most_frames:
            self._set_batch(self.batch_frames + 1)
            self._full_windows = 0
        elif is_full:
            self._full_windows += 1
            if self._full_windows >= HOLD_WINDOWS:
                self._set_overloaded(True)
        else:
            self._full_windows = 0
            if self._calm_windows >= CALM_WINDOWS:
                self._set_overloaded(False)
        self._recently_busy += BATCH_SMOOTHING * (window.busy - self._recently_busy)
        is_quiet = self._quiet_windows >= QUIET_WINDOWS and self._recently_busy < BATCH_LESS_BELOW
        if is_quiet and self.batch_frames > self._least_frames:
            self._set_batch(self.batch_frames - 1)
            self._quiet_windows = 0

    def _set_batch(self, frames: int) -> None:
        self.batch_frames = frames
        self._capacity.cost.doubt()
        logger.info(
            "caller audio is now sent to agents in batches of %d ms: %s",
            FRAME_MS * frames,
            self.figures(),
            extra=ONCE,
        )

    def _set_overloaded(self, overloaded: bool) -> None:
        if overloaded is self.overloaded:
            return
        figures = self.figures()
        self.overloaded = overloaded
        if overloaded:
            logger.warning(
                "overloaded: new calls are rejected unless REFUSE_OVERLOAD=false: %s: %s",
                ADVICE[figures.bottleneck],
                figures,
                extra=ONCE,
            )
        else:
            logger.warning("no longer overloaded: %s", figures, extra=ONCE)

    def figures(self) -> LoadFigures:
        """Return what was measured, and what follows from it."""
        capacity, calls = self._capacity, self._calls
        bottleneck = self._bottleneck(self.on_clock)
        if self.overloaded:
            admission = Admission.REJECT
        else:
            admission = Admission.ADMIT if bottleneck is Bottleneck.NONE else Admission.HOLD
        return LoadFigures(
            admission=admission,
            bottleneck=bottleneck,
            busy=capacity.busy,
            stolen=capacity.stolen,
            late=capacity.late,
            calls=calls,
            setups=self._setups,
            waiting=self.waiting,
            capacity=capacity.fitting_calls(calls, REJECT_ABOVE),
            call_ms=capacity.cost.call * 1000,
            setup_ms=capacity.cost.setup * 1000,
            batch_ms=FRAME_MS * self.batch_frames,
        )
