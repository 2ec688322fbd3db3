"""A process that is as busy and as late as a test wants, for `Load`."""

from __future__ import annotations

from audiosocket_gw.runtime.load import WINDOW_S, Load

TICK_S = 0.005


class BusyProcess:
    """Tells a `Load` of its ticks.

    They are in a future far beyond any real clock: of a running gateway's own ticks, none ends a window then.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        load._read_core_time = None  # the real one would say that this process didn't run
        self._now = 1e9
        self._cpu = 7.0

    def windows(self, count: int, *, busy: float = 0.3, late_s: float = 0.0, late_share: float = 1.0) -> None:
        """Pass ``count`` windows of measurement; ``busy`` and ``late_share`` are parts of one."""
        ticks = round(count * WINDOW_S / TICK_S)
        for number in range(ticks):
            self._now += TICK_S
            self._cpu += TICK_S * busy
            is_late = (number + 1) * late_share % 1 < late_share
            self._load.record_tick(late_s if is_late else 0.0, self._now, self._cpu)

    def rest(self, seconds: float) -> None:
        self._now += seconds
