"""A real ``audiosocket-gw serve`` as a process: to be sent signals, and to be killed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.harness.waiting import until


class GatewayProcess:
    """The process. ``log`` is what it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.log = ""

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens for Asterisk, once it has said so."""
        found = re.search(r"listening for Asterisk on ([\d.]+):(\d+)", self.log)
        assert found, self.log
        return found[1], int(found[2])

    async def read_log(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65_536):
            self.log += chunk.decode()

    async def logs(self, words: str, count: int = 1) -> None:
        """Wait until the words have been logged that many times."""

        def logged() -> bool:
            is_there = self.log.count(words) >= count
            assert is_there or self.running, f"it has ended, without {words!r}: {self.log}"
            return is_there

        await until(logged, show=lambda _: f"no {words!r} in {self.log}", every_s=0.02)

    def send(self, number: signal.Signals | int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()

    async def status(self) -> int:
        """Wait for the end of the process; return its exit status, or minus the signal's number."""
        return await self._process.wait()


@asynccontextmanager
async def gateway_process(
    *arguments: str, prefix: tuple[str, ...] = (), **environment: str
) -> AsyncIterator[GatewayProcess]:
    """Run ``audiosocket-gw serve``; it listens when the block begins, and is killed at its end.

    ``prefix``: a command that runs it. Without PORT in the environment it listens on a port of its own.
    """
    process = await asyncio.create_subprocess_exec(
        # Under `nohup`, or in the background of a script, some signals are ignored from the beginning.
        *(*prefix, "env", "--default-signal", sys.executable, "-m", "audiosocket_gw", "serve", *arguments),
        stderr=asyncio.subprocess.PIPE,
        # REFUSE_OVERLOAD: a call isn't rejected for what else the machine does.
        env={"PATH": os.environ["PATH"], "PORT": "0", "REFUSE_OVERLOAD": "false"} | environment,
    )
    gateway = GatewayProcess(process)
    reading = asyncio.ensure_future(gateway.read_log())
    try:
        await gateway.logs("listening for Asterisk on ")
        yield gateway
    finally:
        if gateway.running:
            gateway.kill()
        await process.wait()
        await reading


async def is_listened_on(address: tuple[str, int]) -> bool:
    """Return whether somebody accepts connections at the address."""
    try:
        _, writer = await asyncio.open_connection(*address)
    except ConnectionError:
        return False
    writer.transport.abort()
    return True
