"""The gateway's event loop: asyncio's own, optimised for hundreds of calls.

A wake-up for one frame costs more than the frame. With a hundred calls a frame arrives every 0.2 ms: if the
loop waits a little between two polls of the sockets, each poll finds several. The delay is inaudible and
saves a quarter of the CPU time (`docs/performance.md`). Network cards coalesce their interrupts for the same
reason.

Under overload reads may be late, but not the ticks, which callers hear. asyncio serves all readable sockets
before it runs timers; this loop serves some. What is left is read later in larger chunks, which costs less.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import time
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

from audiosocket_gw.runtime.bulkhead import current_bulkhead
from audiosocket_gw.runtime.dns import SharedLookups

logger = logging.getLogger("audiosocket_gw.runtime")

GATHER_S = 0.0004
"""Time between a poll that found something and the next one. With little load, the next one is later
anyway."""

MOST_AT_ONCE = 64
"""Sockets that are served before the timers run again: a millisecond, at 10 to 20 us each."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Ready = list[tuple[selectors.SelectorKey, int]]


class CoalescingSelector(selectors.DefaultSelector):
    """The system's selector, with a short pause after each poll that found something.

    It doesn't pause if there is other work, nor beyond the next timer. It returns the result of a large poll
    in portions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asleep_s = 0.0
        """How long the loop has slept so far, since there was nothing to do, in seconds."""
        self.polls = 0
        """Calls of `select`: the loop makes one in each iteration."""
        self._looked_at = 0.0
        self._rests_until = 0.0
        self._left: Ready = []

    @property
    def backlog_s(self) -> float:
        """How long the sockets that were found but not returned yet have waited, in seconds."""
        return time.monotonic() - self._looked_at if self._left else 0.0

    def select(self, timeout: float | None = None) -> Ready:
        self.polls += 1
        ready: Ready = []
        while self._left and not ready:
            ready = self._still_ready(self._take())
        if not ready:  # never before all are served, so that none is served twice
            self._left = self._look(timeout)
            ready = self._take()
        return ready

    def _take(self) -> Ready:
        portion, self._left = self._left[:MOST_AT_ONCE], self._left[MOST_AT_ONCE:]
        return portion

    def _still_ready(self, portion: Ready) -> Ready:
        """Drop sockets that were closed or re-registered meanwhile: their key is gone or a new object."""
        keys = self.get_map()
        return [(key, events) for key, events in portion if keys.get(key.fd) is key]

    def _look(self, timeout: float | None) -> Ready:
        if timeout is not None and timeout <= 0:
            ready = super().select(timeout)
            self._looked_at = time.monotonic()
        else:
            began = time.monotonic()
            rest = self._rests_until - began
            if rest > 0:
                if timeout is not None:
                    rest = min(rest, timeout)
                    timeout -= rest
                time.sleep(rest)
            ready = super().select(timeout)
            self._looked_at = time.monotonic()
            self.asleep_s += self._looked_at - began
        self._rests_until = self._looked_at + GATHER_S if ready else 0.0
        return ready


class GatewayEventLoop(asyncio.SelectorEventLoop):
    """Polls its sockets with a `CoalescingSelector`, and looks hosts up with `SharedLookups`.

    Code behind a `Bulkhead` uses the threads of the bulkhead in place of the default executor, also for
    look-ups, and can neither stop the loop nor end it with SystemExit or KeyboardInterrupt.
    """

    def __init__(self, selector: CoalescingSelector | None = None) -> None:
        self._coalescing = selector or CoalescingSelector()
        super().__init__(self._coalescing)
        self._lookups = SharedLookups()

    @property
    def backlog_s(self) -> float:
        """How long readable sockets have waited to be served, in seconds."""
        return self._coalescing.backlog_s

    @property
    def asleep_s(self) -> float:
        """How long the loop has slept so far, in seconds."""
        return self._coalescing.asleep_s

    @property
    def iteration(self) -> int:
        """The number of the loop's iteration."""
        return self._coalescing.polls

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        lookup = super().getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)
        return await self._lookups.ask((current_bulkhead(), host, port, family, type, proto, flags), lookup)

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        bulkhead = current_bulkhead()
        if bulkhead is None:
            return super().run_in_executor(executor, func, *args)
        # In its context, as with `asyncio.to_thread`: what it logs and prints names its call.
        inside = partial(copy_context().run, func, *args)
        return super().run_in_executor(bulkhead.threads if executor is None else executor, inside)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        bulkhead = current_bulkhead()
        if bulkhead is None or not asyncio.iscoroutine(coro):
            return super().create_task(coro, **options)
        return bulkhead.start(coro, partial(super().create_task, **options))

    def stop(self) -> None:
        bulkhead = current_bulkhead()
        if bulkhead is None:
            super().stop()
        else:
            logger.error("%s tried to stop the event loop, and with it all calls: ignored", bulkhead.name)


def backlog_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return a function that returns how long the loop's sockets have waited, in s; 0.0 on other loops."""
    if isinstance(loop, GatewayEventLoop):
        return lambda: loop.backlog_s
    return lambda: 0.0


def iteration_of(loop: asyncio.AbstractEventLoop) -> Callable[[], int]:
    """Return a function that returns the number of the loop's iteration; on other loops, of its 10 ms."""
    if isinstance(loop, GatewayEventLoop):
        return lambda: loop.iteration
    return lambda: int(loop.time() * 100)
