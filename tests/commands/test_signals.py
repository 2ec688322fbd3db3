"""SIGHUP, SIGUSR1 and a closed terminal, with calls up: real processes, real signals."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from audiosocket_gw.testing.simulator import SimulatedAgent, Simulator
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.gateway import MANUAL
from tests.harness.gateway_process import GatewayProcess, gateway_process, is_listened_on
from tests.harness.waiting import until


def tools(version: str, extra: str = "") -> str:
    return f'''
import asyncio

async def version() -> str:
    """Tell the version."""
    return "{version}"

async def slow() -> str:
    """Take a second."""
    await asyncio.sleep(1)
    return "slow {version}"
{extra}'''


@dataclass
class Gateway:
    """A gateway as a process in a folder of its own, and its calls."""

    process: GatewayProcess
    simulator: Simulator
    folder: Path
    calls: list[tuple[AsteriskPeer, SimulatedAgent]] = field(default_factory=list)
    reloads: int = 0

    async def call(self) -> tuple[AsteriskPeer, SimulatedAgent]:
        line = await AsteriskPeer.open(self.process.address)
        line.identify()
        number = len(self.calls) + 1
        agent = await self.simulator.wait_for_conversation(number)
        await self.process.logs("agent connected", number)
        self.calls.append((line, agent))
        return line, agent

    async def reload(self, words: str = "SIGHUP: reloaded", times: int = 1) -> str:
        """Send SIGHUP; return the line that says what came of it."""
        seen = len(self.process.log)
        for _ in range(times):
            self.process.send(signal.SIGHUP)
        await until(lambda: words in self.process.log[seen:], show=lambda _: self.process.log)
        return next(line for line in self.process.log[seen:].splitlines() if words in line)

    async def all_go_on(self) -> None:
        for line, _ in self.calls:
            wanted = len(line.frames) + 10
            assert not line.ended.is_set(), self.process.log
            await line.receives(wanted)

    def env(self, **settings: str) -> None:
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


@asynccontextmanager
async def up(tmp_path: Path, **settings: str) -> AsyncIterator[Gateway]:
    """Run a gateway in ``tmp_path``, where its .env is."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "mine.py").write_text(tools("1"))
    async with Simulator(MANUAL) as simulator:
        environment = {
            "ELEVENLABS_BASE_URL": simulator.base_url,
            "ELEVENLABS_AGENT_ID": "agent",
            "TOOLS_DIR": "tools",
        }
        prefix = ("env", "-C", str(tmp_path))
        async with gateway_process(prefix=prefix, **(environment | settings)) as process:
            gateway = Gateway(process, simulator, tmp_path)
            yield gateway
            for line, _ in gateway.calls:
                line.writer.close()


async def result_of(agent: SimulatedAgent, tool: str) -> str:
    called = await agent.call_tool(tool, {})
    await called.answered.wait()
    assert called.result is not None
    return str(called.result.result)


@pytest.mark.parametrize("isolation", ["inline", "process"])
async def test_new_calls_get_the_new_tools_and_running_ones_keep_theirs(
    tmp_path: Path, isolation: str
) -> None:
    async with up(tmp_path, TOOLS_ISOLATION=isolation, TOOLS_WORKERS="1") as gateway:
        _, before = await gateway.call()
        running = await before.call_tool("slow", {})
        await gateway.process.logs("agent calls tool slow")
        (tmp_path / "tools" / "mine.py").write_text(
            tools("2", 'async def added() -> str:\n    """New."""\n    return "new"\n')
        )
        line = await gateway.reload()
        assert line.endswith("no setting changed; 5 tools read (new: added)")
        _, after = await gateway.call()
        assert await result_of(after, "version") == "2"
        assert await result_of(after, "added") == "new"
        assert await result_of(before, "version") == "1"
        assert "There is no tool named" in await result_of(before, "added")
        await running.answered.wait()
        assert running.result is not None
        assert running.result.result == "slow 1"
        await gateway.all_go_on()


async def test_workers_of_old_tools_end_with_the_last_call_that_uses_them(tmp_path: Path) -> None:
    async with up(tmp_path, TOOLS_ISOLATION="process", TOOLS_WORKERS="1") as gateway:

        def workers() -> set[int]:
            pid = gateway.process.pid
            return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

        first = workers()
        line, agent = await gateway.call()
        await gateway.reload()
        assert len(workers()) == 2
        assert first < workers()
        assert await result_of(agent, "version") == "1"
        line.writer.close()
        await until(lambda: len(workers()) == 1, show=lambda _: f"{workers()}: {gateway.process.log}")
        assert not first & workers()
        await gateway.reload()
        await until(lambda: len(workers()) == 1, show=lambda _: f"{workers()}: {gateway.process.log}")
        assert "worker process ended" not in gateway.process.log


BAD = [
    ("TRANSFER_EXTENSIONS=[0-9", "TRANSFER_EXTENSIONS='[0-9': "),
    ("TRANSFER_DESTINATIONS=sales:600", "TRANSFER_DESTINATIONS='sales:600': "),
    ("DTMF_ACTIONS=0=transfer:nowhere", "DTMF_ACTIONS: key 0 transfers to 'nowhere', which"),
    ("ALLOWED_PEERS=10.0.0.0/33", "ALLOWED_PEERS='10.0.0.0/33': "),
    ("TOOLS_DIR=missing", "TOOLS_DIR=missing: there is no such directory; name one, or unset it"),
    ("LOG_LEVEL=loud", "LOG_LEVEL='loud': "),
]


@pytest.mark.parametrize(("variable", "words"), BAD)
async def test_a_bad_setting_changes_nothing_and_is_named(tmp_path: Path, variable: str, words: str) -> None:
    async with up(tmp_path, TOOLS_DIR="") as gateway:
        await gateway.call()
        name, _, value = variable.partition("=")
        gateway.env(**{"TRANSFER_DESTINATIONS": "front=601@queues", name: value})
        line = await gateway.reload("SIGHUP: nothing was changed")
        assert " ERROR " in line
        assert words in line
        assert line.endswith("Correct it, and send SIGHUP again")
        gateway.env(TRANSFER_DESTINATIONS="front=601@queues")
        assert "changed: TRANSFER_DESTINATIONS" in await gateway.reload()
        await gateway.all_go_on()


async def test_a_bad_file_of_tools_keeps_the_old_ones(tmp_path: Path) -> None:
    async with up(tmp_path) as gateway:
        (tmp_path / "tools" / "mine.py").write_text("def broken(:\n")
        line = await gateway.reload("SIGHUP: nothing was changed")
        assert "TOOLS_DIR=tools: mine.py: can't be imported, line 1: " in line
        _, agent = await gateway.call()
        assert await result_of(agent, "version") == "1"


async def test_allow_lists_and_keys_are_read_again(tmp_path: Path) -> None:
    async with up(tmp_path) as gateway:
        gateway.env(DTMF_ACTIONS="*=hangup", ALLOWED_PEERS="127.0.0.0/8", MAX_CALLS="7", LOG_LEVEL="debug")
        old, _ = await gateway.call()
        line = await gateway.reload()
        assert "changed: ALLOWED_PEERS, DTMF_ACTIONS, LOG_LEVEL; " in line
        assert line.endswith("only a restart applies MAX_CALLS")
        new, _ = await gateway.call()
        for each in (old, new):
            each.send(b"\x03\x00\x01*")
        await new.ended.wait()
        assert not old.ended.is_set(), "a call keeps the keys that it began with"
        gateway.env(ALLOWED_PEERS="192.0.2.7")
        assert "changed: ALLOWED_PEERS, DTMF_ACTIONS, LOG_LEVEL; " in await gateway.reload()
        async with await AsteriskPeer.open(gateway.process.address) as stranger:
            await stranger.ended.wait()
        await gateway.process.logs("its address is not in ALLOWED_PEERS=192.0.2.7/32")
        assert not old.ended.is_set()


async def test_a_burst_of_both_harms_no_call(tmp_path: Path) -> None:
    async with up(tmp_path) as gateway:
        for _ in range(3):
            await gateway.call()
        for _ in range(100):
            gateway.process.send(signal.SIGHUP)
            gateway.process.send(signal.SIGUSR1)
            await asyncio.sleep(0)
        await gateway.process.logs("SIGHUP: reloaded")
        await gateway.process.logs("SIGUSR1: calls=3")
        await gateway.all_go_on()
        (tmp_path / "tools" / "mine.py").write_text(tools("2"))
        await gateway.reload(times=100)
        _, agent = await gateway.call()
        assert await result_of(agent, "version") == "2"
        assert " ERROR " not in gateway.process.log


async def test_a_line_for_each_call(tmp_path: Path) -> None:
    async with up(tmp_path) as gateway:
        gateway.process.send(signal.SIGUSR1)
        await gateway.process.logs("SIGUSR1: calls=0")
        lines = [(await gateway.call())[0] for _ in range(2)]
        gateway.process.send(signal.SIGUSR1)
        await gateway.process.logs("SIGUSR1: calls=2")
        for line in lines:
            await gateway.process.logs(f"call {line.uuid}: state=talking age_s=0 agent=")
        assert re.search(
            r"conversation=conv_\w+ .* turns=0 last_turn_ms=None .*\d+ ms queued", gateway.process.log
        )
        await gateway.all_go_on()


async def test_call_log_is_opened_again(tmp_path: Path) -> None:
    async with up(tmp_path, CALL_LOG="calls.jsonl") as gateway:
        (tmp_path / "calls.jsonl").rename(tmp_path / "calls.jsonl.1")
        gateway.env(LOG_LEVEL="loud")  # rotation works all the same
        await gateway.reload("SIGHUP: nothing was changed")
        line, _ = await gateway.call()
        line.writer.close()
        await gateway.process.logs("ended, reason=")
        await until(lambda: (tmp_path / "calls.jsonl").read_text(), show=lambda _: "no record")
        assert (tmp_path / "calls.jsonl.1").read_text() == ""


async def test_a_terminal_that_is_closed_drains() -> None:
    """The kernel sends SIGHUP to the leader of the session, whose terminal is gone by then."""
    async with Simulator(MANUAL) as simulator:
        environment = {"ELEVENLABS_BASE_URL": simulator.base_url, "ELEVENLABS_AGENT_ID": "agent", "PORT": "0"}
        environment |= {"PATH": os.environ["PATH"], "REFUSE_OVERLOAD": "false", "DRAIN_TIMEOUT": "60"}
        child, terminal = pty.fork()
        if child == 0:
            command = ("env", "--default-signal", sys.executable, "-m", "audiosocket_gw", "serve")
            os.execvpe(command[0], command, environment)
        log = b""
        while b"listening for Asterisk on " not in log or not log.endswith(b"\n"):
            log += await asyncio.to_thread(os.read, terminal, 4096)
        found = re.search(rb"listening for Asterisk on ([\d.]+):(\d+)", log)
        assert found
        async with await AsteriskPeer.open((found[1].decode(), int(found[2]))) as line:
            line.identify()
            await simulator.wait_for_conversation(1)
            os.kill(child, signal.SIGHUP)  # the terminal is there: a reload
            while b"SIGHUP: reloaded" not in log:
                log += await asyncio.to_thread(os.read, terminal, 4096)
            os.close(terminal)
            await line.receives(len(line.frames) + 25)
            assert not line.ended.is_set(), "the call has its time"
            assert not await is_listened_on((found[1].decode(), int(found[2]))), "it drains"
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0


async def test_signals_during_a_stop_do_nothing(tmp_path: Path) -> None:
    async with up(tmp_path, DRAIN_TIMEOUT="60") as gateway:
        line, _ = await gateway.call()
        gateway.process.send(signal.SIGTERM)
        await gateway.process.logs("SIGTERM: stopping")
        for number in (signal.SIGHUP, signal.SIGUSR1):
            gateway.process.send(number)
            await gateway.process.logs(f"{number.name} ignored: the gateway is starting or stopping")
        await gateway.all_go_on()
        line.writer.close()
        assert await gateway.process.status() == 0
