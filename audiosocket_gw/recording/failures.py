"""Counts the recordings that failed: calls that have none, or none to their end."""

from __future__ import annotations

import threading


class Failures:
    """A count for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0

    def add(self) -> None:
        """Count one more."""
        with self._lock:
            self.count += 1
