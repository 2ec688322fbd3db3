"""The gateway's event loop with a clock that jumps to the next timer: minutes of a call in milliseconds.

Sockets, threads and processes are real. What is sent to a socket of this machine is there at once, so nothing
is late, however busy the machine is.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

from audiosocket_gw.runtime.event_loop import CoalescingSelector, GatewayEventLoop, Ready
from tests.harness.waiting import PATIENCE

LIMIT_S = 60.0
"""Seconds of CPU time that a test may take, and of real time that it may wait for threads and processes."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _JumpingSelector(CoalescingSelector):
    """Never waits for a timer: where the loop would sleep, its clock moves on instead.

    While threads of the loop work, its clock is a real one, or all deadlines would be over before they end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.threads = 0
        self._waited_s = 0.0
        self._began_at = time.process_time()

    @property
    def backlog_s(self) -> float:
        return 0.0

    def _look(self, timeout: float | None) -> Ready:
        ready = self._poll(0)
        if ready or timeout == 0:
            return ready
        if timeout is not None and not self.threads:
            self.now += timeout
            self.asleep_s += timeout
            if time.process_time() - self._began_at > LIMIT_S * PATIENCE:
                self._began_at = time.process_time()  # the end of the test takes time, too
                raise RuntimeError("the test waits for what does not come")
            return []
        return self._wait(timeout)

    def _wait(self, timeout: float | None) -> Ready:
        """Wait in real time: without a timer only a thread or a process can end it."""
        left = LIMIT_S * PATIENCE - self._waited_s
        began = time.monotonic()
        ready = self._poll(left if timeout is None else min(timeout, left))
        passed = time.monotonic() - began
        self.now += passed
        self.asleep_s += passed
        self._waited_s += passed
        if not ready and self._waited_s > LIMIT_S * PATIENCE:
            self._waited_s = 0
            raise RuntimeError("the test waits for a thread or a process that does not end")
        return ready

    def _poll(self, timeout: float) -> Ready:
        return selectors.DefaultSelector.select(self, timeout)


class VirtualTimeLoop(GatewayEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def hold_up(self, seconds: float) -> None:
        """Be as late as after a step of the loop that took that long."""
        self._jumping.now += seconds

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the threads in real time: the 300 s that Python 3.12 passes would be over at once."""
        await super().shutdown_default_executor()

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        working = super().run_in_executor(executor, func, *args)
        self._jumping.threads += 1
        working.add_done_callback(self._thread_is_done)
        return working

    def _thread_is_done(self, _: asyncio.Future[Any]) -> None:
        self._jumping.threads -= 1
