"""Signals and the end of the process, with a call up: real processes, real signals."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from audiosocket_gw.testing.simulator import SimulatedAgent, Simulator
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.gateway import MANUAL
from tests.harness.gateway_process import GatewayProcess, gateway_process, is_listened_on
from tests.harness.waiting import until

STOPPING = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGPWR]

IGNORED = [
    *(signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF),
    *(signal.SIGIO, signal.SIGXCPU, signal.SIGRTMIN, signal.SIGRTMAX),
]

TOOLS = '''
import asyncio, multiprocessing, sys, time

async def swallow() -> str:
    """Never stop."""
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass

async def hang() -> str:
    """Hang in a thread."""
    await asyncio.to_thread(time.sleep, 600)
    return ""

async def block() -> str:
    """Hold the event loop up."""
    time.sleep(600)
    return ""

async def fork() -> str:
    """Start a process, and return its number."""
    started = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    started.start()
    return str(started.pid)

async def interrupt() -> str:
    """Raise what ends programs."""
    raise KeyboardInterrupt

async def leave() -> str:
    """Raise what ends programs, in a thread."""
    await asyncio.to_thread(sys.exit, 3)
    return ""
'''


@dataclass
class GatewayInCall:
    """A gateway as a process, and its one call."""

    process: GatewayProcess
    line: AsteriskPeer
    agent: SimulatedAgent

    async def goes_on(self) -> None:
        """Wait for ten frames more, 200 ms of the call."""
        wanted = len(self.line.frames) + 10

        def has_gone_on() -> bool:
            assert not self.line.ended.is_set(), self.process.log
            return len(self.line.frames) >= wanted

        await until(has_gone_on, show=lambda _: f"{self.line}; {self.process.log}", every_s=0.02)


@asynccontextmanager
async def up(tmp_path: Path, *prefix: str, **settings: str) -> AsyncIterator[GatewayInCall]:
    """Run a gateway with a call up; the agent is the test's."""
    (tmp_path / "mine.py").write_text(TOOLS)
    async with Simulator(MANUAL) as simulator:
        environment = {
            "ELEVENLABS_BASE_URL": simulator.base_url,
            "ELEVENLABS_AGENT_ID": "agent",
            "TOOLS_DIR": str(tmp_path),
        }
        async with (
            gateway_process(prefix=prefix, **(environment | settings)) as process,
            await AsteriskPeer.open(process.address) as line,
        ):
            line.identify()
            agent = await simulator.wait_for_conversation(1)
            await process.logs("agent connected")
            yield GatewayInCall(process, line, agent)


async def test_signals_that_would_kill_are_ignored_with_a_line(tmp_path: Path) -> None:
    async with up(tmp_path) as gateway:
        for number in IGNORED:
            gateway.process.send(number)
            await gateway.process.logs(f"{signal.Signals(number).name} ignored")
        gateway.process.send(signal.SIGRTMIN + 5)
        await gateway.process.logs(f"signal {signal.SIGRTMIN + 5} ignored")
        await gateway.goes_on()


@pytest.mark.parametrize("number", STOPPING)
async def test_signals_that_drain(tmp_path: Path, number: signal.Signals) -> None:
    async with up(tmp_path) as gateway:
        gateway.process.send(number)
        await gateway.process.logs(f"{number.name}: stopping")
        await gateway.goes_on()
        gateway.line.writer.close()
        assert await gateway.process.status() == 0


@pytest.mark.parametrize("number", STOPPING)
async def test_second_signal_ends_the_process(tmp_path: Path, number: signal.Signals) -> None:
    async with up(tmp_path, DRAIN_TIMEOUT="600") as gateway:
        gateway.process.send(signal.SIGTERM)
        await gateway.process.logs("stopping")
        gateway.process.send(number)
        assert await gateway.process.status() == 128 + number
        await gateway.line.ended.wait()
        assert gateway.line.reset, "an end that isn't in order must not look like one"
        await asyncio.sleep(0.1)
        assert f"{number.name} again: ending the process at once" in gateway.process.log


async def test_drain_timeout_of_centuries_is_waited_for(tmp_path: Path) -> None:
    async with up(tmp_path, DRAIN_TIMEOUT="1e10") as gateway:
        gateway.process.send(signal.SIGTERM)
        await gateway.process.logs("have 1e+10 s to finish")
        await gateway.goes_on()
        gateway.line.writer.close()
        assert await gateway.process.status() == 0
        assert "ERROR" not in gateway.process.log


def only_child(parent: int) -> int:
    return int(Path(f"/proc/{parent}/task/{parent}/children").read_text())


async def test_second_signal_ends_process_1(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("to be process 1 needs root and unshare")
    async with up(tmp_path, "unshare", "-pf", "--kill-child", DRAIN_TIMEOUT="600") as gateway:
        child = only_child(gateway.process.pid)
        os.kill(child, signal.SIGTERM)
        await gateway.process.logs("stopping")
        await gateway.goes_on()
        os.kill(child, signal.SIGTERM)
        assert await gateway.process.status() == 128 + signal.SIGTERM


async def test_killed_process_resets_its_connections(tmp_path: Path) -> None:
    async with up(tmp_path) as gateway:
        gateway.process.kill()
        await gateway.line.ended.wait()
        assert gateway.line.reset
        assert not gateway.line.hung_up


async def test_forked_process_keeps_neither_connections_nor_the_port_of_a_killed_one(tmp_path: Path) -> None:
    async with up(tmp_path) as gateway:
        call = await gateway.agent.call_tool("fork", {})
        await call.answered.wait()
        assert call.result is not None
        await gateway.goes_on()
        gateway.process.kill()
        try:
            await gateway.line.ended.wait()
            assert gateway.line.reset
            while await is_listened_on(gateway.line.writer.get_extra_info("peername")):
                await asyncio.sleep(0.02)
        finally:  # it has the log open, too
            os.kill(int(call.result.result), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["swallow", "hang", "block"])
async def test_a_stop_is_orderly_whatever_tools_in_processes_do(tmp_path: Path, tool: str) -> None:
    async with up(tmp_path, DRAIN_TIMEOUT="0.5", TOOLS_ISOLATION="process") as gateway:
        await gateway.agent.call_tool(tool, {})
        await gateway.process.logs("agent calls tool")
        await asyncio.sleep(0.3)
        await gateway.goes_on()
        gateway.process.send(signal.SIGTERM)
        assert await gateway.process.status() == 1
        assert gateway.line.hung_up
        assert "abandoned what did not stop" not in gateway.process.log
        assert "ending the process now" not in gateway.process.log


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["swallow", "hang", "block"])
async def test_a_stop_ends_whatever_tools_do(tmp_path: Path, tool: str) -> None:
    async with up(tmp_path, DRAIN_TIMEOUT="0.5", RECORD_DIR=str(tmp_path / "records")) as gateway:
        await gateway.agent.call_tool(tool, {})
        await gateway.process.logs("agent calls tool" if tool != "block" else "connected")
        await asyncio.sleep(0.3)
        gateway.process.send(signal.SIGTERM)
        assert await gateway.process.status() == 1
        await asyncio.sleep(0.1)
        if tool == "block":
            assert "ending the process now" in gateway.process.log
            return
        assert gateway.line.hung_up
        # The second on a machine so busy that the time limit of the whole stop comes first.
        assert re.search("abandoned|ending the process now", gateway.process.log)
        (text,) = (tmp_path / "records").glob("*.jsonl")
        assert "drained" in text.read_text().splitlines()[-1]


async def test_a_stop_does_not_wait_for_what_is_queued(tmp_path: Path) -> None:
    async with up(tmp_path, DRAIN_TIMEOUT="0.5") as gateway:
        for _ in range(60):
            await gateway.agent.send_audio(bytes(range(1, 251)) * 128)  # 2 s
        await gateway.agent.connection.close(1000)
        gateway.process.send(signal.SIGTERM)
        assert await gateway.process.status() == 1
        assert gateway.line.hung_up
        assert not gateway.line.reset
        assert len(gateway.line.heard) < 60 * 16_000


@pytest.mark.parametrize("tool", ["interrupt", "leave"])
async def test_tool_that_raises_what_ends_programs_has_failed(tmp_path: Path, tool: str) -> None:
    async with up(tmp_path) as gateway:
        call = await gateway.agent.call_tool(tool, {})
        await call.answered.wait()
        assert call.result is not None
        assert call.result.is_error
        await gateway.goes_on()
