"""A bulkhead around foreign code on the event loop: it can use up its own threads, and stop only itself.

It is part of the context (`contextvars`), so whatever the code starts is behind the same bulkhead: tasks,
callbacks, `asyncio.to_thread`, host look-ups.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import ContextVar
from typing import Any

MAX_TASKS = 1_000
"""Tasks behind one bulkhead at the same time: code that starts more never ends them."""


class Bulkhead:
    """``name`` is what the log calls the code; ``threads`` are for its blocking functions."""

    def __init__(self, name: str, threads: Executor) -> None:
        self.name = name
        self.threads = threads
        self._tasks: set[asyncio.Task[Any]] = set()

    def enter(self) -> None:
        """Put the current task, and what it will start, behind this bulkhead."""
        _bulkhead.set(self)

    def start(
        self,
        coroutine: Coroutine[Any, Any, Any],
        create: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
    ) -> asyncio.Task[Any]:
        """Start a task of the code; an error that would end the event loop becomes one of the task.

        Raises:
            RuntimeError: it has too many.
        """
        if len(self._tasks) >= MAX_TASKS:
            coroutine.close()
            raise RuntimeError(f"{self.name} has {MAX_TASKS} tasks that haven't ended, and may start no more")
        task = create(self._contain(coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: coroutine.close())  # if it was cancelled before its first step
        return task

    async def _contain(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await coroutine
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(f"{type(error).__name__} in a task that {self.name} started") from error


_bulkhead: ContextVar[Bulkhead | None] = ContextVar("bulkhead", default=None)

current_bulkhead = _bulkhead.get
"""Return the bulkhead around the running code, or None: it is the gateway's own."""
