"""The worker processes: tools that hang, crash or block can harm only tools in the same process."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from audiosocket_gw.errors import ConfigurationError, ToolError
from audiosocket_gw.log.setup import current_format
from audiosocket_gw.log.text import Sentence
from audiosocket_gw.runtime.permissions import who_else_may_write
from audiosocket_gw.tools.builtin import load_tools
from audiosocket_gw.tools.places import Places, busy
from audiosocket_gw.tools.registry import ToolRegistry
from audiosocket_gw.tools.schema import Schema
from audiosocket_gw.tools.settings import ToolSettings, ToolsIsolation
from audiosocket_gw.tools.tool import RESPONSE_MARGIN_S, ToolContext
from audiosocket_gw.tools.worker import Work
from audiosocket_gw.tools.worker_process import WorkerProcess

logger = logging.getLogger("audiosocket_gw.tools")

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 5.0
"""Time before a worker is replaced, which takes CPU; it doubles with each that lives less than
`LONG_LIFE_S`."""

LONG_LIFE_S = 30.0


@asynccontextmanager
async def opened_tools(
    settings: ToolSettings, ca_file: Path | None, *, in_thread: bool = False
) -> AsyncIterator[ToolRegistry]:
    """Yield the built-in tools and those of ``TOOLS_DIR``, in this process or in workers, as set.

    ``in_thread``: import them there, since calls are up.

    Raises:
        ConfigurationError: the directory or a file in it is invalid.
    """
    directory = settings.tools_dir
    if directory is not None:
        _warn_of_others(directory)
    if directory is None or settings.tools_isolation is ToolsIsolation.INLINE:
        load = partial(load_tools, settings.tool_timeout, directory, max_running=settings.tool_max_running)
        inline = await asyncio.to_thread(load) if in_thread else load()
        try:
            yield inline
        finally:
            inline.close()
        return
    registry = load_tools(settings.tool_timeout, None)
    work = Work(
        directory=str(directory),
        timeout_s=settings.tool_timeout,
        max_running=settings.tool_max_running,
        ca_file=str(ca_file) if ca_file else None,
        log_level=logging.getLevelName(logger.getEffectiveLevel()),
        log_format=current_format(),
        gateway=os.getpid(),
    )
    async with WorkerPool(work, settings.tools_workers).opened(registry):
        yield registry


def _warn_of_others(directory: Path) -> None:
    with suppress(OSError):  # which is told when the tools are loaded
        others = who_else_may_write(directory)
        if others is not None:
            message = "TOOLS_DIR=%s: %s; the files are run with all that the gateway may do"
            logger.warning(message, directory, Sentence(others))


class WorkerPool:
    """``count`` workers, each of which is replaced when it ends.

    A tool gets the worker with the fewest tools that answers: its own, unless more tools run than there are
    workers.
    """

    def __init__(self, work: Work, count: int) -> None:
        self._work = work
        self._count = count
        self._ready: set[WorkerProcess] = set()
        self._places: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def opened(self, registry: ToolRegistry) -> AsyncIterator[None]:
        """Start the workers, and add their tools to ``registry``; kill them at the end.

        Raises:
            ConfigurationError: the tools can't be imported.
        """
        first = await WorkerProcess.launch(self._work)
        try:
            for config in await first.tools():
                tool = RemoteTool.of(config, self, self._work.max_running)
                if tool.name not in registry.names:  # every worker has the built-in ones, too
                    registry.add(tool.name, tool, "TOOLS_DIR")
            self._ready.add(first)
            starts = [first, *[None] * (self._count - 1)]
            loop = asyncio.get_running_loop()
            self._places = [loop.create_task(self._keep(start), name="tools' worker") for start in starts]
            yield
        finally:
            for place in self._places:
                place.cancel()
            if self._places:
                await asyncio.wait(self._places)
            first.kill()
            first.reap()

    async def run(self, tool: RemoteTool, parameters: Mapping[str, Any], context: ToolContext) -> str:
        """Run a tool.

        Raises:
            ToolError: there is no result; the message is for the agent.
        """
        for worker in sorted(self._ready, key=lambda worker: worker.load):
            with worker.claimed():
                if await worker.is_alive():
                    result = await worker.run(tool.name, tool.timeout_s, parameters, context)
                    if result.is_error:
                        raise ToolError(result.text, result.fault)
                    return result.text
        why = f"none of the {self._count} worker processes answers (TOOLS_WORKERS)"
        raise busy(tool.name, context.uuid, why)

    async def _keep(self, worker: WorkerProcess | None) -> None:
        """Keep one place filled; ``worker`` has been started, and has declared its tools."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            began_at = loop.time()
            why = await self._life(worker)
            worker = None
            logger.error("a tools' worker process ended (%s); it is replaced", Sentence(why))
            if loop.time() - began_at > LONG_LIFE_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    async def _life(self, worker: WorkerProcess | None) -> str:
        """Start a worker if there is none, and use it until it ends; return why it did."""
        try:
            if worker is None:
                worker = await WorkerProcess.launch(self._work)
                await worker.tools()
            self._ready.add(worker)
            return await worker.serve()
        except (ConfigurationError, OSError) as error:
            return str(error)
        finally:
            if worker is not None:
                self._ready.discard(worker)
                worker.kill()
                worker.reap()


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool that runs in a worker."""

    name: str
    timeout_s: float
    elevenlabs_config: Schema
    pool: WorkerPool
    places: Places

    @classmethod
    def of(cls, config: Schema, pool: WorkerPool, max_running: int) -> RemoteTool:
        """Make a tool of its declaration."""
        declared = config["tool_config"]
        name, timeout_s = declared["name"], declared["response_timeout_secs"] - RESPONSE_MARGIN_S
        return cls(name, timeout_s, config, pool, Places(name, max_running))

    async def run(self, parameters: Mapping[str, Any], context: ToolContext) -> str:
        """Run it in a worker; see `ToolRegistry`'s protocol `RunnableTool`."""
        with self.places.taken(context.uuid):
            return await self.pool.run(self, parameters, context)

    def close(self) -> None:
        """Do nothing: the pool ends its workers."""
