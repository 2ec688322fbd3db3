"""Retention of past calls: limits in bytes and days; the oldest calls are removed first."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from audiosocket_gw.recording.directory import started_on

logger = logging.getLogger("audiosocket_gw.recording")


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


@dataclass(slots=True)
class _Call:
    name: str
    dated: float
    paths: list[Path] = field(default_factory=list)
    size: int = 0


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
        calls = self._calls()
        removed = [call for call in self._surplus(calls, spared, now or datetime.now(UTC)) if _remove(call)]
        if removed:
            megabytes = sum(call.size for call in removed) / 1e6
            logger.info("%s: removed %d old calls, %.1f MB", self._directory, len(removed), megabytes)

    def _surplus(self, calls: list[_Call], spared: Collection[str], now: datetime) -> Iterator[_Call]:
        max_age, max_bytes = self._limits.max_age, self._limits.max_bytes
        size = sum(call.size for call in calls)
        for call in calls:
            if call.name in spared:
                continue
            too_old = max_age is not None and now.timestamp() - call.dated > max_age.total_seconds()
            if too_old or (max_bytes is not None and size > max_bytes):
                size -= call.size
                yield call

    def _calls(self) -> list[_Call]:
        """Return the calls, the oldest first."""
        calls: dict[str, _Call] = {}
        try:
            with os.scandir(self._directory) as entries:
                for entry in entries:
                    self._note(entry, calls)
        except OSError as error:
            logger.warning("%s can't be read, nothing is removed: %s", self._directory, error.strerror)
        return sorted(calls.values(), key=lambda call: (call.dated, call.name))

    def _note(self, entry: os.DirEntry[str], calls: dict[str, _Call]) -> None:
        name, _, extension = entry.name.rpartition(".")
        started = started_on(name) if f".{extension}" in self._suffixes else None
        if started is None or not entry.is_file(follow_symlinks=False):
            return
        call = calls.setdefault(name, _Call(name, started.timestamp()))
        call.paths.append(Path(entry.path))
        try:
            status = entry.stat(follow_symlinks=False)
            call.size += status.st_size
            call.dated = max(call.dated, status.st_mtime)
        except FileNotFoundError:  # another process removed it
            call.paths.pop()


def _remove(call: _Call) -> bool:
    try:
        for path in call.paths:
            path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s can't be removed: %s", error.filename, error.strerror)
        return False
    return True
