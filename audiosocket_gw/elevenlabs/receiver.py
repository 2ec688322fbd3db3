"""The receiving half of the agent's connection: step by step, as far as the loop iteration's budget goes.

What the budget doesn't allow waits, in order, and meanwhile nothing more is read: the agent's own TCP
connection fills up, and nothing else.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import cast

from websockets.client import ClientProtocol

from audiosocket_gw.elevenlabs.incoming import Incoming
from audiosocket_gw.errors import RemoteProtocolError
from audiosocket_gw.runtime.loop_budget import LoopBudget
from audiosocket_gw.runtime.receive_buffer import RECEIVE_BUFFER


class WebSocketReceiver(asyncio.BufferedProtocol):
    """A protocol that gives what it receives to `websockets`' core, and calls the methods ``on_...``."""

    def __init__(self, websocket: ClientProtocol, budget: LoopBudget) -> None:
        loop = asyncio.get_running_loop()
        self._websocket = websocket
        self._incoming = Incoming(websocket)
        self._budget = budget
        self._time = loop.time
        self._received_at = loop.time()
        self._transport: asyncio.Transport | None = None
        self._is_waiting = False
        self._is_lost = False
        self._lost_by: Exception | None = None

    @abstractmethod
    def on_text(self, data: bytes) -> None:
        """Handle a text message. Raises `RemoteProtocolError` if it isn't valid."""

    @abstractmethod
    def on_violation(self, error: RemoteProtocolError) -> None:
        """End the connection because the peer violated the protocol."""

    @abstractmethod
    def on_progress(self) -> None:
        """Follow the core's state, and send what it has to send."""

    @abstractmethod
    def on_lost(self, error: Exception | None) -> None:
        """Record that the TCP connection has ended, and all that came before has been handled."""

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return RECEIVE_BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self._received_at = self._time()
        self._incoming.receive(RECEIVE_BUFFER[:nbytes])
        if not self._is_waiting:
            self._process()

    def eof_received(self) -> None:
        self._websocket.receive_eof()
        self.on_progress()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._lost_by = exc
        if not self._is_waiting:
            self.on_lost(exc)

    # Within the budget

    def _process(self) -> None:
        incoming, budget = self._incoming, self._budget
        try:
            while incoming.has_more:
                if not budget.has_time():
                    self._wait()
                    break
                text = incoming.step(self._received_at)
                if text is not None:
                    self.on_text(text)
        except RemoteProtocolError as error:
            self.on_violation(error)
        self.on_progress()

    def _wait(self) -> None:
        assert self._transport is not None
        self._is_waiting = True
        self._transport.pause_reading()
        self._budget.defer(self._take_turn)

    def _take_turn(self) -> None:
        assert self._transport is not None
        self._is_waiting = False
        try:
            self._process()
        except BaseException:
            self._transport.abort()  # as asyncio does if `buffer_updated` fails
            raise
        finally:
            if self._is_lost and not self._is_waiting:
                self.on_lost(self._lost_by)
        if not (self._is_waiting or self._is_lost):
            self._transport.resume_reading()
