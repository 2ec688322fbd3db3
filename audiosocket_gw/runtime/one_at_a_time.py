"""A job that many may ask for, and that never runs twice at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class OneAtATime:
    """Runs ``job`` in a task when it is requested; once more if it was requested again meanwhile."""

    def __init__(self, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._job = job
        self._running: asyncio.Task[None] | None = None
        self._again = False

    def request(self) -> None:
        """Run the job, on the event loop, soon; it sees what is so from now on."""
        if self._running is not None:
            self._again = True
            return
        self._running = asyncio.get_running_loop().create_task(self._job())
        self._running.add_done_callback(self._done)

    async def close(self) -> None:
        """Cancel the job, if it runs, and wait for its end."""
        self._again = False
        if self._running is not None:
            running = self._running
            running.cancel()
            await asyncio.wait([running])

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if not task.cancelled():
            task.result()  # the event loop reports an error
        if self._again:
            self._again = False
            self.request()
