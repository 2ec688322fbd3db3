"""One connection from Asterisk: the UUID handshake, the frames, and its end.

Asterisk opens one connection per call. After the UUID frame the connection is the `CallerLeg` of a `Call`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import cast
from uuid import UUID

from audiosocket_gw.causes import Cause, ConnectionBroken, ConnectionClosed, ErrorFrame, HangupFrame, TimedOut
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import reason_of
from audiosocket_gw.log.limit import at_most
from audiosocket_gw.log.text import Sentence
from audiosocket_gw.protocol.audiosocket import (
    HANGUP_FRAME,
    Dtmf,
    Error,
    Frame,
    Hangup,
    Identity,
    Kind,
    Unknown,
)
from audiosocket_gw.runtime.loop_budget import LoopBudget
from audiosocket_gw.server.admission import Admission
from audiosocket_gw.server.calls import Calls, Rejection
from audiosocket_gw.server.connections import Connections
from audiosocket_gw.server.frame_reader import FrameReader
from audiosocket_gw.server.refusals import REFUSALS, Refusal
from audiosocket_gw.server.socket_options import end_with_fin, set_options

logger = logging.getLogger("audiosocket_gw.server")

LINGER_S = 2.0
"""Time for Asterisk to read our hang-up and close, before the connection is cut."""

SAME_UUID_S = 1.0
"""How long a new call waits for the end of another with the same UUID: Asterisk may open its new connection
before the old one has ended."""

_MADE_ROOM = (
    "it was outside a call, and newer connections of addresses that share (docs/security.md) need room"
)

GUESTS = "guests"
"""The queue of all guests."""


class AudioSocketConnection(FrameReader):
    """One connection from Asterisk. Reading never waits for anything else: a full socket ends the call."""

    def __init__(
        self,
        host: str,
        port: int,
        calls: Calls,
        admission: Admission,
        open_connections: Connections[AudioSocketConnection],
        budget: LoopBudget,
        handshake_timeout_s: float,
    ) -> None:
        """``host`` and ``port`` are the peer's. The connection adds itself to ``open_connections``, and
        removes itself at its end. ``budget``: of all connections.
        """
        super().__init__(budget)
        self._calls = calls
        self._admission = admission
        self._open_connections = open_connections
        self._handshake_timeout_s = handshake_timeout_s
        self._deadline: asyncio.TimerHandle | None = None
        self._has_ignored_frame = False
        self._uuid: UUID | None = None
        self._guest: str | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection is closed."""
        self.host = host
        self.peer = f"{host}:{port}"

    # CallerLeg, for the call

    @property
    def queue(self) -> str:
        return self.host if self._guest is None else GUESTS

    @property
    def blocked(self) -> bool:
        return self._transport.get_write_buffer_size() > 0

    def write(self, frame: bytes) -> None:
        self._transport.write(frame)

    def hang_up(self) -> None:
        """Send the hang-up frame, and read until Asterisk closes.

        Closing with unread audio would send a TCP reset, which can overtake the hang-up frame: Asterisk would
        then see a failure and hang the caller up instead of continuing in the dialplan.
        """
        if self._closing:
            return
        self._closing = True
        self._call = None
        self._drop_frames()
        self._release_uuid()
        if self._transport.is_closing():
            return
        self.listen()
        end_with_fin(self._transport.get_extra_info("socket"))
        self._transport.write(HANGUP_FRAME)
        with suppress(OSError):  # the peer has reset the connection; asyncio will report it
            self._transport.write_eof()
        self._set_deadline(LINGER_S, self.drop)

    def hang_up_unless_in_call(self) -> None:
        """Hang up, if no call has begun."""
        if self._call is None:
            self.hang_up()

    def make_room(self) -> None:
        """Cut the connection, which is outside a call, for a newer one of a guest."""
        if not self._closing:
            self._count(Refusal.PEER)
            self._end(EndReason.PEER_LIMIT, _MADE_ROOM)
        self.drop()

    def drop(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._admission.is_stopping:  # it was accepted just before the listener was closed
            self._closing = True
            self.drop()
            return
        self._guest = self._admission.guest_at(self.host)
        replaced = self._open_connections.add(self, self._guest)
        if replaced is not None:
            replaced.make_room()
        connection: socket.socket = transport.get_extra_info("socket")
        self.fd = connection.fileno()
        set_options(connection)
        reason = self._calls.rejection_reason
        if reason is not None and not self._calls.can_report(self.host, self._guest):
            # Reject at once, before the UUID: the reason can't be reported to the dialplan.
            self._reject(Rejection(reason))
            return
        self._set_deadline(self._handshake_timeout_s, self._miss_handshake)

    def eof_received(self) -> None:
        if not self._closing:
            self._end(EndReason.CALLER_HANGUP, ConnectionClosed())

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_connections.discard(self)
        self.gone.set_result(None)
        if not self._closing:
            if isinstance(exc, OSError):
                self._broke(exc)
            else:
                self._end(EndReason.INTERNAL_ERROR, f"reading from Asterisk failed: {exc!r}")
        if self._deadline is not None:  # last: `_end` sets one
            self._deadline.cancel()

    # Frames

    def _receive_control_frame(self, frame: Frame) -> None:
        if self._closing:
            return  # it came in the same TCP segment as the frame that ended the connection
        if self._call is not None:
            self._call.forward_audio()  # it came before
        match frame:
            case Identity():
                self._receive_uuid(frame.uuid)
            case Dtmf() if self._call is not None:
                self._call.caller_digit(frame.digit)
            case Hangup():
                self._end(EndReason.CALLER_HANGUP, HangupFrame())
            case Error() if frame.is_hangup:
                self._end(EndReason.CALLER_HANGUP, ErrorFrame(frame.payload[0]))
            case Error(payload):
                self._ignore(Kind.ERROR, payload)
            case Unknown(kind, payload):
                self._ignore(kind, payload)
            case _:
                logger.debug("%s: %s frame outside a call ignored", self.peer, type(frame).__name__)

    def _ignore(self, kind: int, payload: bytes) -> None:
        """Ignore a frame that has no meaning here. The first one of a connection is logged as a warning."""
        level = logging.DEBUG if self._has_ignored_frame else logging.WARNING
        self._has_ignored_frame = True
        if self._call is not None:
            self._call.count_frame(len(payload))
        logger.log(
            level,
            "%s: frame of kind 0x%02x with %d bytes (%s) ignored, the call continues; "
            "further ones are logged at DEBUG",
            self.peer,
            kind,
            len(payload),
            payload[:16].hex(" ") or "none",
            extra=self._about_call,
        )

    # The call

    def _receive_uuid(self, uuid: UUID) -> None:
        self._uuid = uuid
        if self._deadline is not None:
            self._deadline.cancel()
        caller_gone = self._calls.caller_of(uuid)
        if caller_gone is None:
            self._begin(uuid)
        else:
            self._calls.run(self._begin_after(caller_gone, uuid), f"second call {uuid}")

    async def _begin_after(self, caller_gone: asyncio.Future[None], uuid: UUID) -> None:
        await asyncio.wait([caller_gone], timeout=SAME_UUID_S)
        self._begin(uuid)

    def _begin(self, uuid: UUID) -> None:
        """Start the call, if its caller is still there and it isn't rejected."""
        if self._closing:
            return
        rejection = self._calls.reject(uuid, self._guest)
        if rejection is None:
            self._call = self._calls.start(uuid, self, self.gone, self._guest)
            if self._call is None:
                self._count(Refusal.HANDSHAKE)
                logger.warning(
                    "%s: call rejected: its UUID is in use; give each call its own",
                    self.peer,
                    extra=self._about_call,
                )
                self.hang_up()
            else:
                self._open_connections.begin_call(self)
        elif self._calls.caller_of(uuid) is None and self._calls.can_report(self.host, self._guest):
            self._calls.run(self._report_and_reject(uuid, rejection), f"rejection of {uuid}")
        else:
            self._reject(rejection)

    async def _report_and_reject(self, uuid: UUID, rejection: Rejection) -> None:
        """Report the reason to the dialplan before the caller continues there."""
        try:
            await self._calls.report_rejection(uuid, self.host, rejection.reason)
        finally:
            self._reject(rejection)

    def _reject(self, rejection: Rejection) -> None:
        """Hang up, so that the caller continues in the dialplan."""
        if not self._closing:
            self._count(REFUSALS[rejection.reason])
            progress = self._calls.callers
            logger.warning(
                "%s: call rejected, %s; %d calls in progress",
                self.peer,
                rejection,
                progress,
                extra=self._about_call,
            )
            self.hang_up()

    def _count(self, refusal: Refusal) -> None:
        self._admission.refusals.add(refusal, asyncio.get_running_loop().time())

    @property
    def _about_call(self) -> dict[str, object]:
        """The ``extra`` of a log line: the call's UUID, if it is known."""
        return {"call": self._uuid}

    # The end

    def _broke(self, error: OSError) -> None:
        # Asterisk sends a reset when it hangs up with unread audio. Other errors (ETIMEDOUT, EHOSTUNREACH)
        # come from the network: the caller may still be there.
        reason = EndReason.CALLER_HANGUP if isinstance(error, ConnectionError) else EndReason.CALLER_STALLED
        self._end(reason, ConnectionBroken("Asterisk", reason_of(error)))

    def _end(self, reason: EndReason, cause: Cause) -> None:
        """End the call, if any, and close: the peer ended the connection or violated the protocol."""
        self._closing = True
        self._release_uuid()
        if self._call is not None:
            self._call.caller_gone(reason, cause)
            self._call = None
        else:
            if reason is EndReason.CALLER_PROTOCOL:
                self._count(Refusal.HANDSHAKE)
            # A peer that connects and sends nothing is a health check, thousands of times a day.
            quiet = reason is EndReason.CALLER_HANGUP and not self.mid_frame
            level = logging.DEBUG if quiet else logging.WARNING
            logger.log(
                level,
                "%s: closed before a call began: %s",
                self.peer,
                Sentence(str(cause)),
                extra=at_most(1, self.host),
            )
        if not self._transport.is_closing():
            end_with_fin(self._transport.get_extra_info("socket"))
        self._transport.close()
        self._set_deadline(LINGER_S, self.drop)  # a peer that reads nothing would keep it open

    def _release_uuid(self) -> None:
        if self._uuid is not None:
            self._calls.caller_left(self._uuid, self.gone)

    def _miss_handshake(self) -> None:
        seconds = self._handshake_timeout_s
        self._end(EndReason.CALLER_PROTOCOL, TimedOut("no UUID frame", seconds, "HANDSHAKE_TIMEOUT"))

    def _set_deadline(self, seconds: float, then: Callable[[], None]) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, then)
