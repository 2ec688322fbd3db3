"""The connection to one agent: a WebSocket client on asyncio's protocol layer.

`websockets`' sans-I/O core implements the WebSocket, `WebSocketReceiver` gives it step by step what arrives,
and `Session` implements the conversation; this module adds the socket and the clock. There is no task: a
message is handled in the loop iteration that read its last byte, unless agents send more than `LoopBudget`
allows, and sending one is one write to the socket. Compared with the library's own asyncio client, that
saves a quarter of a call's cost (`docs/performance.md`). `ws_frame` and `tls` replace parts of the library
and of asyncio's TLS that are too expensive for 50 messages a second in each call.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.protocol import State
from websockets.uri import parse_uri

from audiosocket_gw import USER_AGENT
from audiosocket_gw.causes import (
    Cause,
    ConnectFailed,
    NotAdmitted,
    NotReading,
    QueueTimedOut,
    Silent,
    TimedOut,
)
from audiosocket_gw.elevenlabs import client_messages, messages, tls
from audiosocket_gw.elevenlabs.flood import FloodError
from audiosocket_gw.elevenlabs.incoming import MAX_MESSAGE
from audiosocket_gw.elevenlabs.receiver import WebSocketReceiver
from audiosocket_gw.elevenlabs.session import Queue, Session
from audiosocket_gw.elevenlabs.setup_steps import SetupSteps
from audiosocket_gw.elevenlabs.ws_end import cause_of_end
from audiosocket_gw.elevenlabs.ws_frame import text_frame
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import AgentError, RemoteProtocolError, reason_of
from audiosocket_gw.events import SetupStep
from audiosocket_gw.runtime.happy_eyeballs import PrivateAddressError, open_socket
from audiosocket_gw.runtime.loop_budget import LoopBudget
from audiosocket_gw.tap import Tap

KEEPALIVE_S = 10.0
"""After this long without a byte from the agent, a ping is sent; after twice this time the agent is lost.

ElevenLabs pings about every 2 s, so on a live connection this never happens.
"""

MAX_UNSENT = 2 * 2**20
"""Bytes that may wait to be sent before the agent counts as lost: 90 s of caller audio as pcm_8000. When the
conversation starts, what the caller has said meanwhile is sent at once: 1.3 MB if it is 10 s of pcm_48000."""

CLOSE_S = 2.0
"""How long the closing handshake may take before the TCP connection is cut."""

MessageHandler = Callable[[messages.ServerMessage], None]


async def connect(
    url: str,
    initiation: asyncio.Future[bytes],
    on_message: MessageHandler,
    *,
    ssl_context: ssl.SSLContext,
    timeout_s: float,
    queue_timeout_s: float,
    budget: LoopBudget,
    steps: SetupSteps,
    public_only: bool = False,
    tap: Tap | None = None,
) -> AgentConnection:
    """Open the WebSocket, send the initiation message and wait for the agent's metadata.

    ``initiation`` may complete while the WebSocket is being opened. ``on_message`` receives every message;
    pings are answered here; the metadata and later messages may arrive before this returns.
    ``timeout_s`` limits each of the two ``steps``, ``queue_timeout_s`` the time in ElevenLabs' queue besides.
    All agents share ``budget``. ``public_only``: the host must not have a private address.

    Raises:
        AgentError: the connection or the conversation failed; the reason says why.
    """
    try:
        connection = AgentConnection(url, on_message, queue_timeout_s, budget, tap)
    except (InvalidURI, ValueError):  # ValueError: an invalid port, bracket or escape
        raise AgentError(EndReason.AGENT_PROTOCOL, "the agent's WebSocket URL is not valid") from None
    try:
        await connection.open(initiation, ssl_context, timeout_s, steps, public_only=public_only)
    except BaseException:
        connection.abort()
        raise
    return connection


def _timed_out(what: str, seconds: float) -> AgentError:
    return AgentError(EndReason.AGENT_TIMEOUT, TimedOut(what, seconds, "AGENT_CONNECT_TIMEOUT"))


class AgentConnection(WebSocketReceiver):
    """An open conversation, created by `connect`.

    ``closed`` is done when the conversation is over, whichever side ended it.
    """

    def __init__(
        self,
        url: str,
        on_message: MessageHandler,
        queue_timeout_s: float,
        budget: LoopBudget,
        tap: Tap | None = None,
    ) -> None:
        """Prepare; raises `websockets.exceptions.InvalidURI`."""
        self._uri = parse_uri(url)
        super().__init__(ClientProtocol(self._uri, max_size=MAX_MESSAGE), budget)
        loop = asyncio.get_running_loop()
        self._is_cut = False  # the transport takes nothing more
        self._on_message = on_message
        self._tap = tap
        self._session = Session()
        self._queue = self._session.queue
        self._fault: Cause | None = None
        self._alive_timer: asyncio.TimerHandle | None = None
        self._cut_timer: asyncio.TimerHandle | None = None
        self._timeout_s = 0.0
        self._queue_timeout_s = queue_timeout_s
        self._queue_timer: asyncio.TimerHandle | None = None
        self._start_deadline: asyncio.Timeout | None = None
        self._upgraded: asyncio.Future[None] = loop.create_future()
        self._started: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[CallEnd] = loop.create_future()

    # Opening

    async def open(
        self,
        initiation: asyncio.Future[bytes],
        ssl_context: ssl.SSLContext,
        timeout_s: float,
        steps: SetupSteps,
        *,
        public_only: bool = False,
    ) -> None:
        """Open the WebSocket, then start the conversation: the two steps of `connect`."""
        where = f"{self._uri.host}:{self._uri.port}"
        try:
            with steps.timed(SetupStep.CONNECT):
                async with asyncio.timeout(timeout_s):
                    await self._connect(ssl_context, public_only=public_only)
                    await self._until(self._upgraded)
        except TimeoutError:
            raise _timed_out(f"no WebSocket connection to {where}", timeout_s) from None
        except PrivateAddressError as error:
            raise AgentError(
                EndReason.AGENT_PROTOCOL,
                f"the signed URL names {where}, which has the private address {error}; if it is yours, set "
                "ALLOW_PRIVATE_AGENT=true",
            ) from None
        except (OSError, ValueError) as error:  # ValueError: an invalid host name
            raise AgentError(EndReason.AGENT_UNREACHABLE, ConnectFailed(where, reason_of(error))) from None
        self.send(await initiation)
        self._timeout_s = timeout_s
        limit_s = timeout_s if self._queue is Queue.OUTSIDE else None  # else queued already
        try:
            with steps.timed(SetupStep.METADATA):
                async with asyncio.timeout(limit_s) as self._start_deadline:
                    await self._until(self._started)
        except TimeoutError:
            raise _timed_out("the agent sent no conversation metadata", timeout_s) from None
        finally:
            # Break the reference cycle of deadline, task, cancellation and this frame: it holds the call.
            self._start_deadline = None
        if self._can_send:
            self._alive_timer = asyncio.get_running_loop().call_later(KEEPALIVE_S, self._check_alive)

    async def _connect(self, ssl_context: ssl.SSLContext, *, public_only: bool) -> None:
        host, port = self._uri.host, self._uri.port
        if self._uri.secure:
            await tls.create_connection(self, host, port, ssl_context, public_only=public_only)
        else:
            loop = asyncio.get_running_loop()
            connection = await open_socket(host, port, public_only=public_only)
            await loop.create_connection(lambda: self, sock=connection)

    async def _until(self, step: asyncio.Future[None]) -> None:
        """Wait for ``step``, or for the end of the connection."""
        await asyncio.wait((step, self.closed), return_when=asyncio.FIRST_COMPLETED)
        if not step.done():
            end = self.closed.result()
            raise AgentError(end.reason, end.cause)

    # Sending

    @property
    def _can_send(self) -> bool:
        """Whether the WebSocket is open, and neither side has begun to close or cut it."""
        return self._websocket.state is State.OPEN and not self._is_cut

    def send(self, message: bytes) -> None:
        """Send one text message; do nothing if the conversation is over."""
        if self._can_send:
            if self._tap is not None:
                self._tap.on_client_message(message)
            self._send_text(message)

    def send_audio(self, audio: bytes) -> None:
        """Send caller audio, encoded in the metadata's input format."""
        if self._can_send:
            self._send_text(client_messages.user_audio(audio))

    def _send_text(self, message: bytes) -> None:
        """Write a text frame without the core, which keeps no state for complete messages."""
        assert self._transport is not None
        self._transport.write(text_frame(message))

    async def close(self) -> None:
        """End the conversation and wait until the connection is closed."""
        if self._can_send:
            self._websocket.send_close(1000, "The call has ended")
            self._write()
        self._close_soon()
        await asyncio.shield(self.closed)

    def abort(self) -> None:
        """Cut the TCP connection, if there is one, without a closing handshake."""
        self._incoming.close()
        self._is_cut = True
        if self._transport is not None:
            self._transport.abort()

    def _write(self) -> None:
        """Send what the core has to send."""
        data = self._websocket.data_to_send()
        if not data:
            return
        assert self._transport is not None
        self._transport.write(b"".join(data))
        if not data[-1]:  # the core's mark for the end of the stream
            self._transport.close()
            self._close_soon()  # the peer may never read the rest

    def pause_writing(self) -> None:
        """Cut the connection: more than `MAX_UNSENT` bytes wait. The transport calls this during a write."""
        self._fault = self._fault or NotReading()
        self.abort()

    # Receiving

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self._transport is not None
        self._transport.set_write_buffer_limits(high=MAX_UNSENT)
        request = self._websocket.connect()
        request.headers["User-Agent"] = USER_AGENT
        self._websocket.send_request(request)
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_cut = True
        super().connection_lost(exc)

    def on_text(self, data: bytes) -> None:
        if self._tap is not None:
            self._tap.on_agent_message(data)
        message = self._session.receive(data)
        if message is not None:
            # Before waiting tasks run: the first audio may follow in the same segment.
            self._on_message(message)
        if type(message) is not messages.Audio:
            self._follow_session()

    def on_progress(self) -> None:
        if self._incoming.is_open and not self._upgraded.done():
            self._upgraded.set_result(None)
        if not self._is_cut:
            self._write()
            if self._websocket.close_expected():
                self._close_soon()

    def _follow_session(self) -> None:
        for reply in self._session.messages_to_send():
            self.send(reply)
        if self._session.started and not self._started.done():
            self._started.set_result(None)
        if self._session.queue is not self._queue:
            self._queue = self._session.queue
            self._follow_queue()

    def _follow_queue(self) -> None:
        """Apply the time limit of ElevenLabs' queue in place of the limit for the metadata."""
        loop = asyncio.get_running_loop()
        if self._queue_timer is not None:
            self._queue_timer.cancel()
        outside = self._queue is Queue.OUTSIDE
        if self._start_deadline is not None and not self._started.done():
            self._start_deadline.reschedule(loop.time() + self._timeout_s if outside else None)
        if self._queue is Queue.WAITING:
            cause = NotAdmitted(self._queue_timeout_s)
            self._queue_timer = loop.call_later(self._queue_timeout_s, self._leave_queue, cause)
        elif self._queue is Queue.TIMED_OUT:
            self._queue_timer = loop.call_later(CLOSE_S, self._leave_queue, QueueTimedOut())

    def _leave_queue(self, cause: Cause) -> None:
        if self._can_send:
            self._fault = cause
            self._websocket.send_close(1000, "The caller gave up waiting")
            self._write()
            self._close_soon()

    # Ending

    def on_violation(self, error: RemoteProtocolError) -> None:
        """Close, and discard what still comes; of a flood nothing more is even read."""
        assert self._transport is not None
        self._fault = error.cause if isinstance(error, FloodError) else str(error)
        self._incoming.close()
        self._websocket.fail(1002, "Protocol error")
        self._write()
        if isinstance(error, FloodError):
            self._transport.close()
        self._close_soon()

    def on_lost(self, error: Exception | None) -> None:
        for timer in (self._alive_timer, self._cut_timer, self._queue_timer):
            if timer is not None:
                timer.cancel()
        cause = self._fault or cause_of_end(self._websocket, error)
        self.closed.set_result(self._session.end_of(cause))

    def _close_soon(self) -> None:
        """Cut the connection if the closing handshake doesn't end it in time."""
        if self._cut_timer is None and not self.closed.done():
            self._cut_timer = asyncio.get_running_loop().call_later(CLOSE_S, self.abort)

    def _check_alive(self) -> None:
        if not self._can_send:
            return
        loop = asyncio.get_running_loop()
        silent_s = loop.time() - self._received_at
        if silent_s > 2 * KEEPALIVE_S - 1:
            self._fault = Silent(silent_s)
            self.abort()
            return
        if silent_s > KEEPALIVE_S - 1:
            self._websocket.send_ping(b"")
            self._write()
        self._alive_timer = loop.call_later(KEEPALIVE_S, self._check_alive)
