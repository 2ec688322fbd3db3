"""The calls of the process: one for each UUID, each in a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from uuid import UUID

from audiosocket_gw.ami.result import CallResult
from audiosocket_gw.call.call import Call
from audiosocket_gw.call.caller_leg import CallerLeg
from audiosocket_gw.call.context import CallContext
from audiosocket_gw.events import EndReason
from audiosocket_gw.server.admission import Admission

logger = logging.getLogger("audiosocket_gw.server")

CALLS_END_S = 2.5
CALLS_STOP_S = 0.5
"""When the gateway stops: how long calls may take to end in order, and then to stop when cancelled."""


class Calls:
    """Starts calls and ends them.

    A call gives its UUID and its place away when its caller has gone; the rest of it may take longer to end.
    """

    def __init__(self, context: CallContext, admission: Admission) -> None:
        self._context = context
        self._admission = admission
        self._callers: dict[UUID, asyncio.Future[None]] = {}
        self._calls: dict[asyncio.Task[None], Call] = {}
        self._jobs: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Count the calls that are up, or still closing their agent's connection."""
        return len(self._calls)

    @property
    def callers(self) -> int:
        """How many calls have a caller."""
        return len(self._callers)

    @property
    def rejection_reason(self) -> EndReason | None:
        """Why no call can begin now; None: one can."""
        return self._admission.reject_call(self.callers, len(self), overloaded=self._context.load.overloaded)

    def start(self, uuid: UUID, leg: CallerLeg, caller_gone: asyncio.Future[None]) -> Call | None:
        """Begin the call, or return None when a call with this UUID has a caller.

        ``caller_gone`` is done when the connection to Asterisk is closed.
        """
        if uuid in self._callers:
            return None
        for ending in self._calls.values():
            if ending.uuid == uuid:
                ending.supersede()
        call = Call(uuid, leg, self._context)
        task = asyncio.get_running_loop().create_task(call.run(), name=f"call {uuid}")
        self._callers[uuid] = caller_gone
        self._calls[task] = call
        task.add_done_callback(self._calls.pop)
        return call

    def caller_of(self, uuid: UUID) -> asyncio.Future[None] | None:
        """Return what `start` was given for the call with this UUID, if it has a caller."""
        return self._callers.get(uuid)

    def caller_left(self, uuid: UUID, caller_gone: asyncio.Future[None]) -> None:
        """Give the UUID and the place of a call away, if this was its caller."""
        if self._callers.get(uuid) is caller_gone:
            del self._callers[uuid]

    # Rejections

    def can_report(self, host: str) -> bool:
        """Tell whether the dialplan of the Asterisk at ``host`` can be told why a call is rejected."""
        return self._context.pbxs.find(host) is not None

    async def report_rejection(self, uuid: UUID, host: str, reason: EndReason) -> None:
        """Tell the dialplan of the Asterisk at ``host`` why the call is rejected, where that is possible."""
        control = self._context.pbxs.find(host)
        if control is not None:
            await CallResult(control, uuid).report(reason, caller_present=True)

    def run(self, job: Coroutine[None, None, None], name: str) -> None:
        """Run what precedes a call, or takes its place, in a task of its own."""
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
