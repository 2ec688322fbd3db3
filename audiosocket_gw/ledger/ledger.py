"""The ledger: the records of all calls, while they are up and for a while afterwards."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.events import CallEnded, CallEvent, CallStarted
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.ledger.reducer import begin, reduce
from audiosocket_gw.ledger.subscription import Subscription
from audiosocket_gw.ledger.trouble import is_bad

logger = logging.getLogger("audiosocket_gw.ledger")

MAX_RECENT = 100
"""Ended calls that the ledger keeps."""

MAX_UPDATES = 256
"""Updates that wait for a subscriber."""

Follower = Callable[[CallEvent, CallRecord], None]
"""Receives each event and the record after it, on the event loop: it must return at once and not raise."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The calls since the start of the process. ``bad``: those ended ones that somebody should look at."""

    started: int
    ended: Mapping[EndReason, int]
    bad: int


@dataclass(slots=True, eq=False)
class _Entry:
    """A call that is up; ``started``: the loop time of its start."""

    record: CallRecord
    started: float


class Ledger:
    """An observer of all calls: reduces their events to their records, and passes these on to followers.

    It works per event, never per frame. All of it belongs to the event loop.
    """

    def __init__(
        self,
        followers: Sequence[Follower] = (),
        *,
        wall_clock: Callable[[], float] = time.time,
        max_recent: int = MAX_RECENT,
    ) -> None:
        self._wall_clock = wall_clock
        self._followers = list(followers)
        self._subscriptions: set[Subscription] = set()
        self._live: dict[UUID, _Entry] = {}
        self._superseded: list[_Entry] = []
        self._recent: deque[CallRecord] = deque(maxlen=max_recent)
        self._closed = False
        self._started = self._bad = 0
        self._ended: Counter[EndReason] = Counter()
        self.since = wall_clock()
        """When the ledger began, in seconds since the epoch."""

    def observe(self, event: CallEvent) -> None:
        """Enter an event: an `Observer`."""
        if isinstance(event, CallStarted):
            entry = self._begin(event)
        else:
            found = self._find(event)
            if found is None:
                return
            entry = found
            entry.record = reduce(entry.record, event, entry.started)
            if isinstance(event, CallEnded):
                self._end(entry, event.reason)
        at_ms = round((event.at - entry.started) * 1000)
        for subscription in self._subscriptions:
            subscription.add(event, entry.record, at_ms)
        for follower in self._followers:
            try:
                follower(event, entry.record)
            except Exception:  # a follower must harm neither a call nor the others
                logger.exception("a follower of the ledger failed on %s", type(event).__name__)

    def follow(self, follower: Follower) -> None:
        """Pass on all further events, with the record after each."""
        self._followers.append(follower)

    @contextmanager
    def subscribe(self, uuid: UUID | None = None, *, limit: int = MAX_UPDATES) -> Iterator[Subscription]:
        """Yield a stream of all further updates, or those of one call; ``limit``: updates that wait."""
        subscription = Subscription(limit, uuid)
        if self._closed:
            subscription.close()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)

    def close(self) -> None:
        """End all subscriptions."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()

    # What is known

    def live(self) -> tuple[CallRecord, ...]:
        """Return the records of the calls that are up, the oldest first."""
        return tuple(entry.record for entry in self._live.values())

    def recent(self) -> tuple[CallRecord, ...]:
        """Return the records of the calls that ended last, the latest first."""
        return tuple(reversed(self._recent))

    def find(self, uuid: UUID) -> CallRecord | None:
        """Return the record of a call that is up, or ended not long ago."""
        if (entry := self._live.get(uuid)) is not None:
            return entry.record
        return next((record for record in reversed(self._recent) if record.uuid == uuid), None)

    def age_ms(self, uuid: UUID) -> int | None:
        """Return how long the call has been up, or None: it isn't."""
        entry = self._live.get(uuid)
        return None if entry is None else round((_loop_time() - entry.started) * 1000)

    def counts(self) -> Counts:
        """Return the number of calls since the start of the process."""
        return Counts(self._started, MappingProxyType(dict(self._ended)), self._bad)

    # Entering

    def _begin(self, event: CallStarted) -> _Entry:
        started_at = self._wall_clock() - (_loop_time() - event.at)
        entry = _Entry(begin(event, started_at), event.at)
        # A caller that has left may call again before its first call is over: see `Calls`.
        if (superseded := self._live.pop(event.uuid, None)) is not None:
            self._superseded.append(superseded)
        self._live[event.uuid] = entry
        self._started += 1
        return entry

    def _find(self, event: CallEvent) -> _Entry | None:
        # Each call has a UUID object of its own, which tells a superseded call from the one after it.
        for entry in self._superseded:
            if entry.record.uuid is event.uuid:
                return entry
        return self._live.get(event.uuid)

    def _end(self, entry: _Entry, reason: EndReason) -> None:
        if self._live.get(entry.record.uuid) is entry:
            del self._live[entry.record.uuid]
        else:
            self._superseded.remove(entry)
        self._recent.append(entry.record)
        self._ended[reason] += 1
        self._bad += is_bad(entry.record)


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
