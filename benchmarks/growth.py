"""Whether something grows: figures over time, judged by their growth per hour. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

WARM_UP = 0.2
"""The part of the time that isn't judged: caches fill, and the allocator's pools."""

WARM_UP_S = 300.0
"""At most."""

LEAST_S = 1_200.0
"""A shorter run shows no growth per hour: a few MiB of noise would be tens of MiB an hour."""

LEAST_SAMPLES = 6


@dataclass(frozen=True, slots=True)
class Limit:
    """``per_hour``: how much a figure may grow in an hour; ``noise``: a growth that proves nothing."""

    name: str
    unit: str
    per_hour: float
    noise: float


LIMITS = (
    Limit("resident_mib", "MiB", 4.0, 2.0),
    Limit("objects", "objects", 5_000.0, 2_000.0),
    Limit("descriptors", "descriptors", 2.0, 5.0),
    Limit("tasks", "tasks", 2.0, 5.0),
    Limit("threads", "threads", 1.0, 2.0),
    Limit("p99_ms", "ms of lateness", 2.0, 10.0),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``grown``: from the first third to the last; ``per_hour``: as fast as that. ``met`` is None if the run
    was too short to tell.
    """

    limit: Limit
    grown: float
    per_hour: float
    met: bool | None


Sample = Mapping[str, float]
"""Figures at one time: ``at_s``, and those that `LIMITS` name."""


def warm(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples after the warm-up."""
    if not samples:
        return []
    until = min(WARM_UP_S, WARM_UP * samples[-1]["at_s"])
    return [sample for sample in samples if sample["at_s"] >= until]


def judge(samples: Sequence[Sample]) -> list[Verdict]:
    """Compare the median of the first third with that of the last: a burst in one sample is no growth."""
    judged = warm(samples)
    third = len(judged) // 3
    if third == 0:
        return []
    first, last = judged[:third], judged[-third:]
    hours = (_median(last, "at_s") - _median(first, "at_s")) / 3600
    is_long = judged[-1]["at_s"] - judged[0]["at_s"] >= LEAST_S and len(judged) >= LEAST_SAMPLES
    verdicts = []
    for limit in LIMITS:
        grown = _median(last, limit.name) - _median(first, limit.name)
        met = grown <= max(limit.noise, limit.per_hour * hours) if is_long else None
        verdicts.append(Verdict(limit, grown, grown / hours, met))
    return verdicts


def _median(samples: Sequence[Sample], name: str) -> float:
    return median(sample[name] for sample in samples)
