"""The recorded agent as a server: it sends its messages at their recorded times, and ends as it ended.

It uses the sans-I/O core of `websockets`, since it must also violate the protocol, which libraries prevent.
"""

from __future__ import annotations

import asyncio
import http
import socket
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self, cast

from websockets.exceptions import ProtocolError
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from audiosocket_gw.causes import (
    BadFrame,
    ConnectFailed,
    ConnectionBroken,
    NotReading,
    NotWebSocket,
    Silent,
    WebSocketClosed,
    WebSocketRefused,
)
from audiosocket_gw.flight.agent_message import give_message
from audiosocket_gw.flight.call_trace import CallTrace
from audiosocket_gw.testing.replay.endings import AgentEnding, agent_ending

HOST = "127.0.0.1"

GARBAGE = b"\xff" * 64
"""Reserved bits and an unknown opcode: not a WebSocket frame."""

END_OF_REQUEST = b"\r\n\r\n"

MAX_REASON_BYTES = 123
"""RFC 6455, section 5.5: a control frame holds 125 bytes, two of them the close code."""

SMALL_BUFFER_BYTES = 4_096
"""The kernel's receive buffer for an agent that doesn't read."""

TimedMessage = tuple[float, bytes]


class ReplayedAgent:
    """The agent of one recorded call, listening on 127.0.0.1 while its ``async with`` block runs.

    It sends nothing before `begin`, which sets the start of the call.
    """

    def __init__(self, trace: CallTrace) -> None:
        """Prepare; raises `FlightError`."""
        self.ending = agent_ending(trace)
        self.upgrades = trace.had_agent or isinstance(
            self.ending, WebSocketClosed | BadFrame | Silent | NotReading
        )
        self.messages: Sequence[TimedMessage] = [
            (message.at_us / 1e6, give_message(message)) for message in trace.agent_messages
        ]
        self.ends_after_s = None if trace.end is None else trace.duration_us / 1e6
        self.connections: set[_Connection] = set()
        self._started_at: asyncio.Future[float]
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._started_at = loop.create_future()
        self._socket = socket.socket()
        self._socket.bind((HOST, 0))
        if isinstance(self.ending, NotReading):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        # Otherwise bound but not listening, so that no other process takes the port.
        if not isinstance(self.ending, ConnectFailed):
            self._server = await loop.create_server(lambda: _Connection(self), sock=self._socket)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.connections):
            connection.abort()
        self._socket.close()
        self._started_at.cancel()

    @property
    def base_url(self) -> str:
        """The URL to use as ElevenLabs' REST host."""
        return f"http://{HOST}:{self._socket.getsockname()[1]}"

    def begin(self, started_at: float) -> None:
        """Set the loop time at which the call started."""
        if not self._started_at.done():
            self._started_at.set_result(started_at)

    async def until(self, seconds: float) -> None:
        """Wait until the call has this age; return at once if it is older."""
        started_at = await asyncio.shield(self._started_at)
        await asyncio.sleep(started_at + seconds - asyncio.get_running_loop().time())


class _Connection(asyncio.Protocol):
    """One connection to the replayed agent."""

    def __init__(self, agent: ReplayedAgent) -> None:
        self._agent = agent
        self._websocket = ServerProtocol(max_size=None)
        self._request = b""
        self._mute = False
        self._playing: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport

    @property
    def _ending(self) -> AgentEnding:
        return self._agent.ending

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._agent.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._agent.connections.discard(self)
        if self._playing is not None:
            self._playing.cancel()

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._agent.upgrades:
            self._websocket.receive_data(data)
            self._handle_events()
            return
        self._request += data
        if END_OF_REQUEST in self._request and self._playing is None:
            self._playing = asyncio.get_running_loop().create_task(self._play())

    def eof_received(self) -> None:
        if self._agent.upgrades:
            self._websocket.receive_eof()
            self._handle_events()

    def _handle_events(self) -> None:
        for event in self._websocket.events_received():
            if isinstance(event, Request):
                self._websocket.send_response(self._websocket.accept(event))
                if self._websocket.state is State.OPEN:
                    self._playing = asyncio.get_running_loop().create_task(self._play())
                if isinstance(self._ending, NotReading):
                    self._transport.pause_reading()
        self._write()

    def _write(self) -> None:
        for data in self._websocket.data_to_send():
            if self._transport.is_closing() or self._mute:
                continue
            if data:
                self._transport.write(data)
            else:  # the core's mark for the end of the stream
                self._transport.close()

    async def _play(self) -> None:
        for at_s, message in self._agent.messages:
            await self._agent.until(at_s)
            if self._websocket.state is not State.OPEN:
                return
            self._websocket.send_text(message)
            self._write()
        self._mute = isinstance(self._ending, Silent)
        if self._agent.ends_after_s is not None:
            await self._agent.until(self._agent.ends_after_s)
            self._end(self._ending)

    def _end(self, ending: AgentEnding) -> None:
        match ending:
            case WebSocketClosed(code, reason) if self._websocket.state is State.OPEN:
                self._close(code, reason)
            case ConnectionBroken():
                self._transport.abort()
            case BadFrame() | NotWebSocket():
                self._transport.write(GARBAGE + END_OF_REQUEST)
            case WebSocketRefused(status, body):
                self._transport.write(_response(status, body))
                self._transport.close()

    def _close(self, code: int, text: str) -> None:
        reason = text.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")
        try:
            self._websocket.send_close(code, reason)
        except ProtocolError:  # a code that no close frame may have, such as 1005: the frame had none
            self._websocket.send_close()
        self._write()


def _response(status: int, text: str) -> bytes:
    with suppress(ValueError):
        text = text or http.HTTPStatus(status).phrase
    body = text.encode(errors="replace")
    head = (
        f"HTTP/1.1 {status} -\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
