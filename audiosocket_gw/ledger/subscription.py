"""What happens in calls, as a stream for one consumer, who may be slow."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple, Self
from uuid import UUID

from audiosocket_gw.events import AgentPinged, CallEvent
from audiosocket_gw.ledger.record import CallRecord


class Update(NamedTuple):
    """An event, the record of its call after it, and when it was, in ms since the start of the call."""

    event: CallEvent
    record: CallRecord
    at_ms: int


class Subscription:
    """The updates since `Ledger.subscribe`, in order: an asynchronous iterator for one task.

    It ends when the gateway stops. A consumer that is slow loses the oldest updates: ``dropped`` counts them.
    """

    def __init__(self, limit: int, uuid: UUID | None) -> None:
        """``limit``: updates that wait. ``uuid``: the only call of interest, or None: all calls."""
        self.dropped = 0
        self._uuid = uuid
        self._waiting: deque[Update] = deque(maxlen=limit)
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def add(self, event: CallEvent, record: CallRecord, at_ms: int) -> None:
        """Add an update, if it is of interest."""
        if self._uuid is not None and event.uuid != self._uuid:
            return
        if isinstance(event, AgentPinged):  # every other second in each call, and the record doesn't change
            return
        if len(self._waiting) == self._waiting.maxlen:
            self.dropped += 1
        self._waiting.append(Update(event, record, at_ms))
        self._wake()

    def close(self) -> None:
        """End the iteration, after the updates that wait."""
        self._closed = True
        self._wake()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._waiting.popleft()

    def take(self) -> list[Update]:
        """Return the updates that wait, without waiting for one."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
