"""The AudioSocket server: who may connect, the UUID handshake, the limits, and the end of each connection.

Asterisk connects once for each call. `_Connection` is that connection; once Asterisk has named the call, it
is the `CallerLeg` of a `Call`, which runs in a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import cast
from uuid import UUID
from weakref import WeakSet

from audiosocket_gw.call.call import Call, CallContext
from audiosocket_gw.causes import (
    Cause,
    ConnectionBroken,
    ConnectionClosed,
    ErrorFrame,
    HangupFrame,
    TimedOut,
)
from audiosocket_gw.control.outcome import Outcome
from audiosocket_gw.errors import RemoteProtocolError, reason_of
from audiosocket_gw.events import EndReason
from audiosocket_gw.log.text import Sentence
from audiosocket_gw.protocol.audiosocket import (
    HANGUP_FRAME,
    Audio,
    Decoder,
    Dtmf,
    Error,
    Frame,
    Hangup,
    Identity,
    Kind,
    Unknown,
)
from audiosocket_gw.protocol.strangers import stranger
from audiosocket_gw.server.settings import ServerSettings

logger = logging.getLogger("audiosocket_gw.server")

LINGER_S = 2.0
"""How long Asterisk gets to read our hang-up and close, before the connection is cut."""

SAME_UUID_S = 1.0
"""How long a call waits for the end of one with its UUID: its connection may come before the other's end."""

CLOSE_S = 3.4
CALLS_END_S = 2.5
CALLS_STOP_S = 0.5
"""When the gateway stops: how long that takes at most; how long calls may take to end in order, and then when
they are cancelled."""

SPARE_CONNECTIONS = 100
"""Connections beyond MAX_CALLS that may be open at once: without a UUID yet, or on their way out.

As many calls may still be closing their agent's connection after their callers have gone.
"""

CALLER_HUNG_UP = 0x01
"""The bit of an error frame's payload by which Asterisk says so (docs.asterisk.org, AudioSocket)."""

SEND_BUFFER_BYTES = 16_384
"""What the kernel keeps for an Asterisk that doesn't read: about a second, not the usual 4 MB, which is
minutes of audio that nobody would have heard and nobody would have missed."""

USER_TIMEOUT_MS = 20_000
"""What we send must be acknowledged within this time; we send all the time, so a dead host is noticed."""

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
FIN_ON_CLOSE = struct.pack("ii", 0, 0)
"""Values of ``SO_LINGER``: how the kernel ends the connection when the socket is closed."""

# One receive buffer for all connections: asyncio fills it and calls buffer_updated in the same loop step.
_receive_buffer = memoryview(bytearray(65_536))


class AudioSocketServer:
    """Accepts Asterisk's connections and runs a call for each.

    ``context`` is what its calls share.
    """

    def __init__(self, settings: ServerSettings, context: CallContext) -> None:
        self.settings = settings
        self.context = context
        self._listener: asyncio.Server | None = None
        self._refusing = False
        self._connections: set[_Connection] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._up: dict[UUID, _Connection] = {}  # the calls that have a caller
        self._calls: dict[asyncio.Task[None], Call] = {}  # these, and those that are still closing
        _servers.add(self)

    @property
    def calls(self) -> int:
        """How many calls are up, or still closing their agent's connection."""
        return len(self._calls)

    @property
    def callers(self) -> int:
        """How many calls have a caller."""
        return len(self._up)

    async def start(self) -> None:
        """Begin to accept connections.

        Raises:
            OSError: the address can't be listened on.
        """
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self), self.settings.host, self.settings.port
        )

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: host and port."""
        assert self._listener is not None, "start() comes first"
        host, port = self._listener.sockets[0].getsockname()[:2]
        return host, port

    def refuse_new_calls(self) -> None:
        """Stop listening: Asterisk's next connection is refused, and its dialplan takes the fallback."""
        self._refusing = True
        if self._listener is not None:
            self._listener.close()
        for connection in tuple(self._connections):
            connection.hang_up_unless_in_call()

    async def wait_for_calls(self) -> None:
        """Wait until no call is up."""
        while self._calls:
            await asyncio.wait(self._calls)

    async def close(self, detail: str) -> None:
        """End the calls that are still up, politely, and wait until no connection is left; within `CLOSE_S`.

        Calls that don't end in time are cancelled, and those that don't end then, either, are abandoned.
        """
        clock = asyncio.get_running_loop().time
        closes_at = clock() + CLOSE_S
        for call in self._calls.values():
            call.cut(detail)
        await self._calls_end_within(CALLS_END_S)
        for task in self._calls:
            task.cancel()
        await self._calls_end_within(CALLS_STOP_S)
        if self._calls:
            uuids = ", ".join(str(call.uuid) for call in self._calls.values())
            logger.error("abandoned %d calls, which did not stop: %s", len(self._calls), uuids)
        connections = tuple(self._connections)
        for connection in connections:
            connection.hang_up()
        if connections:
            left_s = max(0.0, closes_at - clock())
            await asyncio.wait([connection.gone for connection in connections], timeout=left_s)
        for connection in tuple(self._connections):
            connection.drop()

    async def _calls_end_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait_for_calls()

    def descriptors(self) -> list[int]:
        """Return the open sockets: where it listens, and the connections."""
        listening = self._listener.sockets if self._listener is not None else ()
        return [*(socket.fileno() for socket in listening), *(each.fd for each in self._connections)]

    # Called by the connections

    def admit(self, connection: _Connection) -> str | None:
        """Take the connection in, or return why not."""
        if len(self._connections) >= self.settings.max_calls + SPARE_CONNECTIONS:
            return (
                f"{len(self._connections)} connections are open already (MAX_CALLS={self.settings.max_calls})"
            )
        self._connections.add(connection)
        if self._refusing:  # the kernel had accepted it before the listener was closed
            return "the gateway is stopping"
        if not self.settings.accepts(connection.host):
            return f"its address is not in ALLOWED_PEERS={','.join(map(str, self.settings.allowed_peers))}"
        return None

    def dismiss(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    @property
    def rejection_reason(self) -> EndReason | None:
        """Why no call can be taken now."""
        max_calls = self.settings.max_calls
        if len(self._up) >= max_calls or len(self._calls) >= max_calls + SPARE_CONNECTIONS:
            return EndReason.GATEWAY_FULL
        if self.settings.refuse_overload and self.context.load.overloaded:
            return EndReason.OVERLOADED
        return None

    def start_call(self, uuid: UUID, connection: _Connection) -> Call | None:
        """Begin the call, or return None when a call with this UUID is up."""
        if uuid in self._up:
            return None
        for ending in self._calls.values():
            if ending.uuid == uuid:
                ending.supersede()
        call = Call(uuid, connection, self.context)
        task = asyncio.get_running_loop().create_task(call.run(), name=f"call {uuid}")
        self._up[uuid] = connection
        self._calls[task] = call
        task.add_done_callback(self._calls.pop)
        return call

    def caller_left(self, uuid: UUID, connection: _Connection) -> None:
        """Give the call's place and its UUID away; what else there is of it may take its time to end."""
        if self._up.get(uuid) is connection:
            del self._up[uuid]

    def wait_for_uuid(self, uuid: UUID, connection: _Connection) -> bool:
        """Have the connection begin its call when the one with this UUID is over; False: there is none."""
        present = self._up.get(uuid)
        if present is None:
            return False

        async def begin() -> None:
            await asyncio.wait([present.gone], timeout=SAME_UUID_S)
            connection.begin(uuid)

        self._run(begin(), f"second call {uuid}")
        return True

    def report_refusal(self, uuid: UUID, connection: _Connection, reason: EndReason) -> None:
        """Tell the dialplan why before it is sent on, where there is a manager interface."""

        async def report() -> None:
            try:
                control = self.context.pbxs.find(connection.host)
                if control is not None:
                    await Outcome(control, uuid).report(reason, caller_present=True)
            finally:
                connection.refuse(reason)

        self._run(report(), f"refusal of {uuid}")

    def _run(self, job: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(job, name=name)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)


class _Connection(asyncio.BufferedProtocol):
    """One connection from Asterisk. Its reader never waits and never stops: that would end the call."""

    def __init__(self, server: AudioSocketServer) -> None:
        self._server = server
        self._decoder = Decoder()
        self._call: Call | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._closing = False
        self._has_passed_over = False
        self._uuid: UUID | None = None
        self.fd = -1
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.host = ""
        self.peer = ""

    # What the call sees: CallerLeg

    @property
    def blocked(self) -> bool:
        return self._transport.get_write_buffer_size() > 0

    @property
    def mid_frame(self) -> bool:
        return self._decoder.pending > 0

    def write(self, frame: bytes) -> None:
        self._transport.write(frame)

    def collect(self) -> None:
        if self._closing:
            return  # the descriptor may be another connection's by now
        self._transport.pause_reading()
        try:
            nbytes = os.readv(self.fd, (_receive_buffer,))
        except BlockingIOError:
            return
        except OSError as error:
            self._broke(error)
            return
        if nbytes:
            self.buffer_updated(nbytes)
        else:
            self.listen()  # asyncio reads the end again, unlike an error

    def listen(self) -> None:
        self._transport.resume_reading()

    def hang_up(self) -> None:
        """Say that we hang up, and read on until Asterisk closes.

        To close with audio unread would send a TCP reset, which can overtake the hang-up frame: Asterisk
        then takes the end for a failure and hangs the caller up instead of going on in the dialplan.
        """
        if self._closing:
            return
        self._closing = True
        self._call = None
        self._leave_server()
        if self._transport.is_closing():
            return
        self.listen()
        self._end_with_fin()
        self._transport.write(HANGUP_FRAME)
        with suppress(OSError):  # the peer has reset the connection, and asyncio is about to learn of it
            self._transport.write_eof()
        self._set_deadline(LINGER_S, self.drop)

    def hang_up_unless_in_call(self) -> None:
        """End a connection that no call has come of yet."""
        if self._call is None:
            self.hang_up()

    def drop(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername") or ("unknown", 0)
        self.host = address[0]
        self.peer = f"{address[0]}:{address[1]}"
        connection: socket.socket = transport.get_extra_info("socket")
        objection = self._server.admit(self)
        if objection is not None:
            logger.warning("%s: connection refused: %s", self.peer, Sentence(objection))
            self._closing = True
            self.drop()
            return
        self.fd = connection.fileno()
        _watch(connection)
        refusal = self._server.rejection_reason
        if refusal is not None and self._server.context.pbxs.find(self.host) is None:
            # At once, before the UUID, which is of no use: nobody can be told why.
            self.refuse(refusal)
            return
        self._set_deadline(self._server.settings.handshake_timeout, self._no_handshake)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _receive_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing:
            return
        try:
            for frame in self._decoder.receive(_receive_buffer[:nbytes]):
                if type(frame) is Audio and self._call is not None:
                    self._call.caller_audio(frame)
                else:
                    self._control(frame)
        except RemoteProtocolError as error:
            who = stranger(bytes(_receive_buffer[:nbytes]))
            self._end(EndReason.CALLER_PROTOCOL, f"{error}; {who}" if who else str(error))

    def eof_received(self) -> None:
        if not self._closing:
            self._end(EndReason.CALLER_HANGUP, ConnectionClosed())

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.dismiss(self)
        self.gone.set_result(None)
        if not self._closing:
            if isinstance(exc, OSError):
                self._broke(exc)
            else:
                self._end(EndReason.INTERNAL_ERROR, f"reading from Asterisk failed: {exc!r}")
        if self._deadline is not None:  # last: `_end` sets one
            self._deadline.cancel()

    # Frames

    def _control(self, frame: Frame) -> None:
        if self._closing:
            return  # what came in the same segment as the frame that ended it
        match frame:
            case Identity():
                self._identified(frame.uuid)
            case Dtmf() if self._call is not None:
                self._call.caller_digit(frame.digit)
            case Hangup():
                self._end(EndReason.CALLER_HANGUP, HangupFrame())
            case Error() if frame.payload and frame.payload[0] & CALLER_HUNG_UP:
                self._end(EndReason.CALLER_HANGUP, ErrorFrame(frame.payload[0]))
            case Error(payload):
                self._pass_over(Kind.ERROR, payload)
            case Unknown(kind, payload):
                self._pass_over(kind, payload)
            case _:
                logger.debug("%s: %s frame outside a call ignored", self.peer, type(frame).__name__)

    def _pass_over(self, kind: int, payload: bytes) -> None:
        """Ignore a frame that means nothing here: a caller is on the line. The first one is a warning."""
        level = logging.DEBUG if self._has_passed_over else logging.WARNING
        self._has_passed_over = True
        if self._call is not None:
            self._call.count_frame(len(payload))
        logger.log(
            level,
            "%s: frame of kind 0x%02x with %d bytes (%s) ignored, the call goes on; "
            "further ones are logged at DEBUG",
            self.peer,
            kind,
            len(payload),
            payload[:16].hex(" ") or "none",
        )

    def _identified(self, uuid: UUID) -> None:
        self._uuid = uuid
        if self._deadline is not None:
            self._deadline.cancel()
        if not self._server.wait_for_uuid(uuid, self):
            self.begin(uuid)

    def begin(self, uuid: UUID) -> None:
        """Begin the call, if it can be taken and its caller is still there."""
        if self._closing:
            return
        refusal = self._server.rejection_reason
        if refusal is not None:
            self._server.report_refusal(uuid, self, refusal)
            return
        self._call = self._server.start_call(uuid, self)
        if self._call is None:
            logger.warning("%s: call refused: a call with UUID %s is up already", self.peer, uuid)
            self.hang_up()

    def refuse(self, reason: EndReason) -> None:
        """Send the caller on, at once."""
        logger.warning("%s: call refused: %s: %d calls are up", self.peer, reason, self._server.callers)
        self.hang_up()

    def _broke(self, error: OSError) -> None:
        # A reset is Asterisk's way to hang up with audio unread. Everything else (ETIMEDOUT, EHOSTUNREACH) is
        # the network's: the caller may still be there.
        reason = EndReason.CALLER_HANGUP if isinstance(error, ConnectionError) else EndReason.CALLER_STALLED
        self._end(reason, ConnectionBroken("Asterisk", reason_of(error)))

    def _end(self, reason: EndReason, cause: Cause) -> None:
        """The peer's side is over: tell the call, or the log when there was none yet, and close."""
        self._closing = True
        self._leave_server()
        if self._call is not None:
            self._call.caller_gone(reason, cause)
            self._call = None
        else:
            # A peer that connects and says nothing is a health check: thousands a day.
            quiet = reason is EndReason.CALLER_HANGUP and not self.mid_frame
            level = logging.DEBUG if quiet else logging.WARNING
            logger.log(level, "%s: closed before a call began: %s", self.peer, Sentence(str(cause)))
        if not self._transport.is_closing():
            self._end_with_fin()
        self._transport.close()
        self._set_deadline(LINGER_S, self.drop)  # a peer that reads nothing would keep it open

    def _leave_server(self) -> None:
        if self._uuid is not None:
            self._server.caller_left(self._uuid, self)

    def _end_with_fin(self) -> None:
        """From here on the end is one that is meant. A reset could overtake the hang-up frame."""
        connection: socket.socket = self._transport.get_extra_info("socket")
        with suppress(OSError):  # the peer has reset the connection, which can't be ended any more
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, FIN_ON_CLOSE)

    def _no_handshake(self) -> None:
        seconds = self._server.settings.handshake_timeout
        self._end(EndReason.CALLER_PROTOCOL, TimedOut("no UUID frame", seconds, "HANDSHAKE_TIMEOUT"))

    def _set_deadline(self, seconds: float, then: Callable[[], None]) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, then)


def _watch(connection: socket.socket) -> None:
    """Have a peer noticed that died or takes no audio, and have the peer notice when we die.

    (asyncio sets TCP_NODELAY itself.)
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    # Until `_end_with_fin`, who closes the socket is the kernel, of a process that was killed or crashed. To
    # Asterisk a FIN is a normal end (96 of 96 callers were hung up); a reset makes AudioSocket() fail.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)


_servers: WeakSet[AudioSocketServer] = WeakSet()


def _let_go_in_child() -> None:
    """Close the sockets in a forked process: the worker of a tool's process pool, say.

    It outlives a gateway that is killed: it would keep the connections open, so that neither a reset nor a
    FIN came, and the port taken. Another file takes each number, since the objects in the child may close it.
    """
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for server in _servers:
        for descriptor in server.descriptors():
            if descriptor >= 0:
                os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)


os.register_at_fork(after_in_child=_let_go_in_child)
