"""``HISTORY_DB``: the calls that have ended, in a SQLite database, for questions about the past."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from audiosocket_gw.errors import ConfigurationError, HistoryError
from audiosocket_gw.events import CallEnded, CallEvent
from audiosocket_gw.ledger.database import Database, Found, Query, Row, is_damage, set_aside
from audiosocket_gw.ledger.losses import Losses
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import masked, shown

logger = logging.getLogger("audiosocket_gw.ledger")

HANGS = "its disk hangs, or another process has locked it"


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """Limits of a `History`; times in seconds.

    ``waiting``: records that may wait for the disk. ``questions``: questions that may. ``answer_s``: time for
    an answer. ``open_s``: time that the start waits for the disk, ``stop_s``: the end. ``retry_s``: pause
    after a failure. ``batch``: calls that are written, or removed, at once. ``trim_s``: pause between two
    removals.
    """

    waiting: int = 2_000
    questions: int = 32
    answer_s: float = 2.0
    open_s: float = 5.0
    stop_s: float = 1.0
    retry_s: float = 1.0
    batch: int = 50
    trim_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Page:
    """Calls of the past, each as JSON; ``before``: the cursor of the next page, if there is one."""

    calls: tuple[str, ...]
    before: int | None

    @property
    def json(self) -> str:
        """The page as a JSON object with the members ``calls`` and ``before``."""
        return f'{{"calls": [{", ".join(self.calls)}], "before": {json.dumps(self.before)}}}'


class History:
    """Keeps the last calls in a database while its context is open, and answers questions about them.

    Everything about the disk happens in a thread. Records that it can't write at once wait, those beyond the
    limit are lost, which `losses` counts; no call notices.
    """

    def __init__(
        self, path: Path, max_calls: int, numbers: CallerNumbers, limits: HistoryLimits | None = None
    ) -> None:
        self._path = path
        self._max_calls = max_calls
        self._numbers = numbers
        self._limits = limits or HistoryLimits()
        self.losses = Losses(f"HISTORY_DB={path}")
        self._waiting: deque[CallRecord] = deque()
        self._questions: deque[Callable[[], None]] = deque()
        self._wake = threading.Event()
        self._stopping = False
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        # Used only by the thread:
        self._database: Database | None = None
        self._retry_at = 0.0
        self._trims = True

    def __enter__(self) -> Self:
        """Open the database. If its disk hangs, or it is locked, the gateway starts without.

        Raises:
            ConfigurationError: it can't be used.
        """
        self._thread.start()
        try:
            self._opened.result(self._limits.open_s)
        except TimeoutError:
            self.losses.delay(HANGS, 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what waits, for a second at most."""
        self._stopping = True
        self._wake.set()
        self._thread.join(self._limits.stop_s)
        if self._waiting:
            self.losses.add(HANGS, len(self._waiting))
        self.losses.close()

    def follow(self, event: CallEvent, record: CallRecord) -> None:
        """Keep a call that has ended: a `Follower`."""
        if not isinstance(event, CallEnded):
            return
        if len(self._waiting) >= self._limits.waiting:
            self.losses.add(HANGS)
        else:
            self._waiting.append(record)
            self._wake.set()

    async def find(self, query: Query) -> Page:
        """Return calls, those that ended last first.

        Raises:
            HistoryError: the disk doesn't answer in time.
        """
        return await self._ask(lambda database, deadline: database.find(query, deadline))

    async def get(self, uuid: UUID) -> str | None:
        """Return the record of the last call with this UUID as JSON, if it is known.

        Raises:
            HistoryError: the disk doesn't answer in time.
        """
        page = await self._ask(lambda database, deadline: database.get(uuid, deadline))
        return page.calls[0] if page.calls else None

    async def _ask(self, question: Callable[[Database, float], Found]) -> Page:
        if len(self._questions) >= self._limits.questions:
            raise HistoryError(f"HISTORY_DB={self._path}: too many questions wait: {HANGS}")
        answer: Future[Page] = Future()
        deadline = time.monotonic() + self._limits.answer_s
        self._questions.append(lambda: self._answer(question, deadline, answer))
        self._wake.set()
        try:
            async with asyncio.timeout(self._limits.answer_s):
                return await asyncio.wrap_future(answer)
        except TimeoutError:
            raise HistoryError(f"HISTORY_DB={self._path}: no answer: {HANGS}") from None

    # In the thread

    def _run(self) -> None:
        try:
            self._database = self._open()
        except ConfigurationError as error:
            self._opened.set_exception(error)
            return
        except (sqlite3.Error, OSError) as error:
            self._fail(error)
        self._opened.set_result(None)
        while not self._stopping:
            self._wake.wait(self._pause())
            self._wake.clear()
            while self._questions:
                self._questions.popleft()()
            self._write()
        self._retry_at = 0.0
        self._write()
        self._close()

    def _pause(self) -> float | None:
        if self._waiting:
            return max(0.0, self._retry_at - time.monotonic())
        return self._limits.trim_s if self._trims else None

    def _answer(
        self, question: Callable[[Database, float], Found], deadline: float, answer: Future[Page]
    ) -> None:
        if not answer.set_running_or_notify_cancel():
            return  # the one who asked has given up
        try:
            found = question(self._ready(), deadline)
            page = Page(tuple(map(self._masked, found.records)), found.before)
        except (sqlite3.Error, OSError, ConfigurationError) as error:
            self._recover(error)
            answer.set_exception(HistoryError(f"HISTORY_DB={self._path}: {error}"))
        except Exception as error:  # a defect ends the question, not the thread
            logger.exception("HISTORY_DB=%s: a question failed", self._path)
            answer.set_exception(HistoryError(f"HISTORY_DB={self._path}: {type(error).__name__}"))
        else:
            answer.set_result(page)

    def _masked(self, found: tuple[str, bool]) -> str:
        """Mask the caller in a record that was written when the setting was another one."""
        record, is_masked = found
        if is_masked or self._numbers is CallerNumbers.SHOWN:
            return record
        return _encoded(masked(json.loads(record)))

    def _write(self) -> None:
        """Write what waits, and remove what is too old, a step of it."""
        while self._waiting and time.monotonic() >= self._retry_at:
            # By index, since the event loop may add to it.
            batch = [self._waiting[place] for place in range(min(len(self._waiting), self._limits.batch))]
            try:
                self._ready().insert([row for row in map(self._row, batch) if row is not None])
            except (sqlite3.OperationalError, OSError, ConfigurationError) as error:
                self._fail(error)
                return
            except sqlite3.Error as error:
                if is_damage(error):
                    self._fail(error)
                    self._recover(error)
                    continue
                logger.exception("HISTORY_DB=%s: calls can't be written", self._path)
                self.losses.add(str(error), len(batch))
            for _ in batch:
                self._waiting.popleft()
            self._trims = True
            self.losses.recovered()
        self._trim()

    def _trim(self) -> None:
        if self._trims and self._database is not None:
            try:
                self._trims = self._database.trim(self._max_calls, self._limits.batch)
            except sqlite3.Error as error:
                self._trims = False  # until the next call has been written
                self._recover(error)

    def _row(self, record: CallRecord) -> Row | None:
        try:
            fields = shown(record, self._numbers)
            return Row(
                fields["uuid"],
                record.started_at,
                fields["end"]["reason"],
                fields["is_bad"],
                fields["agent"],
                self._numbers is CallerNumbers.MASKED,
                _encoded(fields),
            )
        except Exception:  # a defect costs one record, not all that wait behind it
            logger.exception("HISTORY_DB=%s: a record can't be encoded", self._path)
            self.losses.add("a defect of the gateway")
            return None

    def _ready(self) -> Database:
        """Return the database, opened again if it was moved away."""
        if self._database is not None and self._database.was_moved:
            logger.warning("HISTORY_DB=%s: the file was moved or removed; a new one begins", self._path)
            with suppress(sqlite3.Error):
                self._database.complete()
            self._close()
        if self._database is None:
            self._database = self._open()
        return self._database

    def _open(self) -> Database:
        try:
            return Database(self._path)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._set_aside(error)
            return Database(self._path)

    def _recover(self, error: Exception) -> None:
        if isinstance(error, sqlite3.Error) and is_damage(error):
            self._close()
            with suppress(OSError):  # the next attempt says why
                self._set_aside(error)

    def _set_aside(self, error: sqlite3.Error) -> None:
        aside = set_aside(self._path)
        logger.warning(
            "HISTORY_DB=%s is damaged: %s. It is now %s, and a new history begins", self._path, error, aside
        )

    def _fail(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + self._limits.retry_s
        self.losses.delay(str(error), len(self._waiting))

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()


def _encoded(fields: dict[str, object]) -> str:
    return json.dumps(fields, ensure_ascii=False)
