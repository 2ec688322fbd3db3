"""Lets calls wait for their turn to be set up, on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from audiosocket_gw.call.setup_queue import STEP_S, SetupQueue, Ticket
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import CallRejected
from audiosocket_gw.log.current_call import outside_calls
from audiosocket_gw.runtime.load import Load


class Setups:
    """The set-ups of all calls. There is one timer for the process, while a call waits."""

    def __init__(self, load: Load, *, may_reject: bool) -> None:
        self._queue = SetupQueue(load, may_reject=may_reject)
        self._turns: dict[Ticket, asyncio.Future[str | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._context = outside_calls()

    @asynccontextmanager
    async def turn(self, host: str, ended: asyncio.Future[Any]) -> AsyncIterator[None]:
        """Wait until the call from Asterisk at ``host`` may be set up; the block is the set-up.

        No turn comes at once, and none once the call has ``ended``: a caller that has gone by the next step
        costs no request.

        Raises:
            CallRejected: there is no room for the call (`EndReason.OVERLOADED`).
        """
        loop = asyncio.get_running_loop()
        ticket = self._queue.join(host, loop.time(), ended.done)
        turn = self._turns[ticket] = loop.create_future()
        if self._timer is None:
            self._timer = loop.call_later(STEP_S, self._advance, context=self._context)
        try:
            rejection = await turn
            if rejection is not None:
                raise CallRejected(CallEnd(EndReason.OVERLOADED, rejection))
            yield
        finally:
            del self._turns[ticket]
            self._queue.leave(ticket)

    def _advance(self) -> None:
        loop = asyncio.get_running_loop()
        begun, rejected = self._queue.advance(loop.time())
        for ticket in begun:
            self._answer(ticket, None)
        for ticket, cause in rejected.items():
            self._answer(ticket, cause)
        self._timer = loop.call_later(STEP_S, self._advance, context=self._context) if self._queue else None

    def _answer(self, ticket: Ticket, rejection: str | None) -> None:
        turn = self._turns[ticket]
        if not turn.done():  # its call was cancelled in this iteration, and leaves in the next one
            turn.set_result(rejection)
