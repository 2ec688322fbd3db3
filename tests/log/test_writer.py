"""The thread that writes the log, and its handler: callers never wait, and lost lines are counted."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from audiosocket_gw.log.formatter import LogFormat
from audiosocket_gw.log.handler import LogHandler
from audiosocket_gw.log.limit import BURST, ONCE, WINDOW_S, at_most
from audiosocket_gw.log.writer import DRAIN_S, MAX_WAITING, LineWriter
from tests.harness.clock import Clock
from tests.harness.waiting import PATIENCE, WAIT_LIMIT_S

CALL = UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
LINE = "x" * 999


class Pipe:
    """A pipe, of which the test reads as much as it likes."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.capacity = fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, 4096)

    def lines(self, until: str) -> list[str]:
        """Read until there is a line with these words in it."""
        data = b""
        while not re.search(until.encode() + rb".*\n", data):
            readable, _, _ = select.select([self.reading], [], [], WAIT_LIMIT_S * PATIENCE)
            assert readable, f"no line with {until!r} has come; there is only {data!r}"
            data += os.read(self.reading, 65_536)
        return data.decode().splitlines()

    def close(self) -> None:
        for descriptor in (self.reading, self.writing):
            try:
                os.close(descriptor)
            except OSError as error:
                assert error.errno == errno.EBADF


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


def dropped(lines: int, why: str) -> str:
    return f"{lines:,} log lines were dropped: {why}"


@pytest.fixture
def start() -> Iterator[Start]:
    started = []

    def starter(descriptor: int, drain_s: float = DRAIN_S) -> LineWriter:
        started.append(LineWriter(descriptor, lambda: None, dropped, drain_s=drain_s))
        started[-1].start()
        return started[-1]

    yield starter
    for one in started:
        one.close()


Start = Callable[..., LineWriter]


def until(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + WAIT_LIMIT_S * PATIENCE
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def test_lines_come_in_order(pipe: Pipe, start: Start) -> None:
    writer = start(pipe.writing)
    for number in range(3_000):
        writer.put(f"line {number}")
    assert pipe.lines("line 2999") == [f"line {number}" for number in range(3_000)]


def test_logging_never_waits_and_lost_lines_are_reported(pipe: Pipe, start: Start) -> None:
    writer = start(pipe.writing)
    for _ in range(5_000):
        writer.put(LINE)
    kept = pipe.lines("dropped")
    *lines, notice = kept
    assert lines == [LINE] * len(lines)
    assert MAX_WAITING // 1_000 <= len(lines) <= MAX_WAITING // 1_000 + pipe.capacity // 1_000 + 50
    assert writer.dropped_lines == 5_000 - len(lines)
    assert notice == dropped(5_000 - len(lines), "the reader of standard error is too slow")
    writer.put("it goes again")
    assert pipe.lines("it goes again") == ["it goes again"]


def test_lines_that_come_while_it_catches_up_follow_the_notice(pipe: Pipe, start: Start) -> None:
    writer = start(pipe.writing)
    for _ in range(2_000):
        writer.put(LINE)
    found = ""
    while writer._waiting > MAX_WAITING // 2:
        found += os.read(pipe.reading, 4096).decode()
        writer.put("dropped, too") if writer._waiting > MAX_WAITING * 0.6 else None
    writer.put("after")
    found += "\n".join(pipe.lines("after"))
    assert found.count("log lines were dropped") == 1
    assert found.index("log lines were dropped") < found.index("after")
    assert "dropped, too" not in found


def test_memory_is_bounded(pipe: Pipe, start: Start) -> None:
    writer = start(pipe.writing)
    for _ in range(100_000):
        writer.put(LINE)
    assert writer._waiting <= MAX_WAITING + len(LINE)
    os.close(pipe.reading)


def test_a_reader_that_is_gone_costs_the_lines_only(pipe: Pipe, start: Start) -> None:
    writer = start(pipe.writing)
    os.close(pipe.reading)
    for number in range(100):
        writer.put(f"{number}")
    until(lambda: writer._refused == 100)
    assert writer.close()


def test_a_disk_that_is_full_costs_the_lines_and_how_many_is_told(tmp_path: Path, start: Start) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    writer = start(descriptor)
    for count in (1, 2, 3):
        writer.put("lost")
        until(lambda count=count: writer._refused == count)  # type: ignore[misc]
    os.dup2(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT), descriptor)
    writer.put("there is room")
    assert writer.close()
    notice, line = (tmp_path / "log").read_text().splitlines()
    assert writer.dropped_lines == 3
    assert notice == dropped(3, "standard error failed: No space left on device")
    assert line == "there is room"


def test_a_descriptor_that_does_not_block(pipe: Pipe, start: Start) -> None:
    os.set_blocking(pipe.writing, False)
    writer = start(pipe.writing)
    for number in range(200):
        writer.put(f"{number} {LINE}")
    assert len(pipe.lines("199 x")) == 200


def test_close_writes_what_is_waiting(pipe: Pipe, start: Start) -> None:
    writer = start(pipe.writing)
    for number in range(1_000):
        writer.put(f"{number}")
    reader = threading.Timer(0.1, lambda: lines.extend(pipe.lines("^999|\n999")))
    lines: list[str] = []
    reader.start()
    assert writer.close()
    reader.join()
    assert lines == [f"{number}" for number in range(1_000)]


def test_close_gives_up_on_a_reader_that_does_not_read(pipe: Pipe, start: Start) -> None:
    writer = start(pipe.writing, drain_s=0.1)
    for _ in range(100):
        writer.put(LINE)
    assert not writer.close()
    os.close(pipe.reading)


def test_a_forked_child_writes_by_itself(tmp_path: Path) -> None:
    script = """
import logging, os, sys
from audiosocket_gw.log.setup import log_to_stderr
with log_to_stderr():
    logging.warning("parent")
    child = os.fork()
    logging.warning("child" if child == 0 else "parent again")
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        stderr=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    assert sorted(line[25:] for line in done.stderr.splitlines()) == [
        "WARNING root: child",
        "WARNING root: parent",
        "WARNING root: parent again",
    ]


# The handler


@pytest.fixture
def clock() -> Clock:
    return Clock(0)


@pytest.fixture
def handler(pipe: Pipe, clock: Clock) -> Iterator[LogHandler]:
    handler = LogHandler(pipe.writing, clock=clock)
    yield handler
    os.close(pipe.reading)
    handler.stop()


@pytest.fixture
def logger(handler: LogHandler) -> Iterator[logging.Logger]:
    logger = logging.getLogger("audiosocket_gw.for_tests")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.removeHandler(handler)


def test_a_flood_is_counted(pipe: Pipe, clock: Clock, logger: logging.Logger) -> None:
    for number in range(9_462):
        logger.warning("call %s: the agent reports: %s", CALL, number)
    clock.now = WINDOW_S
    lines = pipe.lines("more like this")  # without another line: the thread sees to it
    assert len(lines) == BURST + 1
    assert (
        lines[-1][25:] == f"WARNING call {CALL}: the agent reports: ... ... and 9,412 more like this in 10 s"
    )
    logger.warning("call %s: the agent reports: %s", CALL, "again")
    assert len(pipe.lines("again")) == 1


def test_what_repeats_is_said_once_with_a_count(pipe: Pipe, clock: Clock, logger: logging.Logger) -> None:
    for number in range(34):
        logger.warning("the process was blocked for %.0f ms", number, extra=ONCE)
        for pbx in ("10.0.0.5:5038", "10.0.0.6:5038"):
            logger.warning("%s: no connection: %s", pbx, number, extra=at_most(1, pbx))
    clock.now = WINDOW_S
    lines = pipe.lines("10.0.0.6:5038: no connection: ... .*more like this")
    assert [line[25:] for line in lines] == [
        "WARNING the process was blocked for 0 ms",
        "WARNING 10.0.0.5:5038: no connection: 0",
        "WARNING 10.0.0.6:5038: no connection: 0",
        "WARNING the process was blocked for ... ms ... and 33 more like this in 10 s",
        "WARNING 10.0.0.5:5038: no connection: ... ... and 33 more like this in 10 s",
        "WARNING 10.0.0.6:5038: no connection: ... ... and 33 more like this in 10 s",
    ]


def test_counts_are_objects_too(
    pipe: Pipe, handler: LogHandler, clock: Clock, logger: logging.Logger
) -> None:
    handler.log_format = LogFormat.JSON
    for _ in range(3):
        logger.warning("call %s: key pressed", CALL, extra=ONCE)
    clock.now = WINDOW_S
    *_, held_back = map(json.loads, pipe.lines("more like this"))
    del held_back["time"]
    assert held_back == {
        "level": "WARNING",
        "logger": "audiosocket_gw.for_tests",
        "call": str(CALL),
        "message": "key pressed ... and 2 more like this in 10 s",
        "more": 2,
    }


def test_what_was_held_back_is_told_at_the_end(
    pipe: Pipe, handler: LogHandler, logger: logging.Logger
) -> None:
    for _ in range(BURST + 2):
        logger.warning("again")
    assert handler.stop()
    assert pipe.lines("more")[-1][25:] == "WARNING again ... and 2 more like this in 10 s"


def test_debug_has_no_limit(pipe: Pipe, logger: logging.Logger) -> None:
    for number in range(BURST * 3):
        logger.debug("line %d", number)
    assert len(pipe.lines(f"line {BURST * 3 - 1}")) == BURST * 3


def test_a_line_that_cannot_be_made_is_reported_and_harms_no_one(
    pipe: Pipe, handler: LogHandler, capsys: pytest.CaptureFixture[str]
) -> None:
    handler.handle(logging.LogRecord("audiosocket_gw", 30, "call.py", 7, "%d calls", ("no",), None))
    assert pipe.lines("formatted")[0].endswith(" ERROR a log line can't be formatted, TypeError: call.py:7")
    assert capsys.readouterr().err == ""


def test_a_value_that_changes_afterwards_is_shown_as_it_was(pipe: Pipe, logger: logging.Logger) -> None:
    value = ["before"]
    logger.warning("%s", value)
    value[0] = "after"
    assert pipe.lines("WARNING")[0].endswith("['before']")
