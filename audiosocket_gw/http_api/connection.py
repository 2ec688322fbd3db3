"""One HTTP connection: uvicorn's, with limits in time and work."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import cast

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from audiosocket_gw.http_api.bounded_requests import BoundedRequests
from audiosocket_gw.runtime.loop_budget import LoopBudget

logger = logging.getLogger("audiosocket_gw.http")

RECEIVE_BYTES = 4_096
"""What one read returns at most. uvicorn parses all of a read in one step of the loop."""

REQUEST_S = 10.0
"""Time for the whole of a request to arrive: from the beginning, or from the end of the one before."""

STALLED_S = 30.0
"""Time that a reader may stop for, before the connection is cut."""

CLOSING_S = 5.0
"""Time to read the rest of a last response."""

DISCARDED_BYTES = 65_536
"""What is still read of a refused request: closing with unread bytes would reset the connection, and the
answer with it."""


class HttpConnection(H11Protocol, asyncio.BufferedProtocol):
    """Parses requests within the budget that all connections share, and has a deadline in each state."""

    def __init__(self, config: Config, state: ServerState, budget: LoopBudget, *, local: bool) -> None:
        """``local``: a connection to the Unix socket."""
        super().__init__(config, state, {"connection": self})
        self.conn = self._requests = BoundedRequests()
        self.logger = logger
        self.access_log = False
        self.is_local = local
        self.is_trusted = local
        """Whether a request had the right to pass: what is trusted never makes room for strangers."""
        self.is_dropped = False
        self._budget = budget
        self._buffer = bytearray(RECEIVE_BYTES)
        self._is_deferred = False
        self._is_refused = False
        self._discarded = 0
        self.since = self.loop.time()
        """When its state began: waiting for a request, responding, stalled or closing."""

    @property
    def descriptor(self) -> int:
        """The descriptor of the socket."""
        return int(self.transport.get_extra_info("socket").fileno())

    @property
    def is_busy(self) -> bool:
        """Whether a response is on its way."""
        return self.cycle is not None and not self.cycle.response_complete

    def check(self, now: float) -> None:
        """Cut the connection if it has been in its state for too long; called about once a second."""
        waited_s = now - self.since
        if self._is_refused or self.transport.is_closing():
            if waited_s > CLOSING_S:
                self.transport.abort()
        elif self.is_busy:
            if self.flow.write_paused and waited_s > STALLED_S:
                self.transport.abort()
        elif waited_s > REQUEST_S:
            self.transport.close()

    def drop(self) -> None:
        """Close at once, for a newer connection."""
        self.is_dropped = True
        self.transport.abort()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_refused:
            self._discarded += nbytes
            if self._discarded > DISCARDED_BYTES:
                self.transport.abort()
        else:
            self.data_received(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> None:
        """Close; asyncio does that when this returns None."""

    def pause_writing(self) -> None:
        self.since = self.loop.time()
        super().pause_writing()

    # Called by uvicorn

    def handle_events(self) -> None:
        """Start the requests that have arrived, now or, if too many do, in turn with other connections."""
        if self._is_deferred:
            return
        if self._budget.has_time():
            super().handle_events()
        else:
            self._is_deferred = True
            self.flow.pause_reading()
            self._budget.defer(self._take_turn)

    def _take_turn(self) -> None:
        self._is_deferred = False
        if not (self._is_refused or self.transport.is_closing()):
            self.flow.resume_reading()
            super().handle_events()

    def on_response_complete(self) -> None:
        self.since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, or beyond a limit; the error itself says which (uvicorn has lost it)."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # amid the response to an earlier one
            self.transport.close()
            return
        body = json.dumps({"error": f"no valid request: {self._requests.fault or msg}"}).encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        for event in (
            h11.Response(status_code=self._requests.fault_status, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.write_eof()
        self.since = self.loop.time()
        self._is_refused = True

    def _should_upgrade(self) -> bool:
        return False
