"""Asterisk's end of one AudioSocket connection: what it sends, and everything that makes it hang up.

The rules are those of ``res_audiosocket.c`` and ``app_audiosocket.c`` in Asterisk 22.10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from audiosocket_gw.errors import RemoteProtocolError
from audiosocket_gw.protocol.audiosocket import (
    HEADER,
    Audio,
    Decoder,
    Dtmf,
    Error,
    Frame,
    Hangup,
    Identity,
    Kind,
    Unknown,
    encode_audio,
    encode_dtmf,
    encode_identity,
)

PAYLOAD_DEADLINE_MS = 5
"""``res_audiosocket.c`` polls this long for the payload of a header that it has read."""

IDLE_TIMEOUT_MS = 2_000
"""``app_audiosocket.c`` hangs up after this long without a frame in either direction."""


class Ending(StrEnum):
    """How a call ended, as Asterisk sees it."""

    HANGUP_FRAME = "hangup-frame"
    """The server sent 0x00: the dialplan continues."""
    SERVER_CLOSE = "server-close"
    """The server closed the connection between two frames: the dialplan continues."""
    CALLER_HANGUP = "caller-hangup"
    """The caller hung up: Asterisk closed the connection."""
    ERROR = "error"
    """The server did something that makes Asterisk abort the call and hang up on the caller."""


class AsteriskPeer(asyncio.Protocol):
    """One connection to an AudioSocket server. `ended` gets the loop time when the call is over."""

    def __init__(
        self,
        kind: Kind,
        on_audio: Callable[[bytes], None],
        *,
        payload_deadline_ms: float = PAYLOAD_DEADLINE_MS,
        idle_timeout_ms: float = IDLE_TIMEOUT_MS,
    ) -> None:
        """``on_audio`` receives the audio of each frame immediately. Create the peer on the running event
        loop.
        """
        self._kind = kind
        self._on_audio = on_audio
        self._payload_deadline_ms = payload_deadline_ms
        self._idle_timeout_ms = idle_timeout_ms
        self._decoder = Decoder(identified=True)
        self._loop = asyncio.get_running_loop()
        self._payload_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle
        self._active_at = 0.0
        self._transport: asyncio.Transport
        self.ending = Ending.CALLER_HANGUP
        self.error = ""
        self.ended: asyncio.Future[float] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._active_at = self._loop.time()
        self._watch_idleness()

    def send_identity(self, uuid: UUID) -> None:
        self._send(encode_identity(uuid))

    def send_audio(self, payload: bytes) -> None:
        self._send(encode_audio(self._kind, payload))

    def send_key(self, digit: str) -> None:
        self._send(encode_dtmf(digit))

    def hang_up(self) -> None:
        """Close the connection: Asterisk never sends 0x00."""
        self._end(Ending.CALLER_HANGUP)

    def _send(self, frame: bytes) -> None:
        self._active_at = self._loop.time()
        self._transport.write(frame)
        if self._transport.get_write_buffer_size():
            self._fail("the server has stopped reading: Asterisk's socket is full, and it doesn't wait")

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.receive(data):
                self._disarm_payload_timer()
                self._take(frame)
                if self.ended.done():
                    return
        except RemoteProtocolError as error:
            self._fail(str(error))
            return
        if self._decoder.pending >= HEADER.size and self._payload_timer is None:
            # The loop polls the sockets before it runs timers: data that the kernel has is never "late".
            self._payload_timer = self._loop.call_later(self._payload_deadline_ms / 1000, self._payload_late)

    def _take(self, frame: Frame) -> None:
        self._active_at = self._loop.time()
        match frame:
            case Audio(kind, b""):
                self._fail(f"the server sent an audio frame of kind 0x{kind:02x} that is empty")
            case Audio(kind, payload) if kind == self._kind:
                self._on_audio(payload)
            case Audio(kind):
                self._fail(f"the server sent audio of kind 0x{kind:02x} in a call of kind 0x{self._kind:02x}")
            case Hangup():
                self._end(Ending.HANGUP_FRAME)
            case Identity() | Dtmf() | Error():
                self._fail(
                    f"the server sent a frame of kind {type(frame).__name__}, which only Asterisk may send"
                )
            case Unknown(Kind.UUID | Kind.DTMF as kind):
                self._fail(f"the server sent a frame of kind {Kind(kind).name}, which only Asterisk may send")
            case Unknown(kind):
                self._fail(f"the server sent a frame of unknown kind 0x{kind:02x}")
            case _:
                assert_never(frame)

    def eof_received(self) -> None:
        if self._decoder.pending:
            self._fail(f"the server closed in mid-frame, after {self._decoder.pending} bytes of it")
        else:
            self._end(Ending.SERVER_CLOSE)

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self._fail(f"the connection broke: {error}")

    def _payload_late(self) -> None:
        self._fail(
            f"a frame's payload didn't arrive within {self._payload_deadline_ms:g} ms of its header:"
            " write each frame with one write"
        )

    def _watch_idleness(self) -> None:
        idle_ms = (self._loop.time() - self._active_at) * 1000
        remaining_ms = self._idle_timeout_ms - idle_ms
        if remaining_ms <= 0:
            self._fail(f"no frame in either direction for {self._idle_timeout_ms:g} ms")
        else:
            self._idle_timer = self._loop.call_later(remaining_ms / 1000, self._watch_idleness)

    def _disarm_payload_timer(self) -> None:
        if self._payload_timer is not None:
            self._payload_timer.cancel()
            self._payload_timer = None

    def _fail(self, error: str) -> None:
        self._end(Ending.ERROR, error)

    def _end(self, ending: Ending, error: str = "") -> None:
        """Record the first ending, and close at once, as Asterisk does."""
        if self.ended.done():
            return
        self.ending = ending
        self.error = error
        self.ended.set_result(self._loop.time())
        self._disarm_payload_timer()
        self._idle_timer.cancel()
        self._transport.abort()
