"""A clock that a test sets."""

from __future__ import annotations


class Clock:
    """Stands for the module ``time``, or for one of its functions: only the test moves it, and `sleep`."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
