"""The rate at which bytes arrive, measured without reading the clock for each frame. Pure.

The size of a packet is ambiguous: 640 bytes are 20 ms at 16 kHz or 40 ms at 8 kHz, 160 bytes are 10 ms of
linear audio or 20 ms of G.711. The rate isn't: at 8 kHz linear audio has 16,000 bytes a second, and G.711
8,000.
"""

from __future__ import annotations

from collections.abc import Callable

WINDOW_FRAMES = 16
WINDOW_BYTES = 2_560
"""The clock is asked after this many frames or bytes, normally 0.2 to 0.3 s."""

MIN_WINDOW_S = 0.2

MAX_DEVIATION = 0.2
"""By how much a window may differ from those before it. Audio that a network delays arrives in a burst: it is
missing in one window and in excess in the next."""


class ByteRate:
    """Measures contiguous audio; call `restart` after a pause.

    ``per_s`` is the mean of the last windows that agree, and ``steady_s`` their total length, 0 until there
    are two.
    """

    __slots__ = ("_bytes", "_clock", "_frames", "_mark", "_steady_bytes", "_windows", "steady_s")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Discard the measurement."""
        self._mark = -1.0
        self._bytes = self._frames = 0
        self._begin(0, 0.0)

    def _begin(self, size: int, seconds: float) -> None:
        self._windows = 1 if size else 0
        self._steady_bytes = size
        self.steady_s = seconds

    @property
    def per_s(self) -> float:
        """Bytes per second, or 0 if unknown."""
        return self._steady_bytes / self.steady_s if self._windows > 1 else 0.0

    def hear(self, size: int) -> bool:
        """Record a frame of ``size`` bytes; return whether it completed a window."""
        self._bytes += size
        self._frames += 1
        if self._frames < WINDOW_FRAMES and self._bytes < WINDOW_BYTES and self._mark >= 0:
            return False
        return self._look_at_the_clock()

    def _look_at_the_clock(self) -> bool:
        now = self._clock()
        seconds = now - self._mark
        if self._mark < 0:  # the first frame was spoken before the clock started
            self._bytes = self._frames = 0
            self._mark = now
            return False
        if seconds < MIN_WINDOW_S:
            self._frames = 0
            return False
        self._take(self._bytes, seconds)
        self._bytes = self._frames = 0
        self._mark = now
        return True

    def _take(self, size: int, seconds: float) -> None:
        before = self._steady_bytes / self.steady_s if self.steady_s else 0.0
        if abs(size / seconds - before) > MAX_DEVIATION * before:
            self._begin(size, seconds)
        else:
            self._windows += 1
            self._steady_bytes += size
            self.steady_s += seconds
