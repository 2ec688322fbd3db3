"""A core that the gateway shares with others, simulated in steps of a millisecond: no clock, no process.

The calls, their set-ups and what others take from the core are the test's; `Load` and `SetupQueue` are the
real ones. As in the event loop, ticks come before sockets, and a late timer runs all ticks that are due.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from audiosocket_gw.call.setup_queue import STEP_S, SetupQueue, Ticket
from audiosocket_gw.runtime.core_time import CoreTime
from audiosocket_gw.runtime.load import Load
from audiosocket_gw.runtime.ticker import MAX_CATCH_UP_S, SLOT_S

MS = 0.001

TICKS = 0.4
"""How much of a call's work is done in ticks; the rest is reading sockets."""

BATCHED = 0.48
"""How much of it is saved, in the end, by batches: 24 % in batches of 40 ms, 32 % in those of 60 ms."""

LARGEST_BACKLOG_S = 0.1
"""What waits in sockets is read in larger and larger pieces, which cost little more."""

REMOTE_S = 0.3
"""How long a set-up lasts, most of it waiting for ElevenLabs."""


@dataclass(frozen=True, slots=True)
class Share:
    """What the process gets of the core: a share of the time, and how fast the core is meanwhile."""

    time: float = 1.0
    speed: float = 1.0


Shares = Callable[[float], Share]


def alone(_: float) -> Share:
    return Share()


@dataclass
class Outcome:
    """What happened to the callers, and to the calls in progress."""

    offered: int = 0
    rejected: int = 0
    gone: int = 0
    begun: int = 0
    lateness_ms: list[float] = field(default_factory=list)
    """Of all callers' frames: one value for each tick."""
    turns: list[float] = field(default_factory=list)
    """How long calls have waited for their turn, in s."""
    changes: list[float] = field(default_factory=list)
    """When the gateway began, and ceased, to be overloaded."""

    @property
    def rejected_share(self) -> float:
        return self.rejected / self.offered

    def p99_ms(self) -> float:
        return sorted(self.lateness_ms)[len(self.lateness_ms) * 99 // 100]


class SimulatedCore:
    """Runs ``calls`` from the beginning; `ring` and `run` add others."""

    def __init__(
        self,
        *,
        call_ms: float = 1.25,
        setup_ms: float = 5.0,
        calls: int = 0,
        hold_s: float = 1e9,
        shares: Shares = alone,
        most_frames: int = 1,
        seed: int = 0,
    ) -> None:
        """``call_ms`` and ``setup_ms`` are CPU times on a core of speed 1; ``hold_s`` is how long calls last,
        on average.
        """
        self.now = 0.0
        self.outcome = Outcome()
        self.load = Load(1, most_frames, lambda: CoreTime(self._asleep_s, self._waited_s))
        self.queue = SetupQueue(self.load)
        self.shares = shares
        self._call_s, self._setup_s, self._hold_s = call_ms * MS, setup_ms * MS, hold_s
        self._random = random.Random(seed)
        self._cpu_s = self._asleep_s = self._waited_s = 0.0
        self._tick_work = self._socket_work = 0.0
        self._deadline, self._advance_at = SLOT_S, STEP_S
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        for _ in range(calls):
            self.load.on_clock += 1
            self._hang_up_later()

    @property
    def calls(self) -> int:
        """Calls in progress."""
        return self.load.on_clock - self.load.waiting

    # Callers

    def ring(self, gone_after_s: float | None = None) -> None:
        """Have a caller arrive, who hangs up after ``gone_after_s`` if the set-up hasn't begun by then."""
        self.outcome.offered += 1
        if self.load.overloaded:
            self.outcome.rejected += 1
            return
        self.load.on_clock += 1
        ticket = self.queue.join("pbx", self.now)
        if gone_after_s is not None:
            self._after(gone_after_s, lambda: self._leave_unless_begun(ticket))

    def _leave_unless_begun(self, ticket: Ticket) -> None:
        if ticket.begun_at is None:
            self.outcome.gone += 1
            self.queue.leave(ticket)
            self.load.on_clock -= 1

    def _advance(self) -> None:
        begun, rejected = self.queue.advance(self.now)
        for ticket in begun:
            self.outcome.begun += 1
            self.outcome.turns.append(self.now - ticket.joined_at)
            self._socket_work += self._setup_s
            self._after(REMOTE_S, lambda ticket=ticket: self.queue.leave(ticket))  # type: ignore[misc]
            self._hang_up_later()
        self.outcome.rejected += len(rejected)
        self.load.on_clock -= len(rejected)

    def _hang_up_later(self) -> None:
        self._after(self._random.expovariate(1 / self._hold_s), self._hang_up)

    def _hang_up(self) -> None:
        self.load.on_clock -= 1

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now + seconds, self._number, then))

    # The core

    def run(self, seconds: float, *, calls_per_s: float = 0.0) -> Outcome:
        """Pass so many seconds, in which callers arrive at random."""
        ends_at = self.now + seconds
        next_call = self.now + self._random.expovariate(calls_per_s) if calls_per_s else inf
        while self.now < ends_at:
            self.now += MS
            while next_call <= self.now:
                self.ring()
                next_call += self._random.expovariate(calls_per_s)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            self._work(self.shares(self.now))
        return self.outcome

    def _work(self, share: Share) -> None:
        """Pass a millisecond."""
        each = self._call_s * self.calls * MS
        batch = self.load.batch_frames
        self._socket_work += each * (1 - TICKS - BATCHED * (1 - 1 / batch))
        self._socket_work = min(self._socket_work, LARGEST_BACKLOG_S)
        if self._deadline <= self.now and share.time > 0:
            self._fire(each)
        if self._advance_at <= self.now and share.time > 0:
            self._advance_at = self.now + STEP_S
            if len(self.queue):
                self._advance()
        wanted_s = (self._tick_work + self._socket_work) / share.speed
        used_s = min(wanted_s, share.time * MS)
        work = used_s * share.speed
        in_ticks = min(work, self._tick_work)
        self._tick_work -= in_ticks
        self._socket_work -= work - in_ticks
        self._cpu_s += used_s
        waited_s = used_s * (1 / share.time - 1) if share.time > 0 else MS * (wanted_s > 0)
        self._waited_s += waited_s
        self._asleep_s += max(0.0, MS - used_s - waited_s)

    def _fire(self, each: float) -> None:
        """Run the ticks that are due, as `Ticker` does."""
        late_s = self.now - self._deadline
        if late_s > MAX_CATCH_UP_S:
            self._deadline += late_s - MAX_CATCH_UP_S
        while self._deadline <= self.now:
            self.outcome.lateness_ms.append((self.now - self._deadline + self._tick_work) * 1000)
            self._tick_work += each / MS * TICKS * SLOT_S
            self._deadline += SLOT_S
        was_overloaded = self.load.overloaded
        self.load.record_tick(max(late_s, self._socket_work), self.now, self._cpu_s)
        if self.load.overloaded is not was_overloaded:
            self.outcome.changes.append(self.now)
