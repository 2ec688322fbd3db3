"""The calls of the process: one per UUID, each in its own task."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from audiosocket_gw.ami.result import CallResult
from audiosocket_gw.call.call import Call
from audiosocket_gw.call.caller_leg import CallerLeg
from audiosocket_gw.call.context import CallContext
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.log.current_call import enter_call
from audiosocket_gw.server.admission import LIST_IT, Admission

logger = logging.getLogger("audiosocket_gw.server")

REPORTS_AT_ONCE = 50
"""Rejections of guests that are reported to the dialplan at the same time; each asks Asterisk something."""

CALLS_END_S = 2.5
CALLS_STOP_S = 0.5
"""When the gateway stops: the time for calls to end in order, and then to stop after cancellation."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a call can't begin. ``detail`` says more, for the log."""

    reason: EndReason
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason.value


class Calls:
    """Starts calls and ends them.

    A call frees its UUID and its place when its caller has gone; it may take longer to end.
    """

    def __init__(self, context: CallContext, admission: Admission) -> None:
        self._context = context
        self._admission = admission
        self._callers: dict[UUID, asyncio.Future[None]] = {}
        self._calls: dict[asyncio.Task[None], Call] = {}
        self._jobs: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Return the number of calls in progress or still closing their agent's connection."""
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        """Iterate over the same calls, the oldest first."""
        return iter(tuple(self._calls.values()))

    @property
    def callers(self) -> int:
        """The number of calls with a caller."""
        return len(self._callers)

    @property
    def queued_ms(self) -> int:
        """The longest queue of audio for a caller."""
        return max((call.playout.queued_ms for call in self._calls.values()), default=0)

    @property
    def rejection_reason(self) -> EndReason | None:
        """Why no call can begin now, or None."""
        return self._admission.reject_call(self.callers, len(self), overloaded=self._context.load.overloaded)

    def reject(self, uuid: UUID, guest: str | None) -> Rejection | None:
        """Return why this call of a guest (None: of a known PBX) can't begin now, or None: it can."""
        uuids = self._admission.signed_uuids
        if uuids is not None and (why := uuids.reject(uuid, time.time())) is not None:
            return Rejection(EndReason.UUID_INVALID, why)
        reason = self.rejection_reason
        if reason is not None:
            return Rejection(reason)
        if guest is not None:
            now, capacity = asyncio.get_running_loop().time(), self._context.load.figures().capacity
            why = self._admission.guests.reject_call(guest, now, capacity)
            if why is not None:
                return Rejection(EndReason.PEER_LIMIT, f"{why}; {LIST_IT}")
        return None

    def start(
        self, uuid: UUID, leg: CallerLeg, caller_gone: asyncio.Future[None], guest: str | None
    ) -> Call | None:
        """Start the call, or return None if a call with this UUID has a caller.

        ``caller_gone`` is done when the connection to Asterisk is closed. A ``guest`` has its place until
        then, and until the call is over.
        """
        if uuid in self._callers:
            return None
        for ending in self._calls.values():
            if ending.uuid == uuid:
                ending.supersede()
        if self._admission.signed_uuids is not None:
            self._admission.signed_uuids.use(uuid)
        call = Call(uuid, leg, self._context)
        task = asyncio.get_running_loop().create_task(_run(call), name=f"call {uuid}")
        self._callers[uuid] = caller_gone
        self._calls[task] = call
        task.add_done_callback(self._calls.pop)
        if guest is not None:
            self._take_place(guest, task, caller_gone)
        return call

    def _take_place(self, guest: str, call: asyncio.Task[None], caller_gone: asyncio.Future[None]) -> None:
        guests = self._admission.guests
        guests.begin_call(guest)
        call.add_done_callback(lambda _: caller_gone.add_done_callback(lambda _: guests.end_call(guest)))

    def find(self, uuid: UUID) -> Call | None:
        """Return the call with this UUID, if it has a caller."""
        if uuid not in self._callers:
            return None
        # An earlier call with this UUID may still be closing.
        return next((call for call in reversed(self._calls.values()) if call.uuid == uuid), None)

    def renew(self, context: CallContext) -> Coroutine[None, None, None]:
        """Start further calls with ``context``; the result waits until those in progress now are over."""
        self._context = context
        return _ended(set(self._calls))

    def caller_of(self, uuid: UUID) -> asyncio.Future[None] | None:
        """Return the ``caller_gone`` of the call with this UUID, if it has a caller."""
        return self._callers.get(uuid)

    def caller_left(self, uuid: UUID, caller_gone: asyncio.Future[None]) -> None:
        """Free the UUID and the place of a call, if this was its caller."""
        if self._callers.get(uuid) is caller_gone:
            del self._callers[uuid]

    # Rejections

    def can_report(self, host: str, guest: str | None) -> bool:
        """Return whether a rejection can be reported to the dialplan of the Asterisk at ``host``."""
        if guest is not None and len(self._jobs) >= REPORTS_AT_ONCE:
            return False
        return self._context.pbxs.find(host) is not None

    async def report_rejection(self, uuid: UUID, host: str, reason: EndReason) -> None:
        """Report the rejection to the dialplan of the Asterisk at ``host``, if possible."""
        control = self._context.pbxs.find(host)
        if control is not None:
            await CallResult(control, uuid).report(reason, caller_present=True)

    def run(self, job: Coroutine[None, None, None], name: str) -> None:
        """Run what precedes or replaces a call, in its own task."""
        task = asyncio.get_running_loop().create_task(job, name=name)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    # The end

    async def wait(self) -> None:
        """Wait until there is no call."""
        while self._calls:
            await asyncio.wait(self._calls)

    async def end(self, detail: str) -> None:
        """End all calls in order; cancel those that take too long; abandon those that still don't stop."""
        for call in self._calls.values():
            call.cut(detail)
        await self._wait_for(CALLS_END_S)
        for task in self._calls:
            task.cancel()
        await self._wait_for(CALLS_STOP_S)
        if self._calls:
            uuids = ", ".join(str(call.uuid) for call in self._calls.values())
            logger.error("abandoned %d calls, which did not stop: %s", len(self), uuids)

    async def _wait_for(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()


async def _ended(calls: set[asyncio.Task[None]]) -> None:
    if calls:
        await asyncio.wait(calls)


async def _run(call: Call) -> None:
    enter_call(call.uuid)
    await call.run()
