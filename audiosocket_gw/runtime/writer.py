"""A thread that writes to a disk, so that no call waits for it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

logger = logging.getLogger("audiosocket_gw.runtime")

Job = Callable[[], None]


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """Limits of a `Writer`; times in seconds.

    ``jobs``: those that may wait; more of them mean that the disk hangs. ``stop_s``: time to finish them when
    the gateway stops. The chore runs every ``chore_s``, and sooner when it is due, but ``chore_soon_s``
    after the last time.
    """

    jobs: int = 10_000
    stop_s: float = 10.0
    chore_s: float = 3600.0
    chore_soon_s: float = 60.0


def _no_chore() -> None:
    pass


class Writer:
    """Runs jobs in order, in one thread, while its context is open; and ``chore`` at least once an hour."""

    def __init__(self, name: str, chore: Job = _no_chore, limits: WriterLimits | None = None) -> None:
        self._limits = limits or WriterLimits()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._chore = chore
        self._chore_at = self._last_chore_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._jobs.put(None)
        self._thread.join(self._limits.stop_s)
        if self._thread.is_alive():
            logger.warning("%s: the disk hangs; %d jobs are not done", self._thread.name, self._jobs.qsize())

    @property
    def overloaded(self) -> bool:
        """Whether more jobs wait than the disk will finish."""
        return self._jobs.qsize() > self._limits.jobs

    def submit(self, job: Job) -> None:
        """Queue ``job``, without waiting; may be called from any thread."""
        self._jobs.put(job)

    def chore_is_due(self) -> None:
        """Run the chore soon, but not within a minute of the last time. Called by jobs."""
        self._chore_at = min(self._chore_at, self._last_chore_at + self._limits.chore_soon_s)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:  # an error in one job must not end the others
                logger.exception("%s: a job failed", self._thread.name)

    def _next(self) -> Job | None:
        wait_s = self._chore_at - time.monotonic()
        if wait_s > 0:
            try:
                return self._jobs.get(timeout=wait_s)
            except queue.Empty:
                pass
        self._last_chore_at = time.monotonic()
        self._chore_at = self._last_chore_at + self._limits.chore_s
        return self._chore
