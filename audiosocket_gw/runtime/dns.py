"""Shared host look-ups: concurrent look-ups of the same host share one answer.

All calls look up the same agent's host, and each look-up takes a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any


class SharedLookups:
    """The look-ups in progress. Answers are not cached: addresses change."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[Any]] = {}

    def __len__(self) -> int:
        return len(self._running)

    async def ask(self, question: Hashable, lookup: Coroutine[Any, Any, Any]) -> Any:
        """Return the answer of the look-up in progress for ``question``, or else that of ``lookup``."""
        running = self._running.get(question)
        if running is None:
            running = self._running[question] = asyncio.get_running_loop().create_task(lookup)
            running.add_done_callback(lambda done: self._remove(question, done))
        else:
            lookup.close()
        # Python 3.14's asyncio.shield() reports a failed look-up to the event loop once its waiter is gone.
        await asyncio.wait((running,))
        return running.result()

    def _remove(self, question: Hashable, lookup: asyncio.Task[Any]) -> None:
        del self._running[question]
        if not lookup.cancelled():
            lookup.exception()  # mark it as retrieved: perhaps the last waiter was cancelled
