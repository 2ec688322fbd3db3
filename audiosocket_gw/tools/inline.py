"""Runs a tool on the event loop of the calls: within a deadline, and behind a bulkhead."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from types import coroutine
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from audiosocket_gw.errors import ToolError, ToolFault
from audiosocket_gw.runtime.bulkhead import Bulkhead
from audiosocket_gw.tools.blocking import BlockingWatch
from audiosocket_gw.tools.places import UNSURE, Places, busy
from audiosocket_gw.tools.result import text_of
from audiosocket_gw.tools.schema import Schema
from audiosocket_gw.tools.tool import Tool, ToolContext

logger = logging.getLogger("audiosocket_gw.tools")

P = ParamSpec("P")
T = TypeVar("T")

STOP_S = 1.0
"""Time for a cancelled tool to clean up; after it the call continues or ends without waiting."""

MAX_THREADS = 64
"""Threads of one tool, at most."""


class InlineTool:
    """A tool that runs on this event loop, at most ``max_running`` times at once in all calls together.

    ``watch`` is None where a tool may block the loop.
    """

    def __init__(self, tool: Tool, max_running: int, watch: BlockingWatch | None) -> None:
        self._tool = tool
        self._max_running = max_running
        self._places = Places(tool.name, max_running)
        self._abandoned: set[asyncio.Task[str]] = set()
        self._threads = _Threads(min(max_running, MAX_THREADS), f"tool {tool.name}")
        self._bulkhead = Bulkhead(f"tool {tool.name}", self._threads)
        self._watch = watch

    @property
    def elevenlabs_config(self) -> Schema:
        """See `Tool.elevenlabs_config`."""
        return self._tool.elevenlabs_config

    async def run(self, parameters: Mapping[str, Any], context: ToolContext) -> str:
        """Run the tool and return its result as text.

        Raises:
            ToolError: there is no result, for any reason; the message is for the agent.
        """
        self._check(context.uuid)
        watching = self._watch.watching() if self._watch else nullcontext()
        # The place is given back even if the tool is abandoned.
        with self._places.taken(context.uuid), watching:
            return await self._run(parameters, context)

    def close(self) -> None:
        """Let its idle threads end; nothing waits for those that hang."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _check(self, call: UUID) -> None:
        """Raises: ToolError: earlier runs left too little to the next one."""
        name = self._tool.name
        if len(self._abandoned) >= self._max_running:
            why = f"{len(self._abandoned)} runs of it were cancelled and don't stop; correct it and restart"
            raise busy(name, call, why)
        if self._threads.all_are_busy:
            raise busy(name, call, "all its threads are busy: perhaps what they wait for hangs")

    async def _run(self, parameters: Mapping[str, Any], context: ToolContext) -> str:
        # In its own task: a tool that swallows its cancellation must not keep its call from ending.
        steps = _Steps(self._tool.name, self._watch)
        running = asyncio.get_running_loop().create_task(self._attempt(parameters, context, steps))
        tool = self._tool
        try:
            await asyncio.wait([running], timeout=tool.timeout_s)
            if running.done():
                return running.result()
            await self._stop(running, steps, context.uuid)
            if running.done() and not running.cancelled() and running.exception() is None:
                return running.result()  # at the deadline
        except asyncio.CancelledError:
            await self._stop(running, steps, context.uuid)
            raise
        finally:
            del running  # its error knows this frame: a cycle that would keep the call alive
        raise ToolError(
            f"{tool.name} took longer than {tool.timeout_s:g} seconds and was stopped. {UNSURE}",
            ToolFault.TIMED_OUT,
        )

    async def _attempt(self, parameters: Mapping[str, Any], context: ToolContext, steps: _Steps) -> str:
        tool = self._tool
        self._bulkhead.enter()
        try:
            arguments = tool.signature.bind(parameters, context)
            return text_of(tool.name, await steps.run(tool.function(**arguments)))
        except ToolError:
            raise
        except (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
            # Raised from a task, SystemExit and KeyboardInterrupt would end the event loop, and with it every
            # call.
            if _is_ours_to_obey(error):
                raise
            logger.exception("call %s: tool %s failed", context.uuid, tool.name)
            raise ToolError(
                f"{tool.name} failed for a technical reason. {UNSURE}", ToolFault.FAILED
            ) from error

    async def _stop(self, running: asyncio.Task[str], steps: _Steps, call: UUID) -> None:
        if running.done():
            return
        running.add_done_callback(_retrieve)
        running.cancel()
        await asyncio.wait([running], timeout=STOP_S)
        if not running.done():
            self._abandoned.add(running)
            running.add_done_callback(self._abandoned.discard)
            message = "call %s: tool %s abandoned: still running %g s after its cancellation"
            logger.error(message, call, self._tool.name, STOP_S)
            steps.abandoned = True
            running.cancel()


class _Steps:
    """Runs a tool step by step, from an ``await`` to the next; ``watch`` reports those that are slow.

    An abandoned tool is closed at its next step: that ends one that swallows its cancellation.
    """

    def __init__(self, name: str, watch: BlockingWatch | None) -> None:
        self._name = name
        self._watch = watch
        self.abandoned = False

    @coroutine
    def run(self, tool: Awaitable[object]) -> Generator[Any, Any, object]:
        """Run the tool and return its result; raise what it raises."""
        steps = tool.__await__()
        step = partial(next, steps)
        while True:
            try:
                with self._watch.step(self._name) if self._watch else nullcontext():
                    waits_for = step()
            except StopIteration as end:
                return end.value
            try:
                answer = yield waits_for
            except BaseException as error:
                if self.abandoned:
                    steps.close()
                    raise
                step = partial(steps.throw, error)
            else:
                step = partial(steps.send, answer)


class _Threads(ThreadPoolExecutor):
    """The threads of one tool; they are started when needed."""

    def __init__(self, count: int, name: str) -> None:
        super().__init__(count, thread_name_prefix=name)
        self._count = count
        self._unfinished: set[Future[Any]] = set()

    @property
    def all_are_busy(self) -> bool:
        """Whether no thread is free, so that further work would wait."""
        return len(self._unfinished) >= self._count

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future = super().submit(fn, *args, **kwargs)
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        return future


def _retrieve(stopped: asyncio.Task[str]) -> None:
    """Retrieve the exception of a stopped tool; otherwise asyncio reports that it was never retrieved."""
    if not stopped.cancelled():
        stopped.exception()


def _is_ours_to_obey(error: BaseException) -> bool:
    """Distinguish the call's own cancellation from one that the tool got from something that it awaited."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
