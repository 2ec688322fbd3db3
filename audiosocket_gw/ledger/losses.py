"""Counts call records that are lost or late, and warns of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("audiosocket_gw.ledger")

WARN_EVERY_S = 10.0


class Losses:
    """The call records that one place doesn't take, with a warning at once, and then every 10 s at most.

    Its methods may be called from any thread.
    """

    def __init__(self, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        """``place``: the setting and its value."""
        self._place = place
        self._clock = clock
        self._lock = threading.Lock()
        self._warn_at = -float("inf")
        self._untold = 0
        self._why = ""
        self._failing = False
        self.total = 0

    def add(self, why: str, count: int = 1) -> None:
        """Count records that are lost."""
        with self._lock:
            self.total += count
            self._untold += count
            self._why = why
            if not self._may_warn():
                return
        self.close()

    def delay(self, why: str, waiting: int) -> None:
        """Say that records wait, unless something was said a moment ago."""
        with self._lock:
            if not self._may_warn():
                return
        logger.warning("%s: %d call records wait, no call is harmed: %s", self._place, waiting, why)

    def recovered(self) -> None:
        """Say that records are taken again, unless something was said a moment ago: call it for each."""
        if not self._failing:
            return
        with self._lock:
            if self._clock() < self._warn_at:
                return
            self._failing = False
        self.close()
        logger.info("%s: call records are written again", self._place)

    def close(self) -> None:
        """Tell of the losses that weren't told."""
        with self._lock:
            lost, self._untold = self._untold, 0
        if lost:
            what = "1 call record was" if lost == 1 else f"{lost:,} call records were"
            logger.warning("%s: %s lost, no call was harmed: %s", self._place, what, self._why)

    def _may_warn(self) -> bool:
        self._failing = True
        now = self._clock()
        if now < self._warn_at:
            return False
        self._warn_at = now + WARN_EVERY_S
        return True
