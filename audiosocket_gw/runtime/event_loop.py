"""The gateway's event loop: asyncio's own, but thrifty where hundreds of calls do the same.

A process that wakes up for one frame pays more for the waking than for the frame. With a hundred calls a
frame arrives every 0.2 ms: after one look at the sockets the next may come a little later, and find several.
Nobody hears that, and it saves a quarter of the CPU time (`docs/performance.md`). Network cards gather their
interrupts for the same reason.

When there is more to do than time, what is read may be late, but not the clock, which callers hear: asyncio
serves all sockets that have something before it looks at its timers, here it serves some. What isn't read
at once is read in one piece later, which costs less.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any

from audiosocket_gw.runtime.dns import SharedLookups

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
    """Waits for its sockets with a `CoalescingSelector`, and looks hosts up with `SharedLookups`."""

    def __init__(self) -> None:
        self._coalescing = CoalescingSelector()
        super().__init__(self._coalescing)
        self._lookups = SharedLookups()

    @property
    def backlog_s(self) -> float:
        """How long sockets have had something and not been served."""
        return self._coalescing.backlog_s

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        lookup = super().getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)
        return await self._lookups.ask((host, port, family, type, proto, flags), lookup)


def backlog_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return what tells how long the loop's sockets have waited, in s; 0.0 for a loop that doesn't know."""
    if isinstance(loop, GatewayEventLoop):
        return lambda: loop.backlog_s
    return lambda: 0.0
