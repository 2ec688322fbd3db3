"""How each side ended a recorded call, as far as the recording knows: what a replay has to do again. Pure.

The recording has no close frame and no refusal in it, but the gateway's own words for them: the reason and
the detail of `CallEnded`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from audiosocket_gw.events import CallEnd, EndReason
from audiosocket_gw.flight.call_trace import CallTrace
from audiosocket_gw.protocol.audiosocket import HANGUP_FRAME, HEADER, Kind


class AgentAct(Enum):
    """What the agent's host does when the recorded call ended."""

    NOTHING = auto()
    """It goes on: the end came from elsewhere, or from its silence, or from one of its messages."""
    CLOSE = auto()
    """It closes the WebSocket, with a code and a reason."""
    CUT = auto()
    """It cuts the TCP connection."""
    GARBAGE = auto()
    """It sends bytes that are no WebSocket frame."""
    STATUS = auto()
    """It answers the request for a WebSocket with an HTTP status."""
    NO_HTTP = auto()
    """It answers the request for a WebSocket with something that isn't HTTP."""
    UNREACHABLE = auto()
    """It refuses the TCP connection, from the start."""
    MUTE = auto()
    """It answers no ping after its last message."""
    DEAF = auto()
    """It reads nothing of what the gateway says."""


@dataclass(frozen=True, slots=True)
class AgentEnding:
    """``code`` is a close code or an HTTP status, 0 for none; ``text`` goes with it."""

    act: AgentAct
    code: int = 0
    text: str = ""


class CallerAct(Enum):
    """What Asterisk does when the recorded call ended."""

    NOTHING = auto()
    """It goes on until the gateway hangs up."""
    SEND = auto()
    """It sends a frame that ends the call: a hang-up."""
    CLOSE = auto()
    """It closes the connection."""
    RESET = auto()
    """The connection breaks."""
    STALL = auto()
    """It stops reading when the last frame has been sent to it."""
    HALF_FRAME = auto()
    """It leaves a frame unfinished, right after its last one."""


@dataclass(frozen=True, slots=True)
class CallerEnding:
    act: CallerAct
    data: bytes = b""


_CLOSED = re.compile(r"the agent closed with (\d{4})(?: (.*))?", re.DOTALL)
_STATUS = re.compile(r"\bHTTP (\d{3})\b:? ?(.*)", re.DOTALL)
_NO_REASON = "(no reason given)"

_CLOSE_CODES = {
    EndReason.AGENT_HANGUP: 1000,
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
    EndReason.AGENT_URL_FAILED: 500,
    EndReason.AGENT_PROTOCOL: 200,
}
"""For details whose code was masked, or that tell of something else with the same reason."""


def agent_ending(trace: CallTrace) -> AgentEnding:
    """Tell what the agent's host has to do for the call to end as it did."""
    end = trace.end
    if end is None or not end.reason.startswith("agent-"):
        return AgentEnding(AgentAct.NOTHING)
    closed = _CLOSED.match(end.detail)
    if closed:
        text = closed[2] or ""
        return AgentEnding(AgentAct.CLOSE, int(closed[1]), "" if text.startswith(_NO_REASON) else text)
    return _after_connecting(end) if trace.had_agent else _while_connecting(end)


def _after_connecting(end: CallEnd) -> AgentEnding:
    match end.reason:
        case EndReason.AGENT_LOST if "fell silent" in end.detail:
            return AgentEnding(AgentAct.MUTE)
        case EndReason.AGENT_LOST if "stopped reading" in end.detail:
            return AgentEnding(AgentAct.DEAF)
        case EndReason.AGENT_LOST:
            return AgentEnding(AgentAct.CUT)
        case EndReason.AGENT_PROTOCOL if "no valid WebSocket frame" in end.detail:
            return AgentEnding(AgentAct.GARBAGE)
        case EndReason.AGENT_HANGUP:
            return AgentEnding(AgentAct.NOTHING)  # with a tool, whose call is among the messages
        case reason if reason in _CLOSE_CODES:
            return AgentEnding(AgentAct.CLOSE, _CLOSE_CODES[reason], _words(reason))
        case _:
            return AgentEnding(AgentAct.NOTHING)


def _while_connecting(end: CallEnd) -> AgentEnding:
    status = _STATUS.search(end.detail)
    if status:
        return AgentEnding(AgentAct.STATUS, int(status[1]), status[2].strip("'\""))
    if "can't be reached" in end.detail or end.reason is EndReason.AGENT_UNREACHABLE:
        return AgentEnding(AgentAct.UNREACHABLE)
    if "answered no WebSocket" in end.detail:
        return AgentEnding(AgentAct.NO_HTTP)
    if end.reason is EndReason.AGENT_LOST:
        return AgentEnding(AgentAct.CUT)
    if end.reason is EndReason.AGENT_TIMEOUT or "did not answer in" in end.detail:
        return AgentEnding(AgentAct.NOTHING)
    return AgentEnding(AgentAct.STATUS, _STATUSES.get(end.reason, 500), _words(end.reason))


def _words(reason: EndReason) -> str:
    """Return the text by which the reason is known, where the code doesn't tell it."""
    return "quota_exceeded" if reason is EndReason.AGENT_QUOTA else ""


def caller_ending(trace: CallTrace) -> CallerEnding:
    """Tell what Asterisk has to do for the call to end as it did."""
    end = trace.end
    if end is None:
        return CallerEnding(CallerAct.CLOSE)
    match end.reason:
        case EndReason.CALLER_STALLED:
            return CallerEnding(CallerAct.STALL)
        case EndReason.CALLER_PROTOCOL if "unfinished" in end.detail:
            return CallerEnding(CallerAct.HALF_FRAME, HEADER.pack(Kind.SLIN, 320) + bytes(100))
        case EndReason.CALLER_PROTOCOL if "real time" in end.detail:
            return CallerEnding(CallerAct.NOTHING)
        case EndReason.CALLER_PROTOCOL:  # for a frame that the gateway passes over today
            return CallerEnding(CallerAct.CLOSE)
        case EndReason.CALLER_HANGUP if "reports error" in end.detail:
            return CallerEnding(CallerAct.SEND, HEADER.pack(Kind.ERROR, 1) + b"\1")
        case EndReason.CALLER_HANGUP if "sent a hang-up" in end.detail:
            return CallerEnding(CallerAct.SEND, HANGUP_FRAME)
        case EndReason.CALLER_HANGUP if "broke" in end.detail:
            return CallerEnding(CallerAct.RESET)
        case EndReason.CALLER_HANGUP | EndReason.TRANSFERRED:
            return CallerEnding(CallerAct.CLOSE)
        case _:
            return CallerEnding(CallerAct.NOTHING)
