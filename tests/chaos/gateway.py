"""The gateway under attack: ``audiosocket-gw serve`` with a probe, and what Linux knows of its process."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.trial import free_port, place
from tests.chaos.probe import COUNT_OBJECTS, Answer

REPOSITORY = Path(__file__).parents[2]

START_S = 20.0
ANSWER_S = 60.0
"""How long a loop that is held up may take to answer the probe before it counts as dead."""

STOP_S = 5.0
"""How much longer than DRAIN_TIMEOUT a stop may take: docs/architecture.md."""

DRAIN_S = 1.0

MAX_KEPT_ALIVE = 20
"""Connections to REST services that may stay open for the next request."""

MAX_MEMORY = 2**31
"""Bytes that the process may allocate: an attack that takes more fails in it, not in the whole machine."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a process holds that calls must give back."""

    descriptors: int
    tasks: int
    calls: int

    def beyond(self, before: Left) -> dict[str, int]:
        """Return what there is more of than before, by name."""
        more = {
            "descriptors": self.descriptors - before.descriptors - MAX_KEPT_ALIVE,
            "tasks": self.tasks - before.tasks,
            "calls": self.calls - before.calls,
        }
        return {name: count for name, count in more.items() if count > 0}


class Dead(Exception):
    """The gateway's loop doesn't answer any more, or its process has ended."""


class GatewayUnderAttack:
    """The process, seen from outside, and by its probe."""

    def __init__(
        self, process: asyncio.subprocess.Process, port: int, probe: socket.socket, log: Path
    ) -> None:
        self._process = process
        self._probe = probe
        self._log = log
        self.port = port
        self.pid = process.pid

    async def wait_until_it_listens(self) -> None:
        limit = time.monotonic() + START_S
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                assert self._process.returncode is None, f"it ended: {self.log}"
                assert time.monotonic() < limit, f"it doesn't listen: {self.log}"
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return

    @property
    def log(self) -> str:
        """The end of what it has logged."""
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else "(not read)"

    async def ask(self) -> Answer:
        """Return what its loop did since it was asked last."""
        return Answer(**json.loads(await self._answer_to(b"?")))

    async def objects(self) -> int:
        """Return how many objects its garbage collector knows. Counting them is work of its loop."""
        return int(await self._answer_to(COUNT_OBJECTS))

    async def _answer_to(self, question: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._probe, question)
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await loop.sock_recv(self._probe, 4096)
        except (TimeoutError, ConnectionError):
            answer = b""
        if not answer:
            status = self._process.returncode
            raise Dead(f"the gateway's loop did not answer in {ANSWER_S:g} s (exit status {status})")
        return answer

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208

    async def left(self) -> Left:
        answer = await self.ask()
        return Left(self.descriptors(), answer.tasks, answer.calls)

    def resident_mib(self) -> float:
        return self._status("VmRSS")

    def peak_mib(self) -> float:
        """Return the most that was resident since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))

    async def stop(self) -> float:
        """Stop it as a service manager does; return the seconds that it took, or infinity."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(DRAIN_S + 2 * STOP_S):
                await self._process.wait()
        except TimeoutError:
            return float("inf")
        return time.monotonic() - began


@asynccontextmanager
async def gateway_under_attack(
    folder: Path, settings: Mapping[str, str], *, reads_log: bool = True
) -> AsyncIterator[GatewayUnderAttack]:
    """Run a gateway while the block runs. Without ``reads_log`` its log is a pipe that no one reads."""
    ours, its = socket.socketpair()
    ours.setblocking(False)
    port, log = free_port(), folder / "gateway.log"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "PORT": str(port),
        "DRAIN_TIMEOUT": f"{DRAIN_S:g}",
    }
    reader, writer = os.pipe() if not reads_log else (-1, os.open(log, os.O_WRONLY | os.O_CREAT))
    with ours:
        with its:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.probe", str(its.fileno()), "serve"),
                env=environment | dict(settings),
                cwd=folder,  # where no .env file is
                pass_fds=[its.fileno()],
                stdout=asyncio.subprocess.DEVNULL,
                stderr=writer,
            )
        os.close(writer)
        try:
            place(process.pid, core=0)
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
            gateway = GatewayUnderAttack(process, port, ours, log)
            await gateway.wait_until_it_listens()
            yield gateway
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            if not reads_log:
                os.close(reader)
