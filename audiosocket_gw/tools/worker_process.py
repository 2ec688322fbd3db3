"""A worker process as the gateway sees it: started, given tools to run, killed if it hangs."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

from audiosocket_gw.errors import ConfigurationError, ToolError, ToolFault
from audiosocket_gw.tools.builtin import CallToolContext
from audiosocket_gw.tools.inline import STOP_S
from audiosocket_gw.tools.places import UNSURE
from audiosocket_gw.tools.result import ToolResult
from audiosocket_gw.tools.schema import Schema
from audiosocket_gw.tools.tool import ToolContext
from audiosocket_gw.tools.worker import Work, command

logger = logging.getLogger("audiosocket_gw.tools")

START_S = 30.0
"""Time to import the tools."""

ALIVE_S = 0.25
"""Time to answer a ping: a worker that is blocked gets no further tool."""

HUNG_S = 10.0
"""A worker that runs no tool and doesn't answer for so long is killed when the next tool needs one."""

GRACE_S = STOP_S + 0.5
"""Time beyond the deadline in which a worker may stop the tool itself, and say so."""

MAX_REPORT = 2**17
"""Bytes of one line from a worker: a result, each character as an escape, or the declaration of a tool."""

REPORTS_PER_TURN = 32


@dataclass(slots=True, eq=False)
class _Run:
    """A tool that a worker runs; ``result`` is cancelled when its call has ended."""

    tool: str
    context: ToolContext
    result: asyncio.Future[ToolResult]
    overdue: asyncio.TimerHandle
    actions: set[asyncio.Task[None]] = field(default_factory=set)


class WorkerProcess:
    """One worker process, of the gateway's event loop; `launch` starts it."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._runs: dict[int, _Run] = {}
        self._claims = 0
        self._pong: asyncio.Future[None] | None = None
        self._asked_at = 0.0
        self._last = 0
        self._has_ended = False
        self._why_killed = ""

    @classmethod
    async def launch(cls, work: Work) -> Self:
        """Start a worker. It inherits nothing but the standard descriptors and its socket."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond or two
                command(work, theirs.fileno()),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # with what its tools start, and without the terminal's signals
            )
        return cls(process, *await asyncio.open_connection(sock=ours, limit=MAX_REPORT))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def load(self) -> int:
        """A number that is 0 if it runs no tool, and larger for more tools."""
        return self._claims + len(self._runs)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Count as loaded while the context is open."""
        self._claims += 1
        try:
            yield
        finally:
            self._claims -= 1

    async def tools(self) -> list[Schema]:
        """Wait for its tools' declarations.

        Raises:
            ConfigurationError: it can't import them; the message has a line for each problem.
        """
        tools: list[Schema] = []
        try:
            async with asyncio.timeout(START_S):
                while "ready" not in (report := json.loads(await self._reader.readline())):
                    if "faults" in report:
                        raise ConfigurationError("\n".join(report["faults"]))
                    tools.append(report["tool"])
        except (TimeoutError, ValueError, OSError):
            raise ConfigurationError(
                f"TOOLS_DIR: the worker process {self.pid} did not import the tools in {START_S:g} s, or "
                "ended: see its messages in the log"
            ) from None
        return tools

    async def serve(self) -> str:
        """Take its reports until it has ended; return why it did."""
        try:
            reports = 0
            while line := await self._reader.readline():
                self._take(json.loads(line))
                reports += 1
                if reports % REPORTS_PER_TURN == 0:
                    await asyncio.sleep(0)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self.kill(f"it sent an invalid report: {error!r}")
        except OSError:
            pass
        self._has_ended = True
        self.kill()
        status = await self._loop.run_in_executor(None, self._wait)
        why = self._why_killed or (f"signal {-status}" if status < 0 else f"exit status {status}")
        for run in self._runs.values():
            run.overdue.cancel()
            if not run.result.done():
                text = f"{run.tool} failed for a technical reason. {UNSURE}"
                run.result.set_result(ToolResult(text, True, ToolFault.FAILED))
        return why

    def kill(self, why: str = "") -> None:
        """Kill it, and all processes that its tools have started."""
        self._why_killed = self._why_killed or why
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self._writer.transport.abort()

    def _wait(self) -> int:
        """Wait for the end of the process, and of those that its tools started; return its status.

        As process 1 of a container this one inherits them, and would collect zombies.
        """
        status = self._process.wait()
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-self.pid, 0)
        return status

    def reap(self) -> None:
        """Wait for the end of a killed process, for a second at most."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)

    async def is_alive(self) -> bool:
        """Return whether it answers within `ALIVE_S`: a tool may block it."""
        now = self._loop.time()
        if self._pong is None or self._pong.done():
            self._pong = self._loop.create_future()
            self._asked_at = now
            self._send({"ping": 0})
        pong, silent_s = self._pong, now - self._asked_at
        if silent_s < ALIVE_S:
            await asyncio.wait([pong], timeout=ALIVE_S - silent_s)
        elif silent_s > HUNG_S and not self._runs:  # otherwise the deadline of what it runs counts
            self.kill(f"it didn't answer for {silent_s:.0f} s")
        return pong.done() and not self._has_ended

    async def run(
        self, tool: str, timeout_s: float, parameters: Mapping[str, Any], context: ToolContext
    ) -> ToolResult:
        """Run a tool. A worker that neither answers nor stops it in time is killed."""
        self._last += 1
        number = self._last
        order = {"run": number, "tool": tool, "parameters": parameters}
        order |= {"uuid": str(context.uuid), "caller": dict(context.caller)}
        line = _encoded(order)  # before it counts as running: this may fail
        overdue = self._loop.call_later(timeout_s + GRACE_S, self._overdue, number)
        run = self._runs[number] = _Run(tool, context, self._loop.create_future(), overdue)
        self._writer.write(line)
        try:
            return await run.result
        except asyncio.CancelledError:
            self._send({"cancel": number})
            overdue.cancel()
            run.overdue = self._loop.call_later(GRACE_S, self._overdue, number)
            raise

    def _send(self, order: Mapping[str, Any]) -> None:
        self._writer.write(_encoded(order))

    def _overdue(self, number: int) -> None:
        if self._has_ended or self._why_killed:
            return
        run = self._runs[number]
        message = "call %s: tool %s hangs: its worker process %d is killed"
        logger.error(message, run.context.uuid, run.tool, self.pid)
        if not run.result.done():
            text = f"{run.tool} took too long and was stopped. {UNSURE}"
            run.result.set_result(ToolResult(text, True, ToolFault.TIMED_OUT))
        self.kill(f"the tool {run.tool} hung")

    def _take(self, report: dict[str, Any]) -> None:
        match report:
            case {"pong": _}:
                if self._pong is not None and not self._pong.done():
                    self._pong.set_result(None)
            case {"result": number, "text": str(text), "is_error": is_error} if number in self._runs:
                run = self._runs.pop(number)
                run.overdue.cancel()
                for action in run.actions:
                    action.cancel()
                if not run.result.done():
                    fault = ToolFault(report.get("fault", ToolFault.ERROR))
                    run.result.set_result(ToolResult(text, bool(is_error), fault))
            case {"action": number, "run": run_number, "name": name, "arguments": list(arguments)}:
                if run_number in self._runs:
                    self._act(self._runs[run_number], number, name, arguments)

    def _act(self, run: _Run, number: int, name: str, arguments: list[Any]) -> None:
        context = run.context
        if not isinstance(context, CallToolContext):
            return
        actions: dict[str, Callable[..., Awaitable[str]]]
        actions = {"transfer": context.call.transfer, "hang_up": context.call.hang_up}
        task = self._loop.create_task(self._acted(number, actions[name](*arguments)))
        run.actions.add(task)
        task.add_done_callback(run.actions.discard)

    async def _acted(self, number: int, action: Awaitable[str]) -> None:
        try:
            text, is_error = await action, False
        except ToolError as error:
            text, is_error = str(error), True
        self._send({"acted": number, "text": text, "is_error": is_error})


def _encoded(order: Mapping[str, Any]) -> bytes:
    return json.dumps(order).encode() + b"\n"
