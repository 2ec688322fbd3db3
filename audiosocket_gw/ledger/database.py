"""The SQLite database of the history: its schema, and what is written to it and asked of it."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from audiosocket_gw.errors import ConfigurationError

APPLICATION_ID = 0x41534757
"""Marks a database as ours (``PRAGMA application_id``)."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE calls (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            uuid TEXT NOT NULL,
            started_at REAL NOT NULL,
            reason TEXT NOT NULL,
            is_bad INTEGER NOT NULL,
            agent TEXT NOT NULL,
            is_masked INTEGER NOT NULL,
            record TEXT NOT NULL
        )
        """,
        "CREATE INDEX calls_by_uuid ON calls (uuid)",
        "CREATE INDEX calls_by_start ON calls (started_at)",
        "CREATE INDEX calls_by_reason ON calls (reason)",
        "CREATE INDEX calls_by_agent ON calls (agent)",
        "CREATE INDEX calls_that_are_bad ON calls (id) WHERE is_bad",
    ),
)
"""The statements that lead from each version of the schema (``PRAGMA user_version``) to the next. Those that
were released never change: add others."""

BUSY_S = 0.25
"""Time that a statement waits for another process that has locked the database."""

STEPS = 10_000
"""Instructions of SQLite between two looks at the deadline: about a millisecond."""

MAX_PAGE = 500
MAX_PAGE_CHARACTERS = 2**20
"""Limits of a page; one that is full of long calls has fewer."""

_FIRST_SINCE = "SELECT min(id) FROM calls INDEXED BY calls_by_start WHERE started_at >= ?"
"""Ids are in the order of ends, not of starts."""

_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""Errors that don't come from the path: calls are answered although the history has to wait."""

_SQLITE = b"SQLite format 3\0"
_BAD_PATH = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Row(NamedTuple):
    """A call as it is stored; ``record``: its record as JSON, ``is_masked``: the caller is masked in it."""

    uuid: str
    started_at: float
    reason: str
    is_bad: bool
    agent: str
    is_masked: bool
    record: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which calls are wanted, those that ended last first.

    ``before``: the cursor of a `Found`. ``since``: the earliest start, in seconds since the epoch.
    """

    limit: int = 50
    before: int | None = None
    reason: str | None = None
    bad: bool | None = None
    agent: str | None = None
    since: float | None = None


class Found(NamedTuple):
    """Calls, as JSON and whether the caller is masked in it; ``before``: the cursor of the next ones."""

    records: list[tuple[str, bool]]
    before: int | None


class Database:
    """An open database; it belongs to one thread. All methods may raise `sqlite3.Error`."""

    def __init__(self, path: Path) -> None:
        """Open or create it, for its owner only, and bring its schema up to date.

        Raises:
            ConfigurationError: it isn't a database of this gateway, or can't be created.
            OSError, sqlite3.Error: it is damaged or locked, or its disk is full.
        """
        self._path = path
        self._file = _create(path)
        self._connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            with _naming_path(path):
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    @property
    def was_moved(self) -> bool:
        """Whether the path is another file by now, or none."""
        try:
            status = self._path.stat()
        except OSError:
            return True
        return (status.st_dev, status.st_ino) != self._file

    def complete(self) -> None:
        """Write everything into the main file, which was moved away without the log beside it."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def insert(self, rows: Sequence[Row]) -> None:
        """Add calls, all or none."""
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO calls (uuid, started_at, reason, is_bad, agent, is_masked, record)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def trim(self, max_calls: int, step: int) -> bool:
        """Remove the oldest calls beyond ``max_calls``, ``step`` at most; return whether there are more."""
        with self._transaction():
            removed = self._connection.execute(
                "DELETE FROM calls WHERE id IN (SELECT id FROM calls"
                " WHERE id <= (SELECT max(id) FROM calls) - ? ORDER BY id LIMIT ?)",
                (max_calls, step),
            )
        return removed.rowcount == step

    def find(self, query: Query, deadline: float) -> Found:
        """Return calls; ``deadline``: of `time.monotonic`, after which SQLite gives up."""
        conditions = {
            "id < ?": query.before,
            "reason = ?": query.reason,
            "agent = ?": query.agent,
            f"id >= ifnull(({_FIRST_SINCE}), 1 << 62)": query.since,
            "started_at >= ?": query.since,
        }
        chosen = {text: value for text, value in conditions.items() if value is not None}
        words = list(chosen)
        if query.bad is not None:
            words.append("is_bad" if query.bad else "NOT is_bad")
        limit = max(1, min(query.limit, MAX_PAGE))
        where = f"WHERE {' AND '.join(words)} " if words else ""
        with self._limited(deadline):
            rows = self._connection.execute(
                f"SELECT id, record, is_masked FROM calls {where}ORDER BY id DESC LIMIT ?",
                (*chosen.values(), limit + 1),
            )
            return _page(rows, limit)

    def get(self, uuid: UUID, deadline: float) -> Found:
        """Return the last call with this UUID, if there is one."""
        with self._limited(deadline):
            rows = self._connection.execute(
                "SELECT record, is_masked FROM calls WHERE uuid = ? ORDER BY id DESC LIMIT 1", (str(uuid),)
            ).fetchall()
        return Found([(record, bool(is_masked)) for record, is_masked in rows], None)

    # Opening

    def _prepare(self) -> None:
        application = self._pragma("application_id")
        if application != APPLICATION_ID and (application or self._has_tables()):
            raise ConfigurationError(f"{_named(self._path)}: it is the database of another program. {_FIX}")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        if application and self._pragma("user_version") == len(MIGRATIONS):
            return
        with self._transaction():
            version = self._pragma("user_version")
            if version > len(MIGRATIONS):
                raise ConfigurationError(
                    f"{_named(self._path)}: a newer version of the gateway wrote it (schema {version}, this "
                    f"one knows {len(MIGRATIONS)}). {_FIX}"
                )
            for statements in MIGRATIONS[version:]:
                for statement in statements:
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _has_tables(self) -> bool:
        return self._connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite has rolled back by itself
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _limited(self, deadline: float) -> Iterator[None]:
        self._connection.set_progress_handler(_has_passed(deadline), STEPS)
        try:
            yield
        finally:
            self._connection.set_progress_handler(None, 0)


def _page(rows: Iterable[tuple[int, str, int]], limit: int) -> Found:
    found: list[tuple[str, bool]] = []
    size, before = 0, None
    for identity, record, is_masked in rows:
        if len(found) == limit or size > MAX_PAGE_CHARACTERS:
            return Found(found, before)
        found.append((record, bool(is_masked)))
        size, before = size + len(record), identity
    return Found(found, None)


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the error says that the file is damaged."""
    return _code(error) in _DAMAGED


def set_aside(path: Path) -> Path:
    """Rename a damaged database, in place of one that was set aside before; return its new path.

    Raises:
        OSError: it can't be renamed.
    """
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    with suppress(FileNotFoundError):
        path.with_name(f"{path.name}-wal").replace(aside.with_name(f"{aside.name}-wal"))
    with suppress(FileNotFoundError):
        path.with_name(f"{path.name}-shm").unlink()
    return aside


_FIX = "Name a file of its own, in a folder that the gateway's user may write to."


def _named(path: Path) -> str:
    return f"HISTORY_DB={str(path)!r}"


def _create(path: Path) -> tuple[int, int]:
    """Create the file unless it is there; return its device and inode."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY, 0o600)
        with closing(os.fdopen(descriptor, "rb")) as file:
            begin = file.read(len(_SQLITE))
            status = os.fstat(file.fileno())
    except OSError as error:
        if error.errno in _PASSING:
            raise
        raise ConfigurationError(f"{_named(path)}: it can't be used: {error.strerror}. {_FIX}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{_named(path)}: it is no regular file. {_FIX}")
    if begin and begin != _SQLITE:
        raise ConfigurationError(f"{_named(path)}: it is no SQLite database. {_FIX}")
    return status.st_dev, status.st_ino


@contextmanager
def _naming_path(path: Path) -> Iterator[None]:
    """Turn an error that the path causes into one that names the setting."""
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) in _BAD_PATH:
            raise ConfigurationError(f"{_named(path)}: it can't be used: {error}. {_FIX}") from None
        raise


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _has_passed(deadline: float) -> Callable[[], bool]:
    return lambda: time.monotonic() > deadline
