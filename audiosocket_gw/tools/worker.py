"""A worker process: runs the tools of ``TOOLS_DIR`` for a gateway, which starts it and may kill it.

Lines of JSON go both ways on one socket: orders, and reports on them. The log and what tools print go to
standard error, as in the gateway. The process ends with its gateway: the kernel kills it, and the socket
closes.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import httpx

from audiosocket_gw.errors import ConfigurationError, ToolError
from audiosocket_gw.log.current_call import enter_call
from audiosocket_gw.log.formatter import LogFormat
from audiosocket_gw.log.printed import print_to_log
from audiosocket_gw.log.setup import log_to_stderr, set_format, set_level
from audiosocket_gw.runtime.event_loop import GatewayEventLoop
from audiosocket_gw.runtime.proxies import create_http_client_for_tools
from audiosocket_gw.runtime.tls_trust import create_ssl_context
from audiosocket_gw.tools import ToolRegistry
from audiosocket_gw.tools.builtin import CallActions, CallToolContext, load_tools

MAX_ORDER = 4 * 2**20
"""Bytes of one line from the gateway, more than a message of the agent has."""

PR_SET_PDEATHSIG = 1
NICENESS = 5
"""The calls get the CPU first."""

OOM_SCORE = 500
"""When memory runs out, the kernel kills the worker before the gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a worker is started with."""

    directory: str
    timeout_s: float
    max_running: int
    ca_file: str | None
    log_level: str
    log_format: str
    gateway: int
    """The process that started it."""


def command(work: Work, descriptor: int) -> list[str]:
    """Return the command that starts a worker; ``descriptor`` is its end of the socket."""
    # -P: import nothing from the working directory, which may be one that others write to.
    return [sys.executable, "-P", "-m", __name__, str(descriptor), json.dumps(asdict(work))]


def main() -> NoReturn:
    """Run the worker until its gateway ends."""
    descriptor, work = int(sys.argv[1]), Work(**json.loads(sys.argv[2]))
    _die_with(work.gateway)
    os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for the gateway
    with log_to_stderr(), print_to_log(), asyncio.Runner(loop_factory=GatewayEventLoop) as runner:
        set_level(work.log_level)
        set_format(LogFormat(work.log_format))
        connection = socket.socket(fileno=descriptor)
        connection.set_inheritable(False)
        runner.run(_serve(connection, work))
    os._exit(0)


def _die_with(gateway: int) -> None:
    """Let the kernel kill this process when the gateway ends, however it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != gateway:
        os._exit(0)  # it has ended already


async def _serve(connection: socket.socket, work: Work) -> None:
    reader, writer = await asyncio.open_connection(sock=connection, limit=MAX_ORDER)
    try:
        tools = load_tools(work.timeout_s, Path(work.directory), max_running=work.max_running, may_block=True)
        http = create_http_client_for_tools(create_ssl_context(Path(work.ca_file) if work.ca_file else None))
    except ConfigurationError as error:
        _send(writer, {"faults": str(error).splitlines()})
        await writer.drain()
        return
    for config in tools.elevenlabs_configs():
        _send(writer, {"tool": config})
    _send(writer, {"ready": os.getpid()})
    await _Runs(tools, http, writer).obey(reader)
    # What is left may never end: no `asyncio.run` would return.
    os._exit(0)


def _send(writer: asyncio.StreamWriter, report: dict[str, Any]) -> None:
    writer.write(json.dumps(report).encode() + b"\n")


class _Runs:
    """The tools that run for the gateway."""

    def __init__(self, tools: ToolRegistry, http: httpx.AsyncClient, writer: asyncio.StreamWriter) -> None:
        self._tools = tools
        self._http = http
        self._writer = writer
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._actions: dict[int, asyncio.Future[str]] = {}
        self._asked = 0

    async def obey(self, reader: asyncio.StreamReader) -> None:
        """Carry out the gateway's orders until it has gone."""
        while line := await reader.readline():
            order = json.loads(line)
            match order:
                case {"run": number}:
                    self._tasks[number] = asyncio.get_running_loop().create_task(self._run(number, order))
                case {"cancel": number}:
                    if number in self._tasks:
                        self._tasks[number].cancel()
                case {"ping": number}:
                    _send(self._writer, {"pong": number})
                case {"acted": number, "text": text, "is_error": is_error}:
                    self._acted(number, text, is_error)

    async def _run(self, number: int, order: dict[str, Any]) -> None:
        uuid = UUID(order["uuid"])
        enter_call(uuid)
        context = CallToolContext(
            uuid=uuid,
            http=self._http,
            caller=order["caller"],
            call=CallActions(
                lambda *arguments: self._act(number, "transfer", arguments),
                lambda: self._act(number, "hang_up", ()),
            ),
        )
        try:
            result = await self._tools.call(order["tool"], order["parameters"], context)
        except asyncio.CancelledError:
            _send(self._writer, {"result": number, "text": "", "is_error": True})
            raise
        finally:
            del self._tasks[number]
        report = {"result": number, "text": result.text, "is_error": result.is_error, "fault": result.fault}
        _send(self._writer, report)

    async def _act(self, run: int, action: str, arguments: tuple[str | None, ...]) -> str:
        """Let the gateway act on the call."""
        self._asked += 1
        number = self._asked
        self._actions[number] = acted = asyncio.get_running_loop().create_future()
        try:
            _send(self._writer, {"action": number, "run": run, "name": action, "arguments": arguments})
            text: str = await acted
            return text
        finally:
            del self._actions[number]

    def _acted(self, number: int, text: str, is_error: bool) -> None:
        acted = self._actions.get(number)
        if acted is None or acted.done():
            return
        if is_error:
            acted.set_exception(ToolError(text))
        else:
            acted.set_result(text)


if __name__ == "__main__":
    main()
