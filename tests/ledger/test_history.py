"""``HISTORY_DB``: what is asked of it, and that no disk and no other process can harm a call by it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import ConfigurationError, HistoryError
from audiosocket_gw.events import CallEnded
from audiosocket_gw.ledger import database
from audiosocket_gw.ledger.database import APPLICATION_ID, MIGRATIONS, Database, Query
from audiosocket_gw.ledger.history import History, HistoryLimits
from audiosocket_gw.ledger.record import Turn
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import shown
from tests.harness.gateway import running_gateway
from tests.harness.gateway_process import gateway_process
from tests.harness.waiting import until
from tests.ledger.calls import CALL, WHOLE_CALL, calls_of_a_killed_gateway, ended_call, record_of

PROJECT = Path(__file__).parents[2]
MASKED, SHOWN = CallerNumbers.MASKED, CallerNumbers.SHOWN
END = WHOLE_CALL[-1]
QUICK = HistoryLimits(retry_s=0.02, trim_s=0.001)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


def opened(path: Path, max_calls: int = 1_000, limits: HistoryLimits = QUICK) -> History:
    return History(path, max_calls, MASKED, limits)


def keep(history: History, count: int = 1, **known: Any) -> list[str]:
    """End calls; return their UUIDs."""
    calls = [ended_call(uuid4(), **known) for _ in range(count)]
    for call in calls:
        history.follow(END, call)
    return [str(call.uuid) for call in calls]


async def found(history: History, **query: Any) -> list[str]:
    page = await history.find(Query(**query))
    return [json.loads(call)["uuid"] for call in page.calls]


async def settled(history: History) -> None:
    """Wait until nothing waits for the disk."""
    await until(lambda: not history._waiting)


def stored(path: Path) -> list[str]:
    """Return the UUIDs in the database, and check that it is whole."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [uuid for (uuid,) in connection.execute("SELECT uuid FROM calls ORDER BY id")]
    finally:
        connection.close()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# What is asked of it


@pytest.mark.parametrize("numbers", CallerNumbers)
async def test_a_call_that_ends_is_kept(path: Path, numbers: CallerNumbers) -> None:
    with History(path, 10, numbers) as history:
        for event in WHOLE_CALL:
            history.follow(event, record_of())
        await settled(history)
        call = await history.get(CALL)
        assert call is not None and json.loads(call) == shown(record_of(), numbers)
        assert await history.get(uuid4()) is None
    assert mode(path) == 0o600


async def test_it_is_there_after_a_restart(path: Path) -> None:
    with opened(path) as history:
        calls = keep(history, 3)
    with opened(path) as history:
        assert await found(history) == calls[::-1]
        calls += keep(history)
        await settled(history)
        assert await found(history) == calls[::-1]


async def test_pages_are_stable_while_calls_end(path: Path) -> None:
    with opened(path) as history:
        calls = keep(history, 10)
        await settled(history)
        seen, before = [], None
        for _ in range(4):
            page = await history.find(Query(limit=3, before=before))
            seen += [json.loads(call)["uuid"] for call in page.calls]
            before = page.before
            keep(history)
            await settled(history)
        assert (seen, before) == (calls[::-1], None)


async def test_a_page_of_long_calls_is_shorter(path: Path) -> None:
    turns = tuple(Turn(10_000_000 + number, 1_000) for number in range(1_000))
    with opened(path) as history:
        calls = keep(history, 60, turns=turns)
        await settled(history)
        page = await history.find(Query(limit=60))
        assert 20 < len(page.calls) < 40
        seen = [*page.calls]
        while page.before is not None:
            page = await history.find(Query(limit=60, before=page.before))
            seen += page.calls
        assert [json.loads(call)["uuid"] for call in seen] == calls[::-1]


async def test_what_is_wanted_can_be_narrowed_down(path: Path) -> None:
    with opened(path) as history:
        (quota,) = keep(history, reason=EndReason.AGENT_QUOTA, agent="sales", started_at=1_000.0)
        (silent,) = keep(history, silent_ms=5_000, agent="sales", started_at=2_000.0)
        (fine,) = keep(history, agent="help", started_at=3_000.0)
        await settled(history)
        assert await found(history, reason="agent-quota") == [quota]
        assert await found(history, bad=True) == [silent, quota]
        assert await found(history, bad=False) == [fine]
        assert await found(history, agent="sales") == [silent, quota]
        assert await found(history, since=2_000.0) == [fine, silent]
        assert await found(history, since=2_000.0, agent="sales", bad=True) == [silent]
        assert await found(history, since=4_000.0) == []
        assert await found(history, limit=0) == [fine]
        assert await found(history, agent="'; DROP TABLE calls; --") == []


async def test_a_long_call_that_ended_later_does_not_hide_what_started_since(path: Path) -> None:
    with opened(path) as history:
        (short,) = keep(history, started_at=2_060.0)
        (long,) = keep(history, started_at=2_000.0)
        (older,) = keep(history, started_at=1_000.0)
        await settled(history)
        assert await found(history, since=2_000.0) == [long, short]
        assert await found(history, since=2_001.0) == [short]
        assert await found(history, since=0.0) == [older, long, short]


async def test_a_page_is_json(path: Path) -> None:
    with opened(path) as history:
        assert json.loads((await history.find(Query())).json) == {"calls": [], "before": None}
        calls = keep(history, 3)
        await settled(history)
        page = json.loads((await history.find(Query(limit=2))).json)
    assert [call["uuid"] for call in page["calls"]] == calls[:0:-1]
    assert page["before"] == 2


async def test_the_last_call_with_a_uuid_counts(path: Path) -> None:
    with opened(path) as history:
        for agent in ("first", "second"):
            history.follow(END, ended_call(CALL, agent=agent))
        await settled(history)
        call = await history.get(UUID(str(CALL)))
        assert call is not None and json.loads(call)["agent"] == "second"


async def test_what_was_kept_unmasked_is_masked_when_the_setting_changes(path: Path) -> None:
    with History(path, 10, SHOWN) as history:
        history.follow(END, record_of())
    with History(path, 10, MASKED) as history:
        assert [json.loads(call) for call in (await history.find(Query())).calls] == [
            shown(record_of(), MASKED)
        ]
    with History(path, 10, SHOWN) as history:
        call = await history.get(CALL)
        assert call is not None and json.loads(call) == shown(record_of(), SHOWN)


async def test_the_oldest_calls_are_removed(path: Path) -> None:
    with opened(path, 300) as history:
        calls = keep(history, 340)
        await until(lambda: stored(path), lambda kept: len(kept) == 300)
        calls += keep(history, 5)
        await settled(history)
    with opened(path, 7) as history:
        await until(lambda: stored(path), lambda kept: kept == calls[-7:])
    assert stored(path) == calls[-7:]


async def test_a_gateway_keeps_its_calls(path: Path) -> None:
    async with running_gateway(history_db=path) as harness:
        history = harness.gateway.archive.history
        assert history is not None
        line, _ = await harness.call()
        await line.__aexit__()
        ended = await harness.wait_for(CallEnded)
        await settled(history)
        call = await history.get(ended.uuid)
    assert call is not None and json.loads(call)["end"]["reason"] == "caller-hangup"


# Settings that can't work


@pytest.mark.parametrize("name", ["", "nowhere/history.db"])
async def test_a_path_that_cannot_be_used_is_a_configuration_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^HISTORY_DB='.*': it can't be used: .*Name a file"):
        opened(tmp_path / name).__enter__()
    with pytest.raises(ConfigurationError, match="HISTORY_DB="):
        async with running_gateway(history_db=tmp_path / name):
            pass


def test_a_file_of_something_else_stays_as_it_is(path: Path) -> None:
    path.write_text("my notes, which are long enough for a header")
    with pytest.raises(ConfigurationError, match="no SQLite database"):
        opened(path).__enter__()
    assert path.read_text() == "my notes, which are long enough for a header"


def test_a_database_of_another_program_stays_as_it_is(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="another program"):
        opened(path).__enter__()
    assert path.read_bytes() == before


def test_a_database_of_a_newer_version_stays_as_it_is(path: Path) -> None:
    with opened(path) as history:
        keep(history)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"a newer version .*schema 2, this one knows 1"):
        opened(path).__enter__()


async def test_a_schema_is_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as history:
        calls = keep(history)
    more = (*MIGRATIONS, ("ALTER TABLE calls ADD COLUMN note TEXT", "UPDATE calls SET note = reason"))
    monkeypatch.setattr(database, "MIGRATIONS", more)
    with opened(path) as history:
        assert await found(history) == calls
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT note FROM calls").fetchall() == [("caller-hangup",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    connection.close()


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as history:
        keep(history)
    more = (*MIGRATIONS, ("ALTER TABLE calls ADD COLUMN note TEXT", "UPDATE nothing SET x = 1"))
    with monkeypatch.context() as patched:
        patched.setattr(database, "MIGRATIONS", more)
        with pytest.raises(sqlite3.OperationalError):
            Database(path)
    Database(path).close()


# Death


WRITES_UNTIL_IT_IS_KILLED = """
import asyncio, sys
from pathlib import Path
from uuid import uuid4
from audiosocket_gw.ledger.database import Query
from audiosocket_gw.ledger.history import History
from audiosocket_gw.ledger.settings import CallerNumbers
from tests.ledger.calls import WHOLE_CALL, ended_call

async def main():
    with History(Path(sys.argv[1]), 1_000_000, CallerNumbers.MASKED) as history:
        while True:
            call = ended_call(uuid4())
            history.follow(WHOLE_CALL[-1], call)
            while await history.get(call.uuid) is None:
                pass
            print(call.uuid, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("moment", [1, 40, 97])
def test_what_was_written_before_a_kill_is_there_and_the_database_is_whole(path: Path, moment: int) -> None:
    command = [sys.executable, "-c", WRITES_UNTIL_IT_IS_KILLED, str(path)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().decode().strip() for _ in range(moment)]
        writer.kill()
        told += writer.stdout.read().decode().split()
    kept = stored(path)
    assert kept[: len(told)] == [uuid for uuid in told if len(uuid) == 36]
    assert len(kept) <= len(told) + 1
    with opened(path):
        pass


async def test_a_gateway_that_is_killed_keeps_the_calls_that_had_ended(path: Path) -> None:
    ended = await calls_of_a_killed_gateway(lambda: stored(path), HISTORY_DB=str(path))
    assert set(stored(path)) == ended
    async with gateway_process("--agent", "simulator", HISTORY_DB=str(path)):
        pass


# Disks and other processes


LOCKS_IT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have another process lock the database against writing, and stop that process: it never unlocks."""
    command = [sys.executable, "-c", LOCKS_IT, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    process.send_signal(signal.SIGSTOP)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_while_another_process_has_locked_it_records_wait(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = HistoryLimits(retry_s=0.02, waiting=20)
    with opened(path, limits=limits) as history:
        calls = keep(history)
        await settled(history)
        with locked(path):
            calls += keep(history, 20)
            await until(lambda: caplog.text, lambda text: "database is locked" in text)
            lost = keep(history, 30)
            assert await found(history) == calls[:1]  # reading goes on
        await settled(history)
        assert await found(history, limit=100) == calls[::-1]
        assert history.losses.total == len(lost)
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 2, "one at once, and one at the end"
    assert "30 call records were lost" in warned[-1]


async def test_a_gateway_starts_and_answers_although_its_history_is_locked(path: Path) -> None:
    with opened(path):
        pass
    async with running_gateway(history_db=path) as harness:
        history = harness.gateway.archive.history
        assert history is not None
        with locked(path):
            line, _ = await harness.call()
            await line.__aexit__()
            ended = await harness.wait_for(CallEnded)
        await settled(history)
        assert await found(history) == [str(ended.uuid)]


async def test_a_database_that_is_locked_at_the_start_is_opened_later(path: Path) -> None:
    with locked(path):
        history = opened(path).__enter__()
        calls = keep(history)
        with pytest.raises(HistoryError, match="locked"):
            await history.find(Query())
    await settled(history)
    assert await found(history) == calls
    history.__exit__(None, None, None)


class FrozenDisk:
    """A disk that answers to nothing until it thaws: the thread of the history is stuck in a system call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._thawed = threading.Event()
        self._thawed.set()
        for name in ("_prepare", "insert", "find"):
            monkeypatch.setattr(Database, name, self._wait_and(getattr(Database, name)))

    def _wait_and(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def wait(*arguments: Any) -> Any:
            assert self._thawed.wait(30)
            return method(*arguments)

        return wait

    def freeze(self) -> None:
        self._thawed.clear()

    def thaw(self) -> None:
        self._thawed.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[FrozenDisk]:
    frozen = FrozenDisk(monkeypatch)
    yield frozen
    frozen.thaw()


async def test_a_frozen_disk_costs_what_does_not_fit_into_the_queue(
    path: Path, disk: FrozenDisk, caplog: pytest.LogCaptureFixture
) -> None:
    limits = HistoryLimits(waiting=20, questions=3, answer_s=0.05)
    with opened(path, limits=limits) as history:
        disk.freeze()
        calls = keep(history, 20)
        keep(history, 5)
        assert history.losses.total == 5
        assert "its disk hangs" in caplog.text
        for _ in range(5):
            with pytest.raises(HistoryError, match="its disk hangs"):
                await history.find(Query())
        assert len(history._questions) <= 3
        disk.thaw()
        await settled(history)
        assert await found(history, limit=100) == calls[::-1]


def test_a_frozen_disk_delays_start_and_end_by_no_more_than_their_limits(
    path: Path, disk: FrozenDisk, caplog: pytest.LogCaptureFixture
) -> None:
    disk.freeze()
    with opened(path, limits=HistoryLimits(open_s=0.02, stop_s=0.02)) as history:
        keep(history, 3)
    assert history.losses.total == 3
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 2


async def test_a_gateway_with_a_frozen_disk_answers_calls(
    path: Path, disk: FrozenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_gateway(history_db=path) as harness:
        disk.freeze()
        for _ in range(3):
            line, _ = await harness.call()
            await line.__aexit__()
            await harness.wait_for(CallEnded, line.uuid)
        disk.thaw()


def test_a_full_disk_makes_records_wait(path: Path) -> None:
    """A limit of the file's size stands for the disk: the kernel refuses to write more."""
    program = f"""
import asyncio, resource
from pathlib import Path
from uuid import uuid4
from audiosocket_gw.ledger.database import Query
from audiosocket_gw.ledger.history import History, HistoryLimits
from audiosocket_gw.ledger.settings import CallerNumbers
from tests.ledger.calls import WHOLE_CALL, ended_call

async def main():
    limits = HistoryLimits(waiting=1_000, retry_s=0.05, stop_s=10)
    with History(Path({str(path)!r}), 10_000, CallerNumbers.MASKED, limits) as history:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        for _ in range(500):
            history.follow(WHOLE_CALL[-1], ended_call(uuid4()))
        while not history._retry_at:
            await asyncio.sleep(0.01)
        print(len((await history.find(Query(limit=1_000))).calls), flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(history.losses.total)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    in_time, lost = map(int, done.stdout.split())
    assert 0 < in_time < 500
    assert (len(stored(path)), lost) == (500, 0)


@pytest.mark.parametrize("part", ["header", "pages"])
async def test_a_damaged_database_is_set_aside(
    path: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(path) as history:
        keep(history, 100)
    damage(path, part)
    with opened(path) as history:
        calls = keep(history, 3)
        await settled(history)
        assert await found(history) == calls[::-1]
    assert path.with_name("history.db.damaged").exists()
    assert "is damaged" in caplog.text
    assert stored(path) == calls


async def test_a_database_that_is_damaged_while_it_is_open_is_set_aside(path: Path) -> None:
    with opened(path) as history:
        keep(history, 100)
        await settled(history)
        (database,) = [history._database]
        assert database is not None
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        damage(path, "pages")
        database._connection.execute("PRAGMA cache_size = 0")
        calls = keep(history, 3)
        await settled(history)
        assert await found(history) == calls[::-1]


def damage(path: Path, part: str) -> None:
    with path.open("r+b") as file:
        if part == "pages":
            file.seek(4_096)
            file.write(os.urandom(path.stat().st_size - 4_096))
        else:
            file.seek(100)  # the first page's tree of tables
            file.write(b"\xff" * 900)


async def test_a_database_that_is_moved_away_is_begun_again(path: Path) -> None:
    moved = path.with_name("old.db")
    with opened(path) as history:
        before = keep(history, 3)
        await settled(history)
        shutil.move(path, moved)
        after = keep(history, 2)
        await settled(history)
        assert await found(history) == after[::-1]
    assert (stored(moved), stored(path)) == (before, after)


async def test_a_question_that_takes_too_long_is_given_up(path: Path) -> None:
    with opened(path) as history:
        keep(history, 5)
        await settled(history)
        database = Database(path)
        with pytest.raises(sqlite3.OperationalError, match="interrupted"), database._limited(0.0):
            database._connection.execute(
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 10000000)"
                " SELECT count(*) FROM n"
            ).fetchall()
        database.close()


async def test_two_gateways_may_share_a_database(path: Path) -> None:
    with opened(path) as first, opened(path) as second:
        calls = set()
        for _ in range(20):
            calls |= {*keep(first), *keep(second)}
            await asyncio.sleep(0)
        await settled(first)
        await settled(second)
        assert set(await found(first, limit=100)) == calls
