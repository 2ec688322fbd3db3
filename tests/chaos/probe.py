"""The gateway as a process that tells how long its event loop was held up.

``python -m tests.chaos.probe FD serve`` is ``audiosocket-gw serve``, whose loop also answers each byte that
arrives at the socket FD with a line of JSON: the fields of `Answer`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any
from unittest import mock

from audiosocket_gw.commands import cli, serve
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.runtime.event_loop import CoalescingSelector, GatewayEventLoop, Ready

MS = 1e6
"""Nanoseconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the loop did since the question before; times in ms."""

    turns: int
    hold_up_ms: float
    """The longest time between two polls of the sockets, without the time that the kernel took away."""
    hold_up_cpu_ms: float
    """The most CPU time of the loop's thread between two polls."""
    taken_ms: float
    """The longest time that others on the core took away between two polls."""
    tasks: int
    calls: int
    threads: int


class Turns:
    """Measures each turn of the loop: what lies between two polls.

    The thread may have to wait for its core, for other processes or for other threads of this one. Only the
    latter is the gateway's own doing. Waiting for Python's lock always is.
    """

    def __init__(self) -> None:
        self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self._began: tuple[int, int, int, int] | None = None
        self.forget()

    def forget(self) -> None:
        self.count = 0
        self.hold_up = self.cpu = self.taken = 0

    def _clocks(self) -> tuple[int, int, int, int]:
        """Return, in ns: wall time, CPU time of this thread and of the process, time waited for the core."""
        waited = int(os.pread(self._schedstat, 64, 0).split()[1])
        return time.monotonic_ns(), time.thread_time_ns(), time.process_time_ns(), waited

    def begin(self) -> None:
        self._began = self._clocks()

    def end(self) -> None:
        if self._began is None:
            return
        wall, own, whole, waited = (
            after - before for before, after in zip(self._began, self._clocks(), strict=True)
        )
        self._began = None
        taken = max(0, waited - max(0, whole - own))
        self.count += 1
        self.hold_up = max(self.hold_up, wall - taken)
        self.cpu = max(self.cpu, own)
        self.taken = max(self.taken, taken)


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

    def event_loop(self) -> GatewayEventLoop:
        loop = GatewayEventLoop(MeasuredSelector(self._turns))
        loop.add_reader(self._questions, self._ask, loop)
        return loop

    def gateway(self, *arguments: Any) -> Gateway:
        self._gateway = Gateway(*arguments)
        return self._gateway

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        self._questions.recv(1)
        loop.call_soon(self._answer, loop)  # in the next turn: this one may be the longest, and isn't over

    def _answer(self, loop: asyncio.AbstractEventLoop) -> None:
        turns = self._turns
        answer = Answer(
            turns=turns.count,
            hold_up_ms=turns.hold_up / MS,
            hold_up_cpu_ms=turns.cpu / MS,
            taken_ms=turns.taken / MS,
            tasks=len(asyncio.all_tasks(loop)),
            calls=self._gateway.calls if self._gateway is not None else 0,
            threads=threading.active_count(),
        )
        turns.forget()
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
