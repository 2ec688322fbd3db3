"""The load of the process as figures, for the log and for metrics. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Admission(StrEnum):
    """What happens to a new call."""

    ADMIT = "admit"
    HOLD = "hold"
    """It waits: within a second there is room, or the gateway is overloaded."""
    REJECT = "reject"
    """The gateway is overloaded."""


class Bottleneck(StrEnum):
    """Why there is no room for one more call."""

    NONE = "none"
    """There is room."""
    CALLS = "calls"
    """The calls in progress fill a whole core."""
    CORE = "core"
    """The calls would fit on a whole core, but others keep the thread from running."""
    LATENESS = "lateness"
    """The ticks are late, though the core has time left and no others take it: long steps in the loop."""


ADVICE = {
    Bottleneck.NONE: "there is room",
    Bottleneck.CALLS: "the calls fill its core; lower MAX_CALLS or add a gateway",
    Bottleneck.CORE: "others keep it from running; free its core, or lower MAX_CALLS",
    Bottleneck.LATENESS: "its clock is late though its core has time left; look for tools that block it",
}
"""The bottleneck in the operator's words, and what to do."""


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """The load at one moment. Shares are of a core or of time, averaged over seconds; 1 is all of it."""

    admission: Admission
    bottleneck: Bottleneck
    busy: float
    """How much of a core the event loop's thread uses."""
    stolen: float
    """How much of the time others kept the thread from running: processes and threads on its core, a CPU
    quota, the host of a virtual machine, a disk or swap that it had to wait for.
    """
    late: float
    """The share of ticks that were more than 10 ms late."""
    calls: int
    """Calls in progress, with those that are being set up."""
    setups: int
    """Calls that are being set up."""
    waiting: int
    """Calls that wait for their set-up to begin."""
    capacity: int
    """An estimate of how many calls fit, at the present size of batches."""
    call_ms: float
    """CPU time of a call, in ms per second, as measured here."""
    setup_ms: float
    """CPU time of a call's set-up, in ms, as measured here."""
    batch_ms: int
    """Caller audio that shares a message, in ms."""

    def __str__(self) -> str:
        """Describe the load for the operator."""
        waiting = f" and {self.waiting} waiting" if self.waiting else ""
        return (
            f"{self.calls} calls{waiting}, {self.busy:.0%} of a core used, "
            f"{self.stolen:.0%} taken by others, {self.late:.0%} of ticks over 10 ms late; "
            f"a call takes {self.call_ms / 10:.2g} %, about {self.capacity} fit"
        )
