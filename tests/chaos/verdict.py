"""What good calls may notice of an attack: the limits, and whether a measurement keeps them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.chaos.good_calls import Heard
from tests.chaos.probe import Answer

MAX_HOLD_UP_MS = 40.0
MAX_GAP_MS = 60.0
MAX_GROWTH_MIB = 64.0
MAX_P99_RATIO = 2.0
P99_FLOOR_MS = 10.0
"""Below this lateness no ratio counts."""

MIN_ADMITTED = 0.99
"""The share of new good calls that must come up beside the attack."""

MAX_TAKEN_MS = 10.0
MAX_STOLEN = 0.02
MAX_LOAD_P99_MS = 20.0
"""Beyond these, the machine was disturbed: time that the kernel gave to others, that the host took away, and
lateness of the load."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured in a window: at the callers' ends, in the gateway's loop, and of the machine."""

    heard: Heard
    loop: Answer
    growth_mib: float
    """How far the memory went beyond what it was at the beginning."""
    stolen: float
    """Part of the time that the host of the machine took away."""

    @property
    def is_disturbed(self) -> bool:
        return (
            self.loop.taken_ms > MAX_TAKEN_MS
            or self.stolen > MAX_STOLEN
            or self.heard.load_p99_ms > MAX_LOAD_P99_MS
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of an attack: a quiet window, one with the attack, and what came after."""

    quiet: Window
    attacked: Window
    left: dict[str, int]
    """What was still there a while after the attack, by name."""
    stop_s: float
    max_stop_s: float
    tries: int = 0
    admitted: int = 0
    found: list[str] = field(default_factory=list)
    """What the attack itself found out."""

    @property
    def p99_ratio(self) -> float:
        return self.attacked.heard.p99_ms / max(self.quiet.heard.p99_ms, 0.1)

    @property
    def is_disturbed(self) -> bool:
        return self.quiet.is_disturbed or self.attacked.is_disturbed

    @property
    def faults(self) -> list[str]:
        """What good calls, or the process, should not have noticed."""
        return [*self._heard(), *self._held_up(), *self._kept(), *self.found]

    def _heard(self) -> list[str]:
        attacked = self.attacked.heard
        faults = []
        if self._has_gaps:
            faults.append(
                f"{attacked.gaps_over_60_ms} gaps over 60 ms at good callers, "
                f"the longest {attacked.longest_gap_ms:.0f} ms"
            )
        if self._is_late:
            faults.append(
                f"frames late by {attacked.p99_ms:.1f} ms (p99), {self.p99_ratio:.1f} times as late as before"
            )
        if attacked.fallen:
            faults.append(f"{attacked.fallen} good calls ended")
        if attacked.lost:
            faults.append(f"{attacked.lost} frames of good calls lost")
        if self.admitted < MIN_ADMITTED * self.tries:
            faults.append(f"only {self.admitted} of {self.tries} new good calls came up")
        return faults

    # A disturbed machine shows at the callers, too. Then the loop's own timer, which runs as the calls' does,
    # has to show the same without the time that the kernel took away.

    @property
    def _has_gaps(self) -> bool:
        quiet, attacked = self.quiet, self.attacked
        return attacked.heard.longest_gap_ms > max(MAX_GAP_MS, quiet.heard.longest_gap_ms) and (
            not attacked.is_disturbed or attacked.loop.gap_ms > max(MAX_GAP_MS, quiet.loop.gap_ms)
        )

    @property
    def _is_late(self) -> bool:
        quiet, attacked = self.quiet, self.attacked
        return attacked.heard.p99_ms > max(P99_FLOOR_MS, MAX_P99_RATIO * quiet.heard.p99_ms) and (
            not attacked.is_disturbed
            or attacked.loop.late_p99_ms > max(P99_FLOOR_MS, MAX_P99_RATIO * quiet.loop.late_p99_ms)
        )

    @property
    def is_held_up(self) -> bool:
        return self.attacked.loop.hold_up_ms > max(MAX_HOLD_UP_MS, self.quiet.loop.hold_up_ms)

    @property
    def is_busy(self) -> bool:
        """Whether the loop was held up by its own work, which is certain on any machine."""
        return self.attacked.loop.hold_up_cpu_ms > MAX_HOLD_UP_MS

    def _held_up(self) -> list[str]:
        if not self.is_held_up:
            return []
        loop = self.attacked.loop
        return [f"the loop was held up for {loop.hold_up_ms:.0f} ms, {loop.hold_up_cpu_ms:.0f} ms of CPU"]

    def _kept(self) -> list[str]:
        faults = [f"{count} {name} left" for name, count in self.left.items()]
        if self.attacked.growth_mib > MAX_GROWTH_MIB:
            faults.append(f"the memory grew by {self.attacked.growth_mib:.0f} MiB")
        if self.stop_s > self.max_stop_s:
            faults.append(f"the stop took {self.stop_s:.1f} s, not {self.max_stop_s:g} s at most")
        return faults
