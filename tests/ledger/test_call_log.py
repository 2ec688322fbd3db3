"""``CALL_LOG``: whole lines, whatever its disk, its reader and `logrotate` do."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.events import CallEnded
from audiosocket_gw.ledger.call_log import LIMITS, STANDARD_OUTPUT, CallLog
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import shown
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.gateway import running_gateway
from tests.harness.gateway_process import gateway_process
from tests.harness.waiting import until
from tests.ledger.calls import CALL, WHOLE_CALL, calls_of_a_killed_gateway, ended_call, record_of

PROJECT = Path(__file__).parents[2]
MASKED = CallerNumbers.MASKED
END = WHOLE_CALL[-1]


def append(log: CallLog, count: int = 1, **known: Any) -> list[str]:
    """Log calls; return their UUIDs."""
    calls = [ended_call(uuid4(), **known) for _ in range(count)]
    for call in calls:
        log.follow(END, call)
    return [str(call.uuid) for call in calls]


def settle(log: CallLog) -> None:
    """Wait until the thread has done what it was asked to."""
    done = threading.Event()
    log._writer.submit(done.set)
    assert done.wait(30)


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def uuids(path: Path) -> list[str]:
    return [line["uuid"] for line in lines(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.mark.parametrize("numbers", CallerNumbers)
def test_a_call_that_ends_is_a_line(path: Path, numbers: CallerNumbers) -> None:
    with CallLog(path, numbers) as log:
        for event in WHOLE_CALL:
            log.follow(event, record_of())
    assert lines(path) == [shown(record_of(), numbers)]
    assert path.stat().st_mode & 0o777 == 0o600


def test_lines_are_added_to_those_before(path: Path) -> None:
    with CallLog(path, MASKED) as log:
        first = append(log, 3)
    with CallLog(path, MASKED) as log:
        second = append(log, 2)
    assert uuids(path) == first + second


def test_a_line_that_was_torn_stays_alone(path: Path) -> None:
    path.write_text('{"uuid": "4032')
    with CallLog(path, MASKED) as log:
        (uuid,) = append(log)
    torn, whole = path.read_text().splitlines()
    assert (torn, json.loads(whole)["uuid"]) == ('{"uuid": "4032', uuid)


def test_what_peers_send_stays_in_its_line(path: Path) -> None:
    hostile = 'x\n{"uuid": 1}\r\u2028\ud800"\\\x1b[2J'
    with CallLog(path, CallerNumbers.SHOWN) as log:
        append(log, caller_name=hostile, agent=hostile, conversation_id=hostile)
    (line,) = lines(path)
    assert line["caller_name"].isprintable()
    assert path.read_text().count("\n") == 1


@pytest.mark.parametrize("name", ["", "nowhere/calls.jsonl"])
def test_what_cannot_be_written_is_a_configuration_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^CALL_LOG='.*': it can't be written: .*Name a file"):
        CallLog(tmp_path / name, MASKED).__enter__()


async def test_the_gateway_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CALL_LOG="):
        async with running_gateway(call_log=tmp_path):
            pass


async def test_it_is_not_the_history(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"CALL_LOG=.* and HISTORY_DB name the same file"):
        async with running_gateway(call_log=path, history_db=path):
            pass


async def test_lost_records_are_in_the_metrics() -> None:
    async with running_gateway(call_log=Path("/dev/full")) as harness:
        line, _ = await harness.call()
        await line.__aexit__()
        await harness.wait_for(CallEnded)
        await until(lambda: harness.gateway.archive.losses, lambda lost: lost == {"call_log": 1})
        exposed = await harness.gateway.metrics.exposition()
    assert b'recorder_failures_total{recorder="call_log"} 1.0' in exposed


# logrotate


def test_after_a_rotation_it_writes_to_the_new_file(path: Path) -> None:
    moved = path.with_suffix(".1")
    with CallLog(path, MASKED) as log:
        before = append(log)
        settle(log)
        path.rename(moved)
        between = append(log)
        log.reopen()
        after = append(log)
    assert uuids(moved) == before + between
    assert uuids(path) == after


def test_a_file_that_cannot_be_opened_again_leaves_the_one_that_is_open(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moved = path.with_suffix(".1")
    with CallLog(path, MASKED) as log:
        path.rename(moved)
        path.mkdir()
        log.reopen()
        calls = append(log)
    assert uuids(moved) == calls
    assert "it can't be opened again" in caplog.text


def test_standard_output_is_not_reopened() -> None:
    program = """
from pathlib import Path
from audiosocket_gw.ledger.call_log import CallLog
from audiosocket_gw.ledger.settings import CallerNumbers
from tests.ledger.calls import WHOLE_CALL, record_of
with CallLog(Path("-"), CallerNumbers.MASKED) as log:
    log.reopen()
    log.follow(WHOLE_CALL[-1], record_of())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["uuid"] == str(CALL)
    assert Path("-") == STANDARD_OUTPUT


# Disks


def test_a_full_disk_costs_records_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with CallLog(Path("/dev/full"), MASKED) as log:
        append(log, 100)
    assert log.losses.total == 100
    first, rest = caplog.messages
    why = "no call was harmed: No space left on device"
    assert first == f"CALL_LOG=/dev/full: 1 call record was lost, {why}"
    assert rest == f"CALL_LOG=/dev/full: 99 call records were lost, {why}"


def test_a_disk_that_takes_a_part_of_a_line_leaves_none(path: Path) -> None:
    """A limit of the file's size stands for the disk: the kernel writes what fits, and refuses the rest."""
    program = f"""
import resource
from pathlib import Path
from audiosocket_gw.ledger.call_log import CallLog
from audiosocket_gw.ledger.settings import CallerNumbers
from tests.ledger.calls import WHOLE_CALL, record_of
with CallLog(Path({str(path)!r}), CallerNumbers.MASKED) as log:
    for _ in range(20):
        log.follow(WHOLE_CALL[-1], record_of())
print(log.losses.total)
"""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=limit,
    )
    assert len(lines(path)) + int(done.stdout) == 20
    assert 0 < len(lines(path)) < 20


def test_a_frozen_disk_costs_the_records_that_do_not_fit_into_the_queue(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    thaw = threading.Event()

    def hang() -> None:
        assert thaw.wait(30)

    with CallLog(path, MASKED) as log:
        log._writer.submit(hang)
        append(log, LIMITS.jobs + 50)
        assert 45 <= log.losses.total <= 51
        thaw.set()
        settle(log)
    assert len(lines(path)) + log.losses.total == LIMITS.jobs + 50
    assert "its disk hangs" in caplog.text


# Readers


def test_a_fifo_may_have_no_reader_at_the_start_and_one_later(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(path)
    with CallLog(path, MASKED) as log:
        append(log)
        settle(log)
        assert "no one reads the FIFO" in caplog.text
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        (uuid,) = append(log)
        settle(log)
        assert json.loads(os.read(reader, 65_536))["uuid"] == uuid
        os.close(reader)
        append(log)
        settle(log)
        assert log.losses.total == 2
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        append(log)
    assert os.read(reader, 65_536).endswith(b"\n")
    os.close(reader)


def test_a_reader_that_stops_holds_up_no_one(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with CallLog(path, MASKED) as log:
        calls = append(log, LIMITS.jobs + 1_000)
        assert log.losses.total > 0
        received = b""
        while received.count(b"\n") + log.losses.total < len(calls):
            received += read_some(reader)
    os.close(reader)
    kept = [json.loads(line)["uuid"] for line in received.splitlines()]
    assert kept == [uuid for uuid in calls if uuid in set(kept)]
    assert "its reader has stopped" in caplog.text


def read_some(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except BlockingIOError:
        return b""


# A whole gateway


async def test_a_call_of_a_gateway_is_in_its_call_log(path: Path) -> None:
    async with running_gateway(call_log=path) as harness:
        line, _ = await harness.call()
        await line.__aexit__()
        ended = await harness.wait_for(CallEnded)
        await until(lambda: path.read_text())
    (logged,) = lines(path)
    assert (logged["uuid"], logged["state"]) == (str(ended.uuid), "ended")
    assert logged["end"] == {"reason": "caller-hangup", "detail": ended.detail}
    assert logged["duration_ms"] == ended.duration_ms


async def test_sighup_opens_the_file_again(path: Path) -> None:
    moved = path.with_suffix(".1")
    async with gateway_process("--agent", "simulator", CALL_LOG=str(path)) as gateway:
        for count, place in ((1, moved), (2, path)):
            async with await AsteriskPeer.open(gateway.address) as line:
                line.identify()
                await gateway.logs("agent connected", count)
            await until(lambda: uuids(path))
            assert uuids(path) == [str(line.uuid)]
            if place is moved:
                shutil.move(path, moved)
                gateway.send(signal.SIGHUP)
                await until(path.exists)
    assert len(uuids(moved)) == len(uuids(path)) == 1


async def test_a_gateway_that_is_killed_leaves_whole_lines(path: Path) -> None:
    ended = await calls_of_a_killed_gateway(lambda: uuids(path), CALL_LOG=str(path))
    assert set(uuids(path)) == ended
