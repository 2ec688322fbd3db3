"""A real ``audiosocket-gw serve`` at the Asterisk, as a process: to be killed, and to be sent signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.asterisk.lab import AMI_PASSWORD, Lab


class GatewayProcess:
    """The process, with the embedded agent. ``log`` is what it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.log = ""

    async def read_log(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65_536):
            self.log += chunk.decode()

    async def logs(self, words: str, count: int = 1) -> None:
        """Wait until the words have been logged so often."""
        while self.log.count(words) < count:
            await asyncio.sleep(0.05)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def status(self) -> int:
        """Wait for the end of the process; return its exit status, or minus the signal's number."""
        return await self._process.wait()

    @property
    def running(self) -> bool:
        return self._process.returncode is None


@asynccontextmanager
async def gateway_process(
    lab: Lab, *, ami: bool = True, prefix: tuple[str, ...] = (), **settings: str
) -> AsyncIterator[GatewayProcess]:
    """Run a gateway; it listens, and is logged in where ``ami`` says so, when the block begins."""
    environment = {"PATH": os.environ["PATH"], "PORT": str(lab.ports.gateway), "REFUSE_OVERLOAD": "false"}
    if ami:
        port = str(lab.ports.ami)
        environment |= {"AMI_HOST": "127.0.0.1", "AMI_PORT": port, "AMI_PASSWORD": AMI_PASSWORD}
    process = await asyncio.create_subprocess_exec(
        *prefix,
        *(sys.executable, "-m", "audiosocket_gw", "serve", "--agent", "simulator"),
        stderr=asyncio.subprocess.PIPE,
        env=environment | settings,
    )
    gateway = GatewayProcess(process)
    reading = asyncio.ensure_future(gateway.read_log())
    try:
        await gateway.logs("listening for Asterisk")
        if ami:
            await gateway.logs("connected to Asterisk's manager interface")
        yield gateway
    finally:
        if gateway.running:
            process.kill()
        await process.wait()
        await reading
