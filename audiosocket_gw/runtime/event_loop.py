"""The gateway's event loop: asyncio's own, but thrifty where hundreds of calls do the same.

A process that wakes up for one frame pays more for the waking than for the frame. With a hundred calls a
frame arrives every 0.2 ms: after one look at the sockets the next may come a little later, and find several.
Nobody hears that, and it saves a quarter of the CPU time (`docs/performance.md`). Network cards gather their
interrupts for the same reason.

When there is more to do than time, what is read may be late, but not the clock, which callers hear: asyncio
serves all sockets that have something before it looks at its timers, here it serves some. What isn't read
at once is read in one piece later, which costs less.

And all calls look for the same agent's host: one that is being looked up is not looked up again, each time
in a thread of its own.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Any

GATHER_S = 0.0004
"""From one look that found something to the next. With little to do, the next comes later anyway."""

MOST_AT_ONCE = 64
"""How many sockets are served before timers have their turn again: a millisecond, at 10 to 20 us each."""

Ready = list[tuple[selectors.SelectorKey, int]]


class CoalescingSelector(selectors.DefaultSelector):
    """The system's selector, but for a short rest after each look that found something.

    It doesn't rest when there is something else to do, nor beyond the next timer. A look that found much is
    handed out in portions.
    """

    def __init__(self) -> None:
        super().__init__()
        self._looked_at = 0.0
        self._rests_until = 0.0
        self._left: Ready = []

    @property
    def backlog_s(self) -> float:
        """How long those have waited that were found and not handed out yet."""
        return time.monotonic() - self._looked_at if self._left else 0.0

    def select(self, timeout: float | None = None) -> Ready:
        ready: Ready = []
        while self._left and not ready:
            ready = self._still_ready(self._take())
        if not ready:  # never before all are served: so nobody is served twice
            self._left = self._look(timeout)
            ready = self._take()
        return ready

    def _take(self) -> Ready:
        portion, self._left = self._left[:MOST_AT_ONCE], self._left[MOST_AT_ONCE:]
        return portion

    def _still_ready(self, portion: Ready) -> Ready:
        """Leave out who has gone meanwhile, or waits for something else: either makes a new key, or none."""
        keys = self.get_map()
        return [(key, events) for key, events in portion if keys.get(key.fd) is key]

    def _look(self, timeout: float | None) -> Ready:
        if timeout is None or timeout > 0:
            rest = self._rests_until - time.monotonic()
            if rest > 0:
                if timeout is not None:
                    rest = min(rest, timeout)
                    timeout -= rest
                time.sleep(rest)
        ready = super().select(timeout)
        self._looked_at = time.monotonic()
        self._rests_until = self._looked_at + GATHER_S if ready else 0.0
        return ready


class GatewayEventLoop(asyncio.SelectorEventLoop):
    """Waits for its sockets with a `CoalescingSelector`; shares what is being looked up."""

    def __init__(self) -> None:
        self._gathering = CoalescingSelector()
        super().__init__(self._gathering)
        self._lookups: dict[tuple[Any, ...], asyncio.Task[Any]] = {}

    @property
    def backlog_s(self) -> float:
        """How long sockets have had something and not been served."""
        return self._gathering.backlog_s

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        question = (host, port, family, type, proto, flags)
        lookup = self._lookups.get(question)
        if lookup is None:
            asking = super().getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)
            lookup = self._lookups[question] = self.create_task(asking)
            lookup.add_done_callback(lambda done: self._answered(question, done))
        # Python 3.14's asyncio.shield() reports a lookup that fails when nobody waits for it any more.
        await asyncio.wait((lookup,))
        return lookup.result()

    def _answered(self, question: tuple[Any, ...], lookup: asyncio.Task[Any]) -> None:
        del self._lookups[question]
        if not lookup.cancelled():
            lookup.exception()  # perhaps nobody waits for it any more
