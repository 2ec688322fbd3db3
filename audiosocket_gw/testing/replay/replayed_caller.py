"""The recorded caller, at Asterisk's end of a connection: it sends the recorded frames at their times, and
ends as recorded.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, cast
from uuid import UUID

from audiosocket_gw.audio import FRAME_BYTES
from audiosocket_gw.causes import (
    ConnectionBroken,
    ConnectionClosed,
    ErrorFrame,
    HangupFrame,
    Stalled,
    TooFast,
    UnfinishedFrame,
)
from audiosocket_gw.errors import LocalProtocolError, RemoteProtocolError
from audiosocket_gw.events import DigitPressed
from audiosocket_gw.flight.call_trace import CallTrace
from audiosocket_gw.flight.format import CallerFrame, Event, FlightError, HeardFrame
from audiosocket_gw.protocol.audiosocket import (
    HANGUP_FRAME,
    HEADER,
    Audio,
    Decoder,
    Hangup,
    Kind,
    encode_audio,
    encode_dtmf,
    encode_identity,
)
from audiosocket_gw.testing.replay.endings import CallerEnding, caller_ending

STALLED_BUFFER_BYTES = 4_096
"""The kernel's receive buffer for an Asterisk that doesn't read."""

TOO_MANY_FRAMES = HEADER.pack(Kind.SLIN, 0) * 20_000
"""Of the frames that are too many, the recording has none: without audio nothing is heard of them."""

HALF_FRAME = HEADER.pack(Kind.SLIN, FRAME_BYTES) + bytes(100)

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER for no time: closing the socket breaks the connection."""

TimedBytes = tuple[float, bytes]


class ReplayedCaller(asyncio.Protocol):
    """The caller of one recorded call, connected while its ``async with`` block runs."""

    def __init__(self, trace: CallTrace, address: tuple[str, int], uuid: UUID) -> None:
        """Prepare; raises `FlightError`."""
        self._address = address
        self._uuid = uuid
        self._script: Sequence[TimedBytes] = list(_script(trace))
        self._ending = caller_ending(trace)
        self._ends_after_s = trace.duration_us / 1e6
        self._stops_reading_after_s = trace.heard[-1].at_us / 1e6 if trace.heard else 0.0
        self._decoder = Decoder(identified=True)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self.heard: list[HeardFrame] = []
        """Frames from the gateway, with times since `started_at`."""
        self.started_at = 0.0
        """The loop time at which the UUID frame was sent."""
        self.hung_up_on: asyncio.Future[None] = self._loop.create_future()
        """Done when the connection is over."""
        self.gateway_hung_up = False
        """Whether it was the gateway that ended it."""
        self._left = False

    async def __aenter__(self) -> Self:
        """Connect, and send the UUID frame.

        Raises:
            OSError: the gateway can't be reached.
        """
        await self._loop.create_connection(lambda: self, *self._address)
        self.started_at = self._loop.time()
        self._transport.write(encode_identity(self._uuid))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left = True
        self._transport.abort()
        await asyncio.sleep(0)  # connection_lost

    async def play(self, started_at: float) -> None:
        """Do what the caller did, from the call's start at this loop time until its end."""
        if isinstance(self._ending, Stalled):
            self._loop.call_at(started_at + self._stops_reading_after_s, self._stop_reading)
        for at_s, data in self._script:
            if await self._over(started_at + at_s):
                return
            self._transport.write(data)
        if isinstance(self._ending, UnfinishedFrame):
            self._transport.write(HALF_FRAME)
        if not await self._over(started_at + self._ends_after_s):
            self._end(self._ending)

    def hang_up(self) -> None:
        """Close the connection, as Asterisk does when the caller hangs up."""
        self._left = True
        self._transport.close()

    def read_on(self) -> None:
        """Resume reading after a stall, to see what the gateway did meanwhile."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    async def _over(self, until: float) -> bool:
        """Wait until a loop time; return whether the gateway ended the call before."""
        delay = until - self._loop.time()
        if delay > 0 and not self.hung_up_on.done():
            await asyncio.wait((self.hung_up_on,), timeout=delay)
        return self.hung_up_on.done()

    def _end(self, ending: CallerEnding) -> None:
        if self._transport.is_closing():
            return
        match ending:
            case HangupFrame():
                self._transport.write(HANGUP_FRAME)
            case TooFast():
                self._transport.write(TOO_MANY_FRAMES)
            case ErrorFrame(code):
                self._transport.write(HEADER.pack(Kind.ERROR, 1) + bytes([code & 0xFF]))
            case ConnectionClosed():
                # Close only this direction: closing with unread audio would reset the connection.
                self._left = True
                self._transport.write_eof()
            case ConnectionBroken():
                self._left = True
                self._set_option(socket.SO_LINGER, RESET)
                self._transport.abort()

    def _set_option(self, option: int, value: int | bytes) -> None:
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, value)

    def _stop_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if isinstance(self._ending, Stalled):
            self._set_option(socket.SO_RCVBUF, STALLED_BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        at_us = round((self._loop.time() - self.started_at) * 1e6)
        try:
            for frame in self._decoder.receive(data):
                if isinstance(frame, Audio):
                    self.heard.append(HeardFrame(at_us, frame.kind, frame.payload))
                elif isinstance(frame, Hangup):
                    self.gateway_hung_up = True
                    self.hang_up()
        except RemoteProtocolError:
            self._transport.abort()  # as Asterisk does

    def connection_lost(self, exc: Exception | None) -> None:
        self.gateway_hung_up |= not self._left
        if not self.hung_up_on.done():
            self.hung_up_on.set_result(None)


def _script(trace: CallTrace) -> Iterator[TimedBytes]:
    """Yield the frames from Asterisk, each with its time in seconds."""
    for record in trace.records:
        try:
            if isinstance(record, CallerFrame):
                yield record.at_us / 1e6, encode_audio(record.kind, record.audio)
            elif isinstance(record, Event) and record.name == DigitPressed.__name__:
                yield record.at_us / 1e6, encode_dtmf(str(record.fields.get("digit")))
        except LocalProtocolError as error:
            raise FlightError(f"the caller can't have sent what it holds: {error}") from None
