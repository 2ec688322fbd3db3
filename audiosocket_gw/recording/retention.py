"""Retention of past calls: limits in bytes and days; the oldest calls are removed first."""

from __future__ import annotations

import heapq
import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from audiosocket_gw.recording.directory import started_on

logger = logging.getLogger("audiosocket_gw.recording")


MIN_SIZE = 4096
"""What a file takes at least, in most file systems. Calls that break off at once leave files of a few hundred
bytes: counted by these, a million would fit, and use up the disk."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept; None: no limit."""

    max_bytes: int | None = None
    """Of all files together, including calls in progress."""
    max_age: timedelta | None = None
    """Since the call's start, by its name, or since the last write to its files, if that is later: otherwise
    a clock that was slow at the start and corrected later would make it old at once."""

    @classmethod
    def of(cls, megabytes: int, days: float) -> Limits:
        """Return the limits that the settings name; 0: none."""
        return cls(megabytes * 1_000_000 or None, timedelta(days=days) if days else None)


class Retention:
    """Keeps the files of calls in ``directory`` within limits.

    Only files with a call's name (`directory.call_name`) and one of ``suffixes`` are touched.
    """

    def __init__(self, directory: Path, suffixes: Collection[str], limits: Limits) -> None:
        self._directory = directory
        self._suffixes = frozenset(suffixes)
        self._limits = limits

    def sweep(self, spared: Collection[str] = (), now: datetime | None = None) -> None:
        """Remove calls beyond the limits, all files of a call together, except calls in ``spared``.

        Files that can't be removed are logged and stay. ``now`` is the wall-clock time for the age.
        """
        if self._limits == Limits():
            return
        sizes, heap = self._calls()
        removed = removed_bytes = 0
        for name in self._surplus(sizes, heap, spared, (now or datetime.now(UTC)).timestamp()):
            if self._remove(name):
                removed += 1
                removed_bytes += sizes[name]
        if removed:
            logger.info("%s: removed %d old calls, %.1f MB", self._directory, removed, removed_bytes / 1e6)

    def _surplus(
        self, sizes: dict[str, int], heap: list[tuple[float, str]], spared: Collection[str], now: float
    ) -> Iterator[str]:
        """Yield the names of the calls to remove, the oldest first."""
        max_age, max_bytes = self._limits.max_age, self._limits.max_bytes
        size = sum(sizes.values())
        while heap:
            dated, name = heapq.heappop(heap)
            too_old = max_age is not None and now - dated > max_age.total_seconds()
            if not (too_old or (max_bytes is not None and size > max_bytes)):
                return  # and so is none of the younger ones
            if name not in spared:
                size -= sizes[name]
                yield name

    def _calls(self) -> tuple[dict[str, int], list[tuple[float, str]]]:
        """Return the size of each call, by name, and a heap of their dates.

        There may be 100,000. Python's lock is held only for moments: nothing is sorted, and there are no
        objects that the garbage collector would have to visit.
        """
        sizes: dict[str, int] = {}
        dates: dict[str, float] = {}
        try:
            with os.scandir(self._directory) as entries:
                for entry in entries:
                    self._note(entry, sizes, dates)
        except OSError as error:
            logger.warning("%s can't be read, nothing is removed: %s", self._directory, error.strerror)
        heap = [(dated, name) for name, dated in dates.items()]
        heapq.heapify(heap)
        return sizes, heap

    def _note(self, entry: os.DirEntry[str], sizes: dict[str, int], dates: dict[str, float]) -> None:
        name, _, extension = entry.name.rpartition(".")
        started = started_on(name) if f".{extension}" in self._suffixes else None
        if started is None or not entry.is_file(follow_symlinks=False):
            return
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # another process removed it
            return
        sizes[name] = sizes.get(name, 0) + max(status.st_size, MIN_SIZE)
        dates[name] = max(dates.get(name, started.timestamp()), status.st_mtime)

    def _remove(self, name: str) -> bool:
        try:
            for suffix in self._suffixes:
                path = self._directory / f"{name}{suffix}"
                if path.is_file() and not path.is_symlink():
                    path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s can't be removed: %s", error.filename, error.strerror)
            return False
        return True
