"""How late the ticks were, as a histogram. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.5)
"""Upper bounds of the buckets, each of which includes its bound; a last one has all that is later."""


class Lateness:
    """Counts ticks by their lateness, from the start of the process on."""

    __slots__ = ("_counts", "sum_s")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, late_s: Sequence[float]) -> None:
        """Count some ticks by their lateness, in seconds."""
        counts = self._counts
        late = [each for each in late_s if each > BOUNDS_S[0]]  # few, unless the process is busy
        counts[0] += len(late_s) - len(late)
        for each in late:
            counts[bisect_left(BOUNDS_S, each)] += 1
        self.sum_s += sum(late_s)

    @property
    def cumulative(self) -> list[int]:
        """The number of ticks up to each bound, and at last of all ticks."""
        return list(accumulate(self._counts))
