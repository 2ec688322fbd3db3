"""One conversation in ElevenLabs' protocol, sans-I/O: messages in, replies out, and the cause of its end."""

from __future__ import annotations

from enum import Enum, auto

from audiosocket_gw.causes import (
    MAX_FOREIGN,
    Cause,
    ConnectionBroken,
    NotAdmitted,
    NotReading,
    QueueTimedOut,
    Silent,
    WebSocketClosed,
    WebSocketRefused,
)
from audiosocket_gw.elevenlabs import client_messages, messages
from audiosocket_gw.elevenlabs.close_codes import reason_of_close, reason_of_status
from audiosocket_gw.end_reasons import CallEnd, EndReason


class Queue(Enum):
    """The state in ElevenLabs' queue, which may come before or after the metadata."""

    OUTSIDE = auto()
    WAITING = auto()
    TIMED_OUT = auto()
    """The server should close now."""


class Session:
    """Pass every text message to `receive`, and send what `messages_to_send` returns.

    ``started``: the metadata has arrived. The connection limits the time until then and in the queue.
    """

    def __init__(self) -> None:
        self.started = False
        self.queue = Queue.OUTSIDE
        self._error = ""
        self._guardrail = ""
        self._replies: list[bytes] = []

    def receive(self, data: bytes) -> messages.ServerMessage | None:
        """Parse a message; None if the call doesn't need it: repeated metadata, a ping without figures.

        Raises:
            RemoteProtocolError: the message is not a JSON object, or has audio that isn't base64.
        """
        message = messages.parse(data)
        match message:
            case messages.Ping():
                self._replies.append(client_messages.pong(message))
                return message if message.rtt_ms is not None else None
            case messages.Metadata():
                if self.started:
                    return None
                self.started = True
            case messages.QueueStatus():
                self._move_in_queue(message.status)
            case messages.ServerError():
                self._error = message.message[:MAX_FOREIGN]
            case messages.GuardrailTriggered():
                self._guardrail = "a guardrail was triggered"
            case _:
                self._error = self._guardrail = ""  # it was not the last message
        return message

    def messages_to_send(self) -> list[bytes]:
        """Return and clear the replies; send them at once."""
        replies, self._replies = self._replies, []
        return replies

    def _move_in_queue(self, status: str) -> None:
        match status:
            case "waiting" if self.queue is Queue.OUTSIDE:
                self.queue = Queue.WAITING
            case "timed_out":
                self.queue = Queue.TIMED_OUT
                self._error = str(QueueTimedOut())
            case "admitted":
                self.queue = Queue.OUTSIDE

    def end_of(self, cause: Cause) -> CallEnd:
        """Return the end with its reason, including the agent's last error messages."""
        match cause:
            case WebSocketClosed(code, reason):
                error = "; ".join(filter(None, (self._error, self._guardrail)))
                closed = WebSocketClosed(code, reason, error)
                return CallEnd(reason_of_close(code, closed.text), closed)
            case WebSocketRefused(status, body):
                return CallEnd(reason_of_status(status, body), cause)
            case ConnectionBroken(peer, why):
                return CallEnd(EndReason.AGENT_LOST, ConnectionBroken(peer, why, self._error))
            case Silent() | NotReading():
                return CallEnd(EndReason.AGENT_LOST, cause)
            case NotAdmitted() | QueueTimedOut():
                return CallEnd(EndReason.AGENT_BUSY, cause)
            case _:  # invalid handshake, frame or message
                return CallEnd(EndReason.AGENT_PROTOCOL, cause)
