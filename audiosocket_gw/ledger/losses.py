"""Counts call records that are lost, and warns of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("audiosocket_gw.ledger")

WARN_EVERY_S = 10.0


class Losses:
    """The call records that one place couldn't take, with a warning at once and then every 10 s at most.

    Its methods may be called from any thread.
    """

    def __init__(self, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        """``place``: the setting and its value."""
        self._place = place
        self._clock = clock
        self._lock = threading.Lock()
        self._warn_at = -float("inf")
        self._untold = 0
        self.total = 0

    def add(self, why: str, count: int = 1) -> None:
        """Count records that are lost, and warn unless that was done a moment ago."""
        with self._lock:
            self.total += count
            self._untold += count
            now = self._clock()
            if now < self._warn_at:
                return
            self._warn_at = now + WARN_EVERY_S
            lost, self._untold = self._untold, 0
        logger.warning("%s: %d call records were lost, no call was harmed: %s", self._place, lost, why)

    def tell(self) -> None:
        """Tell the rest, as soon as records are taken again or no more will come."""
        with self._lock:
            lost, self._untold = self._untold, 0
        if lost:
            logger.warning("%s: %d more call records were lost", self._place, lost)
