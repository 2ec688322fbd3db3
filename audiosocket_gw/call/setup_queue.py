"""The queue of calls that wait for their set-up: who begins when, and who is rejected. Pure.

A set-up costs as much as a second or more of a call: REST, TLS, the WebSocket. Set-ups therefore begin one
after the other, in the time that the calls in progress leave. A caller that hangs up before its turn costs no
request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

SETUPS_AT_ONCE = 20

COUNTED_S = 0.25
"""How long a set-up counts among these. After that it waits for others rather than working: an agent that
doesn't answer must not keep the callers of other agents waiting."""

LONGEST_WAIT_S = 5.0
"""How long a call waits for its turn while there is room for it. (Without room: see `Load`.)"""

STEP_S = 0.005
"""Time between two calls of `SetupQueue.advance`, and the shortest wait for a turn."""


class SetupLoad(Protocol):
    """What the queue asks, and tells, the load of the process."""

    waiting: int

    @property
    def overloaded(self) -> bool: ...

    @property
    def has_room(self) -> bool: ...

    @property
    def setup_interval_s(self) -> float: ...

    def begin_setup(self) -> None: ...

    def end_setup(self) -> None: ...


@dataclass(eq=False, slots=True)
class Ticket:
    """One call's place in the queue, and then its set-up."""

    host: str
    joined_at: float
    is_over: Callable[[], bool]
    """Whether the call has ended: its caller may have gone, though the call hasn't left the queue yet."""
    begun_at: float | None = None
    """When its set-up began."""


class SetupQueue:
    """Calls in the order of their arrival, with the hosts they come from in turn. Times are in seconds."""

    def __init__(self, load: SetupLoad, *, may_reject: bool = True) -> None:
        """``may_reject``: without it, calls wait as long as they have to, and needn't have room."""
        self._load = load
        self._may_reject = may_reject
        self._hosts: dict[str, dict[Ticket, None]] = {}
        self._running: dict[Ticket, float] = {}
        self._next_at = 0.0

    def __len__(self) -> int:
        """Return how many calls wait."""
        return sum(map(len, self._hosts.values()))

    def join(self, host: str, now: float, is_over: Callable[[], bool] = lambda: False) -> Ticket:
        """Add a call from Asterisk at ``host``."""
        ticket = Ticket(host, now, is_over)
        self._hosts.setdefault(host, {})[ticket] = None
        self._load.waiting += 1
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Remove a call: its set-up is over, or it waits no longer."""
        if ticket.begun_at is not None:
            self._running.pop(ticket, None)
            self._load.end_setup()
        else:
            self._remove(ticket)

    def advance(self, now: float) -> tuple[list[Ticket], dict[Ticket, str]]:
        """Return the calls whose set-up begins now, and those that are rejected, each with the cause."""
        rejected = self._reject(now) if self._may_reject else {}
        begun = []
        while self._is_free(now) and (ticket := self._first(now)) is not None:
            if ticket.is_over():
                self._remove(ticket)
                continue
            self._next_at = max(self._next_at, now - STEP_S) + self._load.setup_interval_s
            self._remove(ticket)
            if ticket.host in self._hosts:
                self._hosts[ticket.host] = self._hosts.pop(ticket.host)  # the last one in the next round
            ticket.begun_at = now
            self._running[ticket] = now
            self._load.begin_setup()
            begun.append(ticket)
        return begun, rejected

    def _is_free(self, now: float) -> bool:
        """Return whether a set-up may begin."""
        if now < self._next_at:
            return False
        while self._running and next(iter(self._running.values())) <= now - COUNTED_S:
            del self._running[next(iter(self._running))]
        return len(self._running) < SETUPS_AT_ONCE and (self._load.has_room or not self._may_reject)

    def _first(self, now: float) -> Ticket | None:
        """Return the call whose turn is next. None has one before it has waited for a step."""
        first_of_hosts = (next(iter(tickets)) for tickets in self._hosts.values())
        return next((ticket for ticket in first_of_hosts if ticket.joined_at <= now - STEP_S), None)

    def _reject(self, now: float) -> dict[Ticket, str]:
        rejected: dict[Ticket, str] = {}
        for tickets in self._hosts.values():
            for ticket in tickets:
                if self._load.overloaded:
                    rejected[ticket] = "one more call would have harmed those in progress"
                elif ticket.joined_at <= now - LONGEST_WAIT_S:
                    rejected[ticket] = f"too many calls began at once: no turn in {LONGEST_WAIT_S:g} s"
                else:
                    break
        for ticket in rejected:
            self._remove(ticket)
        return rejected

    def _remove(self, ticket: Ticket) -> None:
        tickets = self._hosts.get(ticket.host)
        if tickets is not None and ticket in tickets:
            del tickets[ticket]
            self._load.waiting -= 1
            if not tickets:
                del self._hosts[ticket.host]
