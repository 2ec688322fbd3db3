"""Why a call ended: the reasons, and what a dialplan is told of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from audiosocket_gw.causes import Cause


class EndReason(StrEnum):
    """Why a call ended. Each call ends with exactly one of these; `docs/end-reasons.md` explains them."""

    CALLER_HANGUP = "caller-hangup"
    """Asterisk closed the connection: the caller hung up, or the channel was redirected."""
    AGENT_HANGUP = "agent-hangup"
    """The agent ended the conversation normally: close code 1000, or the tool ``avr_hangup``."""
    OPERATOR_HANGUP = "operator-hangup"
    """An operator hung up: HTTP, the dashboard, or ``audiosocket-gw calls UUID hangup``."""
    TRANSFERRED = "transferred"
    """The caller was transferred."""

    AGENT_URL_FAILED = "agent-url-failed"
    """``ELEVENLABS_AGENT_URL`` did not name an agent."""
    AGENT_UNREACHABLE = "agent-unreachable"
    """No connection to ElevenLabs: refused, no such host, TLS failure, or an HTTP 5xx."""
    AGENT_UNAUTHORIZED = "agent-unauthorized"
    """ElevenLabs rejected the credentials (401, 403), or the agent is private and no key is set."""
    AGENT_NOT_FOUND = "agent-not-found"
    """There is no such agent (404)."""
    AGENT_TIMEOUT = "agent-timeout"
    """A step of connecting to the agent took longer than its time limit."""
    AGENT_QUOTA = "agent-quota"
    """The account's quota is used up."""
    AGENT_BUSY = "agent-busy"
    """Too many conversations at once for the account or the agent (429, 3008, 4300, queue timed out)."""
    AGENT_REJECTED = "agent-rejected"
    """The agent rejected what was sent to it (1008): an override, a missing variable, an invalid message."""
    AGENT_FAILED = "agent-failed"
    """The agent failed (1002, 1011): model, speech or safety."""
    AGENT_FORMAT = "agent-format"
    """The agent speaks or wants an audio format that this gateway doesn't handle."""
    AGENT_PROTOCOL = "agent-protocol"
    """The agent sent something that is not its protocol."""
    AGENT_LOST = "agent-lost"
    """The connection to the agent broke without a closing handshake (1006), or was silent."""

    SILENT_AGENT = "silent-agent"
    """The agent connected, and said nothing for ``SILENT_AGENT_SECONDS``."""

    CALLER_STALLED = "caller-stalled"
    """Asterisk stopped accepting audio."""
    CALLER_SILENT = "caller-silent"
    """No audio came from the caller for ``NO_INPUT_TIMEOUT``."""
    CALLER_UNKNOWN = "caller-unknown"
    """No channel of Asterisk is in the call, which ``REQUIRE_AMI_MATCH`` demands."""
    PBX_UNREACHABLE = "pbx-unreachable"
    """Asterisk couldn't be asked for the channel, which ``REQUIRE_AMI_MATCH`` demands."""
    CALLER_PROTOCOL = "caller-protocol"
    """The peer violated the AudioSocket protocol."""
    GATEWAY_FULL = "gateway-full"
    """``MAX_CALLS`` calls were active; the call was rejected before it began."""
    OVERLOADED = "overloaded"
    """The gateway is overloaded; the call was rejected before it began."""
    UUID_INVALID = "uuid-invalid"
    """The UUID isn't signed with ``UUID_SECRET``, has expired or was used before."""
    PEER_LIMIT = "peer-limit"
    """The address had its share of calls, or of new calls; the call was rejected before it began."""
    MAX_DURATION = "max-duration"
    """The call lasted ``MAX_CALL_SECONDS``."""
    DRAINED = "drained"
    """The gateway is stopping, and the call lasted longer than ``DRAIN_TIMEOUT``."""
    INTERNAL_ERROR = "internal-error"
    """A defect of the gateway itself; the log has the traceback."""
    GATEWAY_LOST = "gateway-lost"
    """The process died during the call. No `CallEnded` has this: AMI sets it on the channel in advance."""


NORMAL_ENDS = frozenset(
    {EndReason.CALLER_HANGUP, EndReason.AGENT_HANGUP, EndReason.OPERATOR_HANGUP, EndReason.TRANSFERRED}
)
"""Ends without a fault."""

AGENT_ENDS = frozenset(reason for reason in EndReason if reason.startswith("agent-"))
"""Ends by the agent; the caller still hears what is queued."""

_RESULTS = {
    EndReason.CALLER_HANGUP: "completed",
    EndReason.AGENT_HANGUP: "completed",
    EndReason.OPERATOR_HANGUP: "completed",
    EndReason.MAX_DURATION: "completed",
    EndReason.TRANSFERRED: "transferred",
    EndReason.AGENT_QUOTA: "quota",
    EndReason.AGENT_BUSY: "busy",
    EndReason.GATEWAY_FULL: "busy",
    EndReason.OVERLOADED: "busy",
    EndReason.PEER_LIMIT: "busy",
    EndReason.DRAINED: "draining",
    EndReason.SILENT_AGENT: "agent-unavailable",
}


def result_of(reason: EndReason) -> str:
    """Return the value of the channel variable ``AVR_RESULT``: few enough for a dialplan to branch on."""
    return _RESULTS.get(reason) or ("agent-unavailable" if reason in AGENT_ENDS else "error")


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended: one of the reasons that `docs/end-reasons.md` lists, and what caused it."""

    reason: EndReason
    cause: Cause

    @property
    def detail(self) -> str:
        """The cause as a sentence, for people."""
        return str(self.cause)
