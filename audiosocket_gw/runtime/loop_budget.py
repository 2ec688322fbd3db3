"""A limit on what one kind of work takes of each iteration of the event loop.

An iteration holds up every call for as long as it lasts, and many small pieces of work last as long as one
large piece. So work that a peer can cause in any amount is cut into small steps. Steps beyond the budget wait
for a later iteration, and those that wait take turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from audiosocket_gw.log.current_call import outside_calls
from audiosocket_gw.runtime.event_loop import iteration_of

BUDGET_S = 0.002
"""Time in each iteration: a tenth of a tick."""

REST_S = 2 * BUDGET_S
"""Time until those that wait get their turn, so that they have a third of the thread at most. A flood would
take all of it, and a process that is always busy waits for its core when others want it."""

Work = Callable[[], None]
"""Takes at least one step, then further ones while `LoopBudget.has_time`; what is left it defers again."""


class LoopBudget:
    """The budget that all work of one kind shares."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] | None = None,
        *,
        rest_s: float = REST_S,
    ) -> None:
        """``clock`` returns seconds; the default is the loop's own, on which nothing takes time in tests."""
        self._loop = loop
        self._rest_s = rest_s
        self._iteration_of_loop = iteration_of(loop)
        self._clock = clock or loop.time
        self._iteration = -1
        self._ends_at = 0.0
        self._waiting: deque[Work] = deque()
        self._is_scheduled = False
        self._context = outside_calls()

    def has_time(self) -> bool:
        """Return whether another step fits into this iteration."""
        iteration = self._iteration_of_loop()
        if iteration != self._iteration:
            self._iteration = iteration
            self._ends_at = self._clock() + BUDGET_S
            return True
        return self._clock() < self._ends_at

    def defer(self, work: Work) -> None:
        """Do ``work`` in a later iteration, after all that already waits."""
        self._waiting.append(work)
        self._schedule()

    def _schedule(self) -> None:
        if self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_later(self._rest_s, self._take_turns, context=self._context)

    def _take_turns(self) -> None:
        """Let those that wait work until the time is over: each once, and at least one."""
        self._is_scheduled = False
        try:
            for _ in range(len(self._waiting)):
                self._waiting.popleft()()
                if not self.has_time():
                    break
        finally:
            self._schedule()
