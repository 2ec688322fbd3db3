"""The gateway as a process that tells how long its event loop was held up.

``python -m tests.chaos.probe FD serve`` is ``audiosocket-gw serve``, whose loop also answers each byte that
arrives at the socket FD with a line of JSON: the fields of `Answer`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from unittest import mock

from audiosocket_gw.commands import cli, serve
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.runtime.event_loop import CoalescingSelector, GatewayEventLoop, Ready

MS = 1e6
"""Nanoseconds."""

COUNT_OBJECTS = b"o"
"""The question for the number of objects that the garbage collector knows."""

PERIOD = 20_000_000
"""ns, as of the calls' own timer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the loop did since the question before; times in ms."""

    turns: int
    hold_up_ms: float
    """The longest time between two polls of the sockets, without the time that the kernel took away."""
    hold_up_cpu_ms: float
    """The most CPU time of the loop's thread between two polls."""
    late_p99_ms: float
    """How late a timer of 20 ms is, without the time that the kernel took away."""
    gap_ms: float
    """The longest time between two runs of it, without the time that the kernel took away."""
    taken_ms: float
    """The longest time that others on the core took away between two of them."""
    tasks: int
    calls: int
    threads: int


class Clocks:
    """The clocks of a thread, in ns, as they are now; to be made in that thread."""

    def __init__(self, schedstat: int) -> None:
        self.wall = time.monotonic_ns()
        self.own = time.thread_time_ns()
        self.others = time.process_time_ns() - self.own
        self.waited = int(os.pread(schedstat, 64, 0).split()[1])

    def taken_since(self, before: Clocks) -> int:
        """Return how long other processes had the core meanwhile while the thread could have run.

        The thread also waits for other threads of its process: that is the gateway's own doing. Waiting for
        Python's lock isn't waiting for the core.
        """
        return max(0, self.waited - before.waited - max(0, self.others - before.others))


class Turns:
    """Measures each turn of the loop: what lies between two polls."""

    def __init__(self) -> None:
        self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._began: Clocks | None = None
        self.forget()

    def forget(self) -> None:
        self.count = 0
        self.hold_up = self.cpu = 0

    def begin(self) -> None:
        self._began = self.clocks()

    def end(self) -> None:
        if self._began is None:
            return
        before, now = self._began, self.clocks()
        self._began = None
        self.count += 1
        self.hold_up = max(self.hold_up, now.wall - before.wall - now.taken_since(before))
        self.cpu = max(self.cpu, now.own - before.own)

    def clocks(self) -> Clocks:
        return Clocks(self._schedstat)


class Beat:
    """A timer of 20 ms, as the calls' own: how late it is for each of its deadlines."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clocks: Callable[[], Clocks]) -> None:
        self._loop = loop
        self._clocks = clocks
        self._last = clocks()
        self._due = self._last.wall + PERIOD
        self.forget()
        self._schedule()

    def forget(self) -> None:
        self.late: list[int] = []
        self.gap = self.taken = 0

    def _schedule(self) -> None:
        self._loop.call_at(self._due / 1e9, self._fire)

    def _fire(self) -> None:
        now = self._clocks()
        taken = now.taken_since(self._last)
        self.gap = max(self.gap, now.wall - self._last.wall - taken)
        self.taken = max(self.taken, taken)
        self._last = now
        while self._due <= now.wall:
            self.late.append(max(0, now.wall - self._due - taken))
            self._due += PERIOD
        self._schedule()

    @property
    def late_p99(self) -> int:
        return sorted(self.late)[len(self.late) * 99 // 100] if self.late else 0


class MeasuredSelector(CoalescingSelector):
    """The gateway's selector: the time outside it is a turn."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    def select(self, timeout: float | None = None) -> Ready:
        self._turns.end()
        ready = super().select(timeout)
        self._turns.begin()
        return ready


class Probe:
    """Answers at a socket what `Turns` measured, and what there is."""

    def __init__(self, questions: socket.socket) -> None:
        self._questions = questions
        self._turns = Turns()
        self._gateway: Gateway | None = None
        self._beat: Beat

    def event_loop(self) -> GatewayEventLoop:
        loop = GatewayEventLoop(MeasuredSelector(self._turns))
        loop.add_reader(self._questions, self._ask, loop)
        self._beat = Beat(loop, self._turns.clocks)
        return loop

    def gateway(self, *arguments: Any) -> Gateway:
        self._gateway = Gateway(*arguments)
        return self._gateway

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._questions.recv(1) == COUNT_OBJECTS:  # which takes a millisecond or two
            self._questions.send(b"%d\n" % len(gc.get_objects()))
            return
        loop.call_soon(self._answer, loop)  # in the next turn: this one may be the longest, and isn't over

    def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        turns, beat = self._turns, self._beat
        answer = Answer(
            turns=turns.count,
            hold_up_ms=turns.hold_up / MS,
            hold_up_cpu_ms=turns.cpu / MS,
            late_p99_ms=beat.late_p99 / MS,
            gap_ms=beat.gap / MS,
            taken_ms=beat.taken / MS,
            tasks=len(asyncio.all_tasks(loop)),
            calls=self._gateway.calls if self._gateway is not None else 0,
            threads=threading.active_count(),
        )
        turns.forget()
        beat.forget()
        self._questions.send(json.dumps(asdict(answer)).encode() + b"\n")


def main() -> int:
    probe = Probe(socket.socket(fileno=int(sys.argv[1])))
    with (
        mock.patch.object(serve, "GatewayEventLoop", probe.event_loop),
        mock.patch.object(serve, "Gateway", probe.gateway),
    ):
        return cli.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
