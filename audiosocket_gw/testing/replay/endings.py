"""How each peer of a replayed call must end it, to reproduce the recorded cause. Pure."""

from __future__ import annotations

from audiosocket_gw.causes import (
    BadFrame,
    ConnectFailed,
    ConnectionBroken,
    ConnectionClosed,
    ErrorFrame,
    HangupFrame,
    HttpRefused,
    NotAdmitted,
    NotReading,
    NotWebSocket,
    QueueTimedOut,
    RequestFailed,
    Silent,
    Stalled,
    TimedOut,
    TooFast,
    UnfinishedFrame,
    WebSocketClosed,
    WebSocketRefused,
)
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.flight.call_trace import CallTrace

AgentEnding = (
    WebSocketClosed
    | WebSocketRefused
    | NotWebSocket
    | BadFrame
    | Silent
    | NotReading
    | ConnectFailed
    | ConnectionBroken
    | None
)
"""None: the agent continues. The end came from elsewhere, from its silence, or from one of its messages."""

CallerEnding = (
    HangupFrame
    | ErrorFrame
    | UnfinishedFrame
    | TooFast
    | Stalled
    | ConnectionBroken
    | ConnectionClosed
    | None
)
"""None: Asterisk continues until the gateway hangs up."""

_CLOSE_CODES = {
    EndReason.AGENT_REJECTED: 1008,
    EndReason.AGENT_FAILED: 1011,
    EndReason.AGENT_QUOTA: 3000,
    EndReason.AGENT_BUSY: 3008,
}
_STATUSES = {
    EndReason.AGENT_UNAUTHORIZED: 401,
    EndReason.AGENT_NOT_FOUND: 404,
    EndReason.AGENT_BUSY: 429,
    EndReason.AGENT_REJECTED: 400,
    EndReason.AGENT_PROTOCOL: 200,
}


def agent_ending(trace: CallTrace) -> AgentEnding:
    """Return what the agent's host must do for the call to end as recorded."""
    end = trace.end
    if end is None or not end.reason.startswith("agent-"):
        return None
    match end.cause:
        case WebSocketClosed(code, reason):
            return WebSocketClosed(code, reason)  # the messages contain the error
        case HttpRefused(status=status, body=body) | WebSocketRefused(status=status, body=body):
            return WebSocketRefused(status, body)
        case ConnectFailed(why=why) | RequestFailed(why=why):
            return ConnectFailed("", why)
        case NotWebSocket() | BadFrame() | Silent() | NotReading() | ConnectionBroken() as cause:
            return cause
        case TimedOut() | NotAdmitted() | QueueTimedOut():
            return None
        case _:
            return _after_connecting(end.reason) if trace.had_agent else _while_connecting(end.reason)


def _after_connecting(reason: EndReason) -> AgentEnding:
    """Guess by the reason, where the recording has only a text."""
    if reason is EndReason.AGENT_LOST:
        return ConnectionBroken("", "")
    if reason in _CLOSE_CODES:
        return WebSocketClosed(_CLOSE_CODES[reason], _text(reason))
    return None  # a tool that hangs up, or an invalid message: it is among the messages


def _while_connecting(reason: EndReason) -> AgentEnding:
    match reason:
        case EndReason.AGENT_UNREACHABLE:
            return ConnectFailed("", "")
        case EndReason.AGENT_LOST:
            return ConnectionBroken("", "")
        case EndReason.AGENT_TIMEOUT:
            return None
        case _:
            return WebSocketRefused(_STATUSES.get(reason, 500), _text(reason))


def _text(reason: EndReason) -> str:
    """Return the text from which the gateway derives the reason, if the code isn't enough."""
    return "quota_exceeded" if reason is EndReason.AGENT_QUOTA else ""


def caller_ending(trace: CallTrace) -> CallerEnding:
    """Return what Asterisk must do for the call to end as recorded."""
    if trace.end is None:
        return ConnectionClosed()
    match trace.end.reason, trace.end.cause:
        case EndReason.CALLER_STALLED, _:
            return Stalled(0)
        case EndReason.CALLER_HANGUP, HangupFrame() | ErrorFrame() | ConnectionBroken() as cause:
            return cause
        case EndReason.CALLER_PROTOCOL, UnfinishedFrame() | TooFast() as cause:
            return cause
        # CALLER_PROTOCOL: for a frame that the gateway now ignores.
        case EndReason.CALLER_PROTOCOL | EndReason.CALLER_HANGUP | EndReason.TRANSFERRED, _:
            return ConnectionClosed()
        case _:
            return None
