"""One connection to Asterisk's manager interface: actions go out, answers and events come in.

panoramisk writes the actions, and knows when their answers are complete (`Action`). Its `Manager` is not
used: it resends waiting actions after a reconnect, so that a stale Redirect could reach the PBX minutes
later; it has no deadlines; it doesn't detect a half-open connection; and it writes a CR LF in a value
unescaped, which starts a second action. Its `Message` isn't used either: of headers that differ in case the
last one counts there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from ssl import SSLCertVerificationError, SSLContext
from typing import Self, cast

from panoramisk.actions import Action  # type: ignore[import-untyped]
from panoramisk.message import Message  # type: ignore[import-untyped]

from audiosocket_gw.ami.certificate import is_for_address
from audiosocket_gw.ami.encoding import decoded
from audiosocket_gw.ami.framing import MessageBuffer
from audiosocket_gw.ami.outcome import ActionOutcome, OnAction
from audiosocket_gw.ami.registry import Headers, may_be_useful
from audiosocket_gw.errors import ControlError, LocalProtocolError, RemoteProtocolError, reason_of
from audiosocket_gw.runtime.happy_eyeballs import open_socket

TURN_BUDGET = 512
"""Work in one turn of the event loop, one unit about 2 us; what is left is done in the next turns."""

READ_COST = 8
"""Units of a message that is read, and of each `BYTES_PER_READ` of it; one that is discarded costs one."""

BYTES_PER_READ = 512

MAX_ANSWER_BYTES = 32 * 2**20
"""Approximate memory of one answer: a list of 8,000 channels, more than one Asterisk handles."""

HEADER_BYTES = 150
"""Memory of a header in addition to its text."""

MAX_LINE_BYTES = 1_000
"""Asterisk reads lines of at most 1024 bytes, and rejects actions with longer ones."""

MAX_UNSENT_BYTES = 65_536
"""An Asterisk that leaves this much unread has failed."""

ACTION_ID = b"\r\nActionID: "
"""Part of each answer. Other clients' actions cause events with it, too, but few."""

ACTION_ID_PREFIX = "audiosocket-gw-"
"""Lets a filter distinguish the answers to our actions from other events."""

_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_FORBIDDEN = re.compile(r"[\r\n\0]")

_REPEATED = frozenset({"Variable", "ChanVariable"})

Values = Mapping[str, str] | Mapping[str, str | list[str]]
"""The headers of an action; a list is a repeated header."""


class AmiActionError(ControlError):
    """Asterisk answered the action ``action`` with an error; ``reply`` is its message."""

    def __init__(self, action: str, reply: str) -> None:
        super().__init__(f"Asterisk rejected {action}: {reply}{_hint(action, reply)}")
        self.action = action
        self.reply = reply

    @property
    def is_no_such_channel(self) -> bool:
        """Measured: Redirect says ``Channel does not exist: NAME``, all others ``No such channel``."""
        return self.reply == "No such channel" or self.reply.startswith("Channel does not exist")


_CLASS_NEEDED = {"Originate": "originate", "CoreShowChannels": "reporting", "Filter": "system"}


def _hint(action: str, reply: str) -> str:
    if reply != "Permission denied":
        return ""
    return f" (the user in manager.conf needs write={_CLASS_NEEDED.get(action, 'call')})"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of Asterisk: the headers of its response, and the events that belong to it.

    The values of ``Variable``, which is repeated, are joined with CR LF. Of other repeated headers the first
    counts.
    """

    headers: Headers
    rows: tuple[Headers, ...] = ()


class _Received(Message):  # type: ignore[misc]
    """A message for panoramisk, with ``headers`` parsed here."""

    def __init__(self, headers: Headers) -> None:
        super().__init__(headers)
        self.headers = headers


@dataclass(slots=True)
class _Pending:
    """An action whose answer isn't complete, and the approximate memory of what came so far."""

    action: Action
    size: int = 0


class AmiConnection(asyncio.Protocol):
    """A connection, from its first byte to its last. Actions that are unanswered when it is lost have failed.

    ``lost`` is done when the connection is gone; its result says why. ``reads`` counts the signs of life.
    """

    def __init__(self, on_event: Callable[[Headers], None], on_action: OnAction | None = None) -> None:
        self._on_event = on_event
        self._on_action = on_action
        self._transport: asyncio.Transport
        self._buffer = MessageBuffer()
        self._working = False
        self._performed = 0
        # Unpredictable, so that no value of a variable can pass for an answer.
        self._action_id_prefix = f"{ACTION_ID_PREFIX}{token_hex(8)}-"
        self._pending: dict[str, _Pending] = {}
        self._why_cut = ""
        self._loop = asyncio.get_running_loop()
        self.reads = 0
        self.lost: asyncio.Future[str] = self._loop.create_future()

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        ssl: SSLContext | None,
        on_event: Callable[[Headers], None],
        certified_name: str = "",
        on_action: OnAction | None = None,
    ) -> Self:
        """Connect, without logging in; with TLS the certificate must be for ``certified_name`` or ``host``.

        Raises:
            OSError: there is no connection; `ssl.SSLCertVerificationError`: the certificate is invalid.
        """
        loop = asyncio.get_running_loop()
        name = certified_name or host
        _, connection = await loop.create_connection(
            lambda: cls(on_event, on_action),
            sock=await open_socket(host, port),
            ssl=ssl,
            server_hostname=name if ssl else None,
        )
        if ssl is not None and not ssl.check_hostname:
            connection._check_address(name)
        return connection

    def _check_address(self, address: str) -> None:
        certificate = self._transport.get_extra_info("peercert")
        if not is_for_address(certificate, address):
            self.cut("the certificate is for another")
            raise SSLCertVerificationError(f"the certificate is not valid for {address!r}")

    @property
    def peer_host(self) -> str:
        """The address of the peer."""
        address = self._transport.get_extra_info("peername")
        return str(address[0]) if address else ""

    async def perform(self, name: str, values: Values, deadline_s: float) -> Answer:
        """Send an action and wait for its complete answer.

        Raises:
            LocalProtocolError: a header can't be sent; nothing was.
            AmiActionError: Asterisk answered with an error.
            ControlError: no answer in ``deadline_s``, or the connection was lost first. Then Asterisk may
                have carried the action out or not; it is not sent again.
        """
        self._performed += 1
        action_id = f"{self._action_id_prefix}{self._performed}"
        action = Action({"Action": name, "ActionID": action_id, **values})
        wire = _wire(action)
        if self.lost.done():
            raise ControlError(f"{name}: {self.lost.result()}")
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            raise ControlError(f"{name}: Asterisk doesn't read what is sent to it")
        self._pending[action.id] = _Pending(action)
        started = self._loop.time()
        outcome = ActionOutcome.LOST
        try:
            self._transport.write(wire)
            async with asyncio.timeout(deadline_s):
                received = await action.future
            outcome = ActionOutcome.REJECTED
            answer = _answer(name, received if isinstance(received, list) else [received])
            outcome = ActionOutcome.OK
        except TimeoutError:
            outcome = ActionOutcome.TIMED_OUT
            raise ControlError(f"{name}: no answer from Asterisk in {deadline_s:g} s") from None
        finally:
            self._pending.pop(action.id, None)
            if self._on_action is not None:
                self._on_action(name, outcome, self._loop.time() - started)
        return answer

    def cut(self, why: str) -> None:
        """Cut the connection."""
        self._why_cut = self._why_cut or why
        self._transport.abort()

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.reads += 1
        self._buffer.receive(data)
        if not self._working:
            self._work()

    def connection_lost(self, exc: Exception | None) -> None:
        self._why_cut = why = self._why_cut or (
            f"the connection broke: {reason_of(exc)}" if exc else "Asterisk closed the connection"
        )
        self.lost.set_result(why)
        for pending in tuple(self._pending.values()):
            self._fail(pending.action, f"unanswered, {why}")

    # Input

    def _work(self) -> None:
        """Take messages within the budget of a turn, and none from the network while some are left.

        asyncio delivers up to 256 KiB at once: 20,000 messages of a flood.
        """
        budget = TURN_BUDGET
        try:
            while budget > 0 and not self._why_cut:
                message = self._buffer.take()
                if message is None:
                    self._set_working(False)
                    return
                budget -= self._take(message)
        except RemoteProtocolError as error:
            self.cut(str(error))
        if not self._why_cut:
            self._set_working(True)
            self._loop.call_soon(self._work)

    def _set_working(self, working: bool) -> None:
        if working != self._working:
            self._working = working
            (self._transport.pause_reading if working else self._transport.resume_reading)()

    def _take(self, message: bytes) -> int:
        """Read a message; return its cost."""
        if ACTION_ID not in message and not may_be_useful(message):
            self._on_event({})  # for those who count them
            return 1
        headers = _headers(decoded(message))
        if "Event" in headers or "Response" in headers:
            pending = self._pending.get(headers.get("ActionID", ""))
            if pending is not None:
                pending.size += len(message) + HEADER_BYTES * len(headers)
                self._answer(pending, headers)
            elif "Event" in headers:
                self._on_event(headers)
        return READ_COST * (1 + len(message) // BYTES_PER_READ)

    def _answer(self, pending: _Pending, headers: Headers) -> None:
        action = pending.action
        if pending.size > MAX_ANSWER_BYTES:
            self._fail(action, f"an answer of more than {MAX_ANSWER_BYTES >> 20} MiB")
            return
        try:
            if action.add_message(_Received(headers)):
                del self._pending[action.id]
        except KeyError:
            # panoramisk looks up Async in every queued action, and only Originate can be queued.
            self._fail(action, f"Asterisk answered {headers.get('Message', '')!r}")

    def _fail(self, action: Action, why: str) -> None:
        del self._pending[action.id]
        if not action.future.done():
            action.future.set_exception(ControlError(f"{action['Action']}: {why}"))


def _headers(block: str) -> dict[str, str]:
    """Parse a message. A repeated header, in any case, is a line of another value: the first counts.

    Exceptions: ``Variable`` is repeated, and Asterisk writes the ActionID after the values of variables.
    """
    headers: dict[str, str] = {}
    spelt: dict[str, str] = {"actionid": "ActionID"}
    for line in block.split("\r\n"):
        name, colon, value = line.partition(": ")
        if not colon or spelt.setdefault(name.lower(), name) != name:
            continue
        if name in _REPEATED and name in headers:
            headers[name] += f"\r\n{value}"
        elif name not in headers or name == "ActionID":
            headers[name] = value
    return headers


def _wire(action: Action) -> bytes:
    """Return the bytes of the action, after checking each header: a line break in a value would start another
    action.
    """
    for name, value in action.items():
        if not _HEADER_NAME.fullmatch(name):
            raise LocalProtocolError(f"{name!r} is not a valid header name")
        for line in (value,) if isinstance(value, str) else value:
            _check_line(name, line)
    return bytes(str(action), "utf-8")


def _check_line(name: str, value: str) -> None:
    # The messages don't show the value, which may be the password.
    if _FORBIDDEN.search(value):
        raise LocalProtocolError(f"{name}: CR, LF or NUL in its value: nothing was sent")
    try:
        length = len(f"{name}: {value}".encode())
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{name}: its value is not text: nothing was sent") from None
    if length > MAX_LINE_BYTES:
        raise LocalProtocolError(
            f"{name}: {length} bytes, and Asterisk accepts {MAX_LINE_BYTES}: nothing was sent"
        )


def _answer(name: str, received: Sequence[_Received]) -> Answer:
    messages = [message.headers for message in received]
    if messages[0].get("Response") == "Error":
        raise AmiActionError(name, messages[0].get("Message", "no reason given"))
    return Answer(messages[0], tuple(message for message in messages[1:] if "Event" in message))
