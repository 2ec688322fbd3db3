"""A bulkhead around foreign code on the event loop: it can use up its own threads, and stop only itself.

It is part of the context (`contextvars`), so whatever the code starts is behind the same bulkhead: tasks,
callbacks, `asyncio.to_thread`, host look-ups.
"""

from __future__ import annotations

from collections.abc import Coroutine
from concurrent.futures import Executor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Bulkhead:
    """``name`` is what the log calls the code; ``threads`` are for its blocking functions."""

    name: str
    threads: Executor

    def enter(self) -> None:
        """Put the current task, and what it will start, behind this bulkhead."""
        _bulkhead.set(self)

    async def contain(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine, and turn what would end the event loop into an error of its task."""
        try:
            return await coroutine
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(f"{type(error).__name__} in a task that {self.name} started") from error


_bulkhead: ContextVar[Bulkhead | None] = ContextVar("bulkhead", default=None)

current_bulkhead = _bulkhead.get
"""Return the bulkhead around the running code, or None: it is the gateway's own."""
