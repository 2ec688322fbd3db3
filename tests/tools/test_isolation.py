"""One tool that misbehaves leaves the others, and the calls, what they need."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from audiosocket_gw.runtime.event_loop import GatewayEventLoop
from audiosocket_gw.settings import GatewaySettings, Settings
from audiosocket_gw.tools import ToolContext, ToolError, ToolRegistry, ToolResult
from audiosocket_gw.tools.result import MAX_RESULT_CHARS, agent_text, text_of
from audiosocket_gw.tools.workers import opened_tools
from tests.harness.waiting import until

CALL = UUID("0d9f3c1e-6f0f-4c3a-9d53-3f6f2a7c1b55")
CONTEXT = ToolContext(CALL, httpx.AsyncClient())
PLACES = 3


def load(directory: Path, source: str, *, max_running: int = PLACES, timeout_s: float = 60) -> ToolRegistry:
    (directory / "mine.py").write_text(source)
    registry = ToolRegistry(timeout_s, max_running=max_running)
    registry.load(directory)
    return registry


WAITING = '''
import asyncio, threading

answer = threading.Event()
hanging = []

def _wait() -> bool:
    hanging.append(threading.get_ident())
    return answer.wait(60)

async def hang() -> bool:
    """Wait in a thread."""
    return await asyncio.to_thread(_wait)

async def other() -> str:
    """Work in a thread."""
    return await asyncio.to_thread(str, "done")

async def release() -> None:
    """Let them go on."""
    answer.set()
'''


async def call(registry: ToolRegistry, name: str, **parameters: Any) -> ToolResult:
    return await registry.call(name, parameters, CONTEXT)


async def test_more_than_so_many_runs_are_answered_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = load(tmp_path, WAITING)
    running = [asyncio.create_task(call(registry, "hang")) for _ in range(PLACES)]
    await asyncio.sleep(0)
    busy = await call(registry, "hang")
    assert busy.is_error
    assert busy.text.startswith("hang is busy. Don't say that it worked.")
    assert (
        f"call {CALL}: tool hang was not started: it runs 3 times at once (TOOL_MAX_RUNNING)" in caplog.text
    )
    assert (await call(registry, "other")).text == "done"
    await call(registry, "release")
    assert {answer.text for answer in await asyncio.gather(*running)} == {"true"}
    assert (await call(registry, "hang")).text == "true"


async def test_threads_that_hang_are_those_of_their_tool(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their runs are over, cancelled; the threads can't be stopped."""
    registry = load(tmp_path, WAITING)
    running = [asyncio.create_task(call(registry, "hang")) for _ in range(PLACES)]
    await until(lambda: len(sys.modules["tools_dir.mine"].hanging), lambda count: count == PLACES)
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    try:
        assert (await call(registry, "hang")).text.startswith("hang is busy.")
        assert "all its threads are busy" in caplog.text
        assert (await call(registry, "other")).text == "done"
        assert await asyncio.to_thread(str, "the gateway's own") == "the gateway's own"
    finally:
        await call(registry, "release")

    async def again() -> bool:
        return not (await call(registry, "hang")).is_error

    while not await again():
        await asyncio.sleep(0.01)


async def test_idle_threads_end_with_the_gateway(tmp_path: Path) -> None:
    """Otherwise the process would take them for work that hangs, and report that it abandons it."""
    (tmp_path / "mine.py").write_text(WAITING)
    settings = Settings(tools_dir=tmp_path)
    others = set(threading.enumerate())  # other tests leave some

    def its_threads() -> list[str]:
        threads = set(threading.enumerate()) - others
        return [thread.name for thread in threads if thread.name.startswith("tool other")]

    async with opened_tools(GatewaySettings.of(settings).tools, None) as registry:
        await call(registry, "other")
        assert its_threads()
    await until(its_threads, lambda names: not names)


STUBBORN = '''
import asyncio

stop = asyncio.Event()

async def stubborn() -> None:
    """Don't stop."""
    while not stop.is_set():
        try:
            await stop.wait()
        except asyncio.CancelledError:
            pass

async def unstoppable() -> None:
    """Wait for a task that doesn't stop."""
    await asyncio.create_task(stubborn())

async def release() -> None:
    """Let them end."""
    stop.set()
'''


@pytest.mark.virtual_time
async def test_a_tool_that_swallows_its_cancellation_is_closed(tmp_path: Path) -> None:
    registry = load(tmp_path, STUBBORN, timeout_s=5)
    before = asyncio.all_tasks()
    for _ in range(2 * PLACES):
        assert "took longer than 5 seconds" in (await call(registry, "stubborn")).text
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


@pytest.mark.virtual_time
async def test_an_abandoned_run_gives_its_place_back_but_not_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = load(tmp_path, STUBBORN, max_running=2, timeout_s=5)
    for _ in range(2):
        assert "took longer than 5 seconds" in (await call(registry, "unstoppable")).text
    assert (await call(registry, "unstoppable")).text.startswith("unstoppable is busy.")
    assert "2 runs of it were cancelled and don't stop" in caplog.text
    await call(registry, "release")
    await asyncio.sleep(1)
    assert not (await call(registry, "unstoppable")).is_error


ENDING = '''
import asyncio, sys

async def interrupt() -> None:
    """Raise it."""
    raise KeyboardInterrupt

async def stray() -> str:
    """Start a task that ends the loop."""
    async def leave() -> None:
        sys.exit(3)
    asyncio.create_task(leave())
    await asyncio.sleep(0.01)
    return "still here"

async def stop() -> str:
    """Stop the loop."""
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return "still here"
'''


async def test_a_tool_that_raises_keyboard_interrupt_fails(tmp_path: Path) -> None:
    assert (await call(load(tmp_path, ENDING), "interrupt")).text.startswith("interrupt failed")


async def test_a_tool_that_stops_the_loop_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert (await call(load(tmp_path, ENDING), "stop")).text == "still here"
    assert "tool stop tried to stop the event loop" in caplog.text


def test_a_task_of_a_tool_that_exits_is_reported_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with asyncio.Runner(loop_factory=GatewayEventLoop) as runner:
        assert runner.run(call(load(tmp_path, ENDING), "stray")).text == "still here"
    assert "SystemExit in a task that tool stray started" in caplog.text


# Blocking


BLOCKING = '''
import threading

reported = threading.Event()

def _query() -> bool:
    return reported.wait(60)

async def block() -> bool:
    """Block until it has been reported."""
    return _query()
'''


async def test_a_tool_is_named_while_it_blocks(tmp_path: Path) -> None:
    registry = load(tmp_path, BLOCKING)
    reported = sys.modules["tools_dir.mine"].reported
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "is blocking" in record.getMessage():
                lines.append(record.getMessage())
                reported.set()

    handler = Handler()
    logging.getLogger("audiosocket_gw.tools").addHandler(handler)
    try:
        assert (await call(registry, "block")).text == "true"
    finally:
        logging.getLogger("audiosocket_gw.tools").removeHandler(handler)
    (line,) = lines
    assert line.startswith(
        "tool block is blocking the gateway, and with it the audio of every call, in wait (threading.py:"
    )
    assert "called by _query (mine.py:7), called by block (mine.py:11): use libraries with await" in line


async def test_the_watch_ends_with_the_last_tool(tmp_path: Path) -> None:
    await call(load(tmp_path, WAITING), "release")

    def watching() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "tools' watch"]

    await until(watching, lambda threads: not threads)


# Results


def test_a_huge_text_is_cut_before_it_is_copied() -> None:
    text = "x" * 20_000_000
    tracemalloc.start()
    try:
        shown = agent_text(text_of("give", text), "")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert shown.startswith("x" * MAX_RESULT_CHARS + " [cut here: 19992000 more characters")
    assert peak < 500_000


class _Counted(dict[int, str]):
    """Counts what is read of it."""

    read = 0

    def items(self) -> Any:
        for item in super().items():
            type(self).read += 1
            yield item


@pytest.mark.parametrize("value", [["x" * 2**20], [["x"] * 1_000] * 1_000, {"a": {"b": ["y" * 2**21]}}])
def test_a_huge_object_is_not_converted(value: object) -> None:
    with pytest.raises(ToolError, match="The result of give is far too large"):
        text_of("give", value)


def test_no_more_is_read_of_a_huge_object_than_needed() -> None:
    with pytest.raises(ToolError):
        text_of("give", _Counted(dict.fromkeys(range(1_000_000), "x")))
    assert _Counted.read < 50_000


def test_an_endless_result_is_an_error() -> None:
    def numbers() -> Iterator[int]:
        while True:
            yield 1

    with pytest.raises(TypeError, match="may never end"):
        text_of("give", numbers())
