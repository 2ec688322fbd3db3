"""Tools in worker processes: they may hang, block and crash."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.tools import ToolContext, ToolError, ToolRegistry, ToolResult
from audiosocket_gw.tools.builtin import CallActions, CallToolContext
from audiosocket_gw.tools.settings import ToolSettings, ToolsIsolation
from audiosocket_gw.tools.workers import opened_tools
from tests.harness.waiting import until

CALL = UUID("0d9f3c1e-6f0f-4c3a-9d53-3f6f2a7c1b55")
CONTEXT = ToolContext(CALL, httpx.AsyncClient(), {"number": "4711"})

TOOLS = '''
import asyncio, os, subprocess, sys, time
from contextlib import suppress
from audiosocket_gw.tools import ToolContext, ToolError, tool
from audiosocket_gw.tools.builtin import CallToolContext

async def double(number: int) -> int:
    """Double it.

    Args:
        number: The number.
    """
    return 2 * number

async def who(context: ToolContext) -> str:
    """Tell who calls."""
    return f"{context.uuid} {context.caller['number']}"

async def refuse() -> None:
    """Refuse."""
    raise ToolError("Closed today.")

async def crash() -> None:
    """Crash in Python."""
    raise RuntimeError("password=hunter2")

async def process(seconds: float = 0) -> int:
    """Tell the process, after a time.

    Args:
        seconds: How long.
    """
    await asyncio.sleep(seconds)
    return os.getpid()

@tool(timeout_s=1)
async def block(path: str) -> None:
    """Block for ever.

    Args:
        path: Where the process is written.
    """
    child = subprocess.Popen(["sleep", "600"])
    with open(path, "w") as file:
        file.write(f"{os.getpid()} {child.pid}\\n")
    while True:
        time.sleep(600)

async def leave() -> None:
    """End the process."""
    os._exit(3)

async def descriptors() -> list[str]:
    """List the open descriptors."""
    found = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return [os.readlink(path) for path in found if os.path.lexists(path)]

async def babble() -> None:
    """Write to the gateway, as a tool that writes to a wrong descriptor does."""
    for number in map(int, os.listdir("/proc/self/fd")):
        if os.path.lexists(f"/proc/self/fd/{number}") and "socket" in os.readlink(f"/proc/self/fd/{number}"):
            with suppress(OSError):
                os.write(number, b"[" * 100_000 + b"\\n")

async def put_through(context: CallToolContext, extension: str) -> str:
    """Transfer the caller.

    Args:
        extension: Where.
    """
    try:
        return await context.call.transfer(extension, None, None)
    except ToolError as error:
        return f"not possible: {error}"

async def forever() -> None:
    """Wait."""
    await asyncio.Event().wait()
'''


def settings(directory: Path, *, workers: int = 2, max_running: int = 8) -> ToolSettings:
    return ToolSettings(
        tools_dir=directory,
        tool_timeout=30,
        tool_max_running=max_running,
        tools_isolation=ToolsIsolation.PROCESS,
        tools_workers=workers,
    )


@asynccontextmanager
async def tools(directory: Path, **more: int) -> AsyncIterator[ToolRegistry]:
    (directory / "mine.py").write_text(TOOLS)
    async with opened_tools(settings(directory, **more), None) as registry:
        yield registry


async def call(registry: ToolRegistry, name: str, **parameters: Any) -> ToolResult:
    return await registry.call(name, parameters, CONTEXT)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state != "Z"


async def two_processes(registry: ToolRegistry) -> set[str]:
    """Return the processes of two tools at the same time, as soon as there are two workers."""
    while True:
        answers = await asyncio.gather(*(call(registry, "process", seconds=0.1) for _ in range(2)))
        found = {answer.text for answer in answers}
        if len(found) == 2 and not any(answer.is_error for answer in answers):
            return found


async def test_a_tool_in_a_worker_is_a_tool_as_any_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with tools(tmp_path) as registry:
        assert registry.names[:3] == ("avr_transfer", "avr_hangup", "double")
        names = [config["tool_config"]["name"] for config in registry.elevenlabs_configs()]
        assert names == list(registry.names)
        assert await call(registry, "double", number="21") == ToolResult("42", is_error=False)
        assert (await call(registry, "double")).text.startswith("The arguments are wrong. number: ")
        assert (await call(registry, "who")).text == f"{CALL} 4711"
        assert await call(registry, "refuse") == ToolResult("Closed today.", is_error=True)
        assert (await call(registry, "crash")).text.startswith("crash failed for a technical reason.")
        assert (await call(registry, "process")).text != str(os.getpid())
    written = capfd.readouterr().err
    assert f"call {CALL}: tool crash failed" in written
    assert "RuntimeError" in written
    assert "password=***" in written


async def test_a_worker_imports_nothing_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which others may be able to write to, such as /tmp."""
    directory, work = tmp_path / "tools", tmp_path / "work"
    directory.mkdir()
    work.mkdir()
    (work / "httpx.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(work)
    async with tools(directory, workers=1) as registry:
        assert (await call(registry, "double", number=1)).text == "2"


@pytest.mark.parametrize(("mode", "told"), [(0o755, False), (0o770, False), (0o777, True)])
@pytest.mark.parametrize("isolation", ToolsIsolation)
async def test_tools_that_anybody_may_change_are_told(
    tmp_path: Path, mode: int, told: bool, isolation: ToolsIsolation, caplog: pytest.LogCaptureFixture
) -> None:
    os.chmod(tmp_path, mode)  # noqa: PTH101
    async with opened_tools(replace(settings(tmp_path, workers=1), tools_isolation=isolation), None):
        pass
    line = f"TOOLS_DIR={tmp_path}: every user of this machine may add or remove files there (mode 777)"
    assert [message.startswith(line) for message in caplog.messages] == [True] * told


async def test_a_hung_tool_is_killed_with_its_children_and_no_other_tool_notices(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with tools(tmp_path) as registry:
        await two_processes(registry)
        other = asyncio.create_task(call(registry, "process", seconds=5))
        hung = await call(registry, "block", path=str(tmp_path / "pids"))
        assert hung.is_error
        assert hung.text.startswith("block took too long and was stopped. Don't say that it worked.")
        pids = list(map(int, (tmp_path / "pids").read_text().split()))
        await until(lambda: list(map(is_running, pids)), lambda running: not any(running))
        assert f"call {CALL}: tool block hangs: its worker process {pids[0]} is killed" in caplog.text
        assert not (await other).is_error
        assert str(pids[0]) not in await two_processes(registry)
    assert "worker process ended (the tool block hung); it is replaced" in caplog.text


@pytest.fixture
def inherits_orphans() -> Iterator[None]:
    """Make this process the parent of orphans, as process 1 of a container is."""
    prctl, set_child_subreaper = ctypes.CDLL(None).prctl, 36
    prctl(set_child_subreaper, 1)
    yield
    prctl(set_child_subreaper, 0)


@pytest.mark.usefixtures("inherits_orphans")
async def test_a_killed_worker_leaves_no_zombies(tmp_path: Path) -> None:
    async with tools(tmp_path, workers=1) as registry:
        assert (await call(registry, "block", path=str(tmp_path / "pids"))).is_error
        pids = (tmp_path / "pids").read_text().split()
        await until(lambda: [Path("/proc", pid).exists() for pid in pids], lambda there: not any(there))


async def test_a_worker_that_is_blocked_gets_no_tool(tmp_path: Path) -> None:
    async with tools(tmp_path) as registry:
        await two_processes(registry)
        hung = asyncio.create_task(call(registry, "block", path=str(tmp_path / "pids")))
        await until((tmp_path / "pids").exists, bool)
        answers = await asyncio.gather(*(call(registry, "process") for _ in range(4)))
        assert len({answer.text for answer in answers}) == 1
        assert not any(answer.is_error for answer in answers)
        assert not hung.done()
        hung.cancel()
        await asyncio.wait([hung])


async def test_without_a_worker_that_answers_a_tool_is_busy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with tools(tmp_path, workers=1) as registry:
        hung = asyncio.create_task(call(registry, "block", path=str(tmp_path / "pids")))
        await until((tmp_path / "pids").exists, bool)
        assert (await call(registry, "process")).text.startswith("process is busy. Don't say that it worked.")
        assert "none of the 1 worker processes answers (TOOLS_WORKERS)" in caplog.text
        assert (await hung).is_error
        while (await call(registry, "process")).is_error:
            await asyncio.sleep(0.1)


async def test_a_crash_ends_the_tools_of_one_worker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with tools(tmp_path) as registry:
        await two_processes(registry)
        waiting = asyncio.create_task(call(registry, "process", seconds=2))
        await asyncio.sleep(0.3)
        assert (await call(registry, "leave")).text.startswith("leave failed for a technical reason.")
        assert not (await waiting).is_error
        await until(lambda: caplog.text, lambda text: "ended (exit status 3); it is replaced" in text)
        await two_processes(registry)


async def test_the_end_of_a_call_cancels_its_tool_and_no_worker_is_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with tools(tmp_path, workers=1) as registry:
        pid = (await call(registry, "process")).text
        running = [asyncio.create_task(call(registry, "forever")) for _ in range(3)]
        await asyncio.sleep(0.3)
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        await asyncio.sleep(2)
        assert (await call(registry, "process")).text == pid
    assert "killed" not in caplog.text


async def test_a_worker_that_sends_nonsense_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with tools(tmp_path, workers=1) as registry:
        assert (await call(registry, "babble")).is_error
        while (await call(registry, "process")).is_error:
            await asyncio.sleep(0.1)
    assert "ended (it sent an invalid report: RecursionError" in caplog.text


async def test_parameters_that_can_not_be_sent_leave_the_worker_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deep: list[Any] = []
    for _ in range(100_000):  # Python 3.14 encodes 10,000 levels
        deep = [deep]
    async with tools(tmp_path, workers=1) as registry:
        pid = (await call(registry, "process")).text
        with pytest.raises(RecursionError):
            await call(registry, "block", path=deep)  # its deadline is a second
        await asyncio.sleep(4)
        assert (await call(registry, "process")).text == pid
    assert "killed" not in caplog.text


async def test_so_many_runs_of_a_tool_in_all_workers_together(tmp_path: Path) -> None:
    async with tools(tmp_path, max_running=3) as registry:
        answers = await asyncio.gather(*(call(registry, "process", seconds=0.5) for _ in range(5)))
        assert [answer.is_error for answer in answers] == [False, False, False, True, True]
        assert answers[-1].text.startswith("process is busy.")


async def test_a_worker_has_no_sockets_but_its_own(tmp_path: Path) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0), tools(tmp_path) as registry:
        found = (await call(registry, "descriptors")).text
    # its own, and the two of its event loop and its signals' socket pair
    assert found.count("socket:") <= 3
    assert ".sock" not in found


async def test_a_tool_acts_on_its_call(tmp_path: Path) -> None:
    asked: list[tuple[str, str | None, str | None]] = []

    async def transfer(extension: str, context: str | None, priority: str | None) -> str:
        asked.append((extension, context, priority))
        if extension == "nowhere":
            raise ToolError("no such extension")
        return "The transfer begins."

    async def hang_up() -> str:
        return ""

    context = CallToolContext(uuid=CALL, http=CONTEXT.http, call=CallActions(transfer, hang_up))
    async with tools(tmp_path) as registry:
        done = await registry.call("put_through", {"extension": "601"}, context)
        assert done == ToolResult("The transfer begins.", is_error=False)
        refused = await registry.call("put_through", {"extension": "nowhere"}, context)
        assert refused.text == "not possible: no such extension"
    assert asked == [("601", None, None), ("nowhere", None, None)]


async def test_hundreds_of_tools_are_declared(tmp_path: Path) -> None:
    one = 'async def tool_{0}() -> int:\n    """{1}"""\n    return {0}\n'
    (tmp_path / "many.py").write_text("\n".join(one.format(number, "Do it. " * 100) for number in range(400)))
    async with opened_tools(settings(tmp_path, workers=1), None) as registry:
        assert len(registry.names) == 402
        assert (await call(registry, "tool_399")).text == "399"


async def test_what_is_wrong_is_told_as_without_workers(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = (\n")
    (tmp_path / "b.py").write_text("async def silent() -> None: ...\n")
    with pytest.raises(ConfigurationError) as refused:
        async with opened_tools(settings(tmp_path), None):
            pass
    first, second = str(refused.value).splitlines()
    assert first.startswith(f"TOOLS_DIR={tmp_path}: a.py: can't be imported, line 1")
    assert second.startswith(f"TOOLS_DIR={tmp_path}: b.py: silent has no docstring")


async def test_a_file_that_ends_the_process_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import os\nos._exit(0)\n")
    with pytest.raises(
        ConfigurationError, match=r"TOOLS_DIR: the worker process \d+ did not import the tools"
    ):
        async with opened_tools(settings(tmp_path), None):
            pass


GATEWAY = """
import asyncio, sys
from pathlib import Path
from audiosocket_gw.runtime.event_loop import GatewayEventLoop
from tests.tools.test_workers import call, tools, two_processes

async def main():
    async with tools(Path(sys.argv[1])) as registry:
        pids = await two_processes(registry)
        if sys.argv[2] == "block":
            asyncio.create_task(call(registry, "block", path=sys.argv[1] + "/pids"))
            await asyncio.sleep(0.5)
        print(*pids, flush=True)
        await asyncio.to_thread(sys.stdin.read)

with asyncio.Runner(loop_factory=GatewayEventLoop) as runner:
    runner.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, None])
@pytest.mark.parametrize("what", ["idle", "block"])
def test_no_worker_outlives_its_gateway(how: signal.Signals | None, what: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(GATEWAY), str(tmp_path), what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    ) as gateway:
        assert gateway.stdout is not None
        assert gateway.stdin is not None
        pids = list(map(int, gateway.stdout.readline().split()))
        assert len(pids) == 2
        assert all(map(is_running, pids))
        if how is not None:
            gateway.send_signal(how)
        gateway.stdin.close()
        gateway.wait(30)

    async def gone() -> None:
        await until(lambda: list(map(is_running, pids)), lambda running: not any(running))

    asyncio.run(gone())
    if what == "block" and how is not None:  # the tool's own child stays
        for pid in map(int, (tmp_path / "pids").read_text().split()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
