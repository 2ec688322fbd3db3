"""Host look-ups that are shared: a question that is being asked is not asked a second time.

All calls look for the same agent's host, and each look-up takes a thread of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any


class SharedLookups:
    """The look-ups that are going on. No answer is kept: hosts move."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[Any]] = {}

    def __len__(self) -> int:
        return len(self._running)

    async def ask(self, question: Hashable, lookup: Coroutine[Any, Any, Any]) -> Any:
        """Return the answer of the look-up that is going on for ``question``, or else of ``lookup``."""
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
            lookup.exception()  # marks it as seen: perhaps the last waiter was cancelled
