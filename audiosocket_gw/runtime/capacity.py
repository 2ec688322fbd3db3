"""Whether the core has room for one more call. Pure.

What the calls will use is compared with what the core gives this thread, both averaged over seconds. The
averages lag behind, so calls that came or went meanwhile count by what a call costs. Time that others take
from the thread is no load of its own: it lessens what the core gives.
"""

from __future__ import annotations

from dataclasses import dataclass

from audiosocket_gw.runtime.call_cost import CallCost
from audiosocket_gw.runtime.load_figures import Bottleneck

SMOOTHING = 0.05
"""Weight of one window of 0.25 s in the averages, which reach back about 5 s: neighbours work in bursts, and
agents send audio in bursts."""

VERY_LATE_SHARE = 0.5
"""Share of ticks, on average, that may be very late, unless others are the cause."""

OTHERS_ABOVE = 0.1
"""Above this share of time that others take, they are the cause of late ticks."""

OWN_LOAD_ABOVE = 0.1
"""Below this share of a core, others are the cause of everything; rejecting calls wouldn't help."""

OBSERVED_S = 1.0
"""What the cost of a call is estimated from. A set-up may take as long."""

SETUP_SHARE = 0.5
LEAST_SETUP_SHARE = 0.05
"""Set-ups get the core's spare time, within these shares of a core."""

MAX_SETUP_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Window:
    """One measurement; all values are fractions of 1."""

    busy: float
    """CPU time of the thread divided by wall time."""
    late: float
    """Ticks that were more than 5 ms late."""
    very_late: float
    """Ticks that were more than 10 ms late."""
    stolen: float = 0.0
    """Time in which others kept the thread from running, divided by wall time."""


class Capacity:
    """The averages, and what follows from them for one more call."""

    def __init__(self) -> None:
        self.cost = CallCost()
        self.busy = 0.0
        """The average share of a core that the thread used."""
        self.stolen = 0.0
        """The average share of time in which others kept it from running."""
        self.late = 0.0
        """The average share of ticks that were very late."""
        self._steady = 0.0  # `busy` without set-ups, which end
        self._calls = 0.0  # in progress while `_steady` was measured
        self._wall_s = self._cpu_s = self._call_s = self._setups = 0.0

    def reset(self) -> None:
        """Start the averages again: no call is in progress. What a call costs is still known."""
        self.busy = self.stolen = self.late = self._steady = self._calls = 0.0
        self._wall_s = self._cpu_s = self._call_s = self._setups = 0.0

    def record(self, window: Window, wall_s: float, calls: int, setups: float) -> None:
        """Add a window of ``wall_s`` seconds with ``calls`` in progress, and ``setups`` done in it."""
        steady = max(0.0, window.busy - self.cost.setup * setups / wall_s)
        self.busy += SMOOTHING * (window.busy - self.busy)
        self.stolen += SMOOTHING * (window.stolen - self.stolen)
        self.late += SMOOTHING * (window.very_late - self.late)
        self._steady += SMOOTHING * (steady - self._steady)
        self._calls += SMOOTHING * (calls - self._calls)
        self._wall_s += wall_s
        self._cpu_s += window.busy * wall_s
        self._call_s += calls * wall_s
        self._setups += setups
        if self._wall_s >= OBSERVED_S:
            self.cost.observe(self._cpu_s, self._call_s, self._setups, self._wall_s)
            self._wall_s = self._cpu_s = self._call_s = self._setups = 0.0

    def bottleneck(self, calls: int, limit: float) -> Bottleneck:
        """Return why one more call would harm ``calls`` in progress, if it would.

        ``limit``: the share of what the core gives that they may use.
        """
        expected = self._expected(calls + 1)
        if expected > limit:
            return Bottleneck.CALLS
        if expected < OWN_LOAD_ABOVE:
            return Bottleneck.NONE
        if expected > limit * (1 - self.stolen):
            return Bottleneck.CORE
        if self.late > VERY_LATE_SHARE and self.stolen < OTHERS_ABOVE:
            return Bottleneck.LATENESS
        return Bottleneck.NONE

    def fitting_calls(self, calls: int, limit: float) -> int:
        """Estimate how many calls may be in progress; ``calls`` are."""
        spare = limit * (1 - self.stolen) - self._expected(calls)
        return max(0, calls + int(spare // self.cost.call))

    def setup_interval_s(self, calls: int, limit: float) -> float:
        """Return the time from one set-up to the next, with ``calls`` in progress."""
        spare = limit * (1 - self.stolen) - self._expected(calls)
        share = max(LEAST_SETUP_SHARE, min(SETUP_SHARE, spare))
        return min(MAX_SETUP_INTERVAL_S, self.cost.setup / share)

    def _expected(self, calls: int) -> float:
        return self._steady + self.cost.call * (calls - self._calls)
