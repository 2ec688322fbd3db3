"""The causes of a call's end, as data. `str` of a cause is a sentence for people; nothing parses it.

A cause without useful structure is a plain `str`.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_FOREIGN = 200
"""Characters of a peer's own text that are kept."""

NO_REASON = "(no reason given)"

_CLOSE_CODES = {
    1001: "the server is going away",
    1005: "a close without a code",
    1012: "the service restarts",
    1013: "the service is overloaded, try again later",
    1014: "a proxy on the way lost the service",
}


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A step took longer than ``seconds``, which ``setting`` sets. ``what``: such as ``no WebSocket``."""

    what: str
    seconds: float
    setting: str

    def __str__(self) -> str:
        return f"{self.what} in {self.seconds:g} s ({self.setting})"


# Before the WebSocket is open


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """No TCP or TLS connection to the agent's host."""

    host: str
    why: str

    def __str__(self) -> str:
        return f"no connection to {self.host}: {self.why}"


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A REST request got no HTTP answer. ``who`` should have answered."""

    who: str
    why: str

    def __str__(self) -> str:
        return f"{self.who} can't be reached: {self.why}"


@dataclass(frozen=True, slots=True)
class HttpRefused:
    """A REST request was answered with a status other than 200.

    ``body`` is its beginning; ``redirect`` is its target, without user and query.
    """

    who: str
    status: int
    body: str
    redirect: str = ""

    def __str__(self) -> str:
        return f"{self.who} answered HTTP {self.status}: {self.body!r}{_redirects(self.redirect)}"


@dataclass(frozen=True, slots=True)
class WebSocketRefused:
    """The request for a WebSocket was answered with a status other than 101; fields as in `HttpRefused`."""

    status: int
    body: str
    redirect: str = ""

    def __str__(self) -> str:
        words = f"the agent's host refused the WebSocket with HTTP {self.status} {self.body}".rstrip()
        return words + _redirects(self.redirect)


def _redirects(place: str) -> str:
    return f"; it redirects to {place}" if place else ""


@dataclass(frozen=True, slots=True)
class NotWebSocket:
    """The answer to the request for a WebSocket was not a WebSocket handshake."""

    error: str

    def __str__(self) -> str:
        return f"the agent's host answered no WebSocket: {self.error}"


# On the WebSocket


@dataclass(frozen=True, slots=True)
class WebSocketClosed:
    """The agent sent a close frame; 1005 stands for one without a code (RFC 6455, section 7.1.5).

    ``error`` is what the agent's last messages said was wrong.
    """

    code: int
    reason: str
    error: str = ""

    @property
    def text(self) -> str:
        """All that the agent said about it."""
        return "; ".join(filter(None, (self.reason, self.error)))

    def __str__(self) -> str:
        meaning = _CLOSE_CODES.get(self.code) or ("a code of the agent's own" if self.code >= 4000 else "")
        text = self.text[:MAX_FOREIGN] or NO_REASON
        return f"the agent closed with {self.code} {text}{': ' if meaning else ''}{meaning}"


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """The call waited in ElevenLabs' queue for ``seconds``, as long as the operator allows."""

    seconds: float

    def __str__(self) -> str:
        return f"nothing was free within {self.seconds:g} s in ElevenLabs' queue (AGENT_QUEUE_TIMEOUT)"


@dataclass(frozen=True, slots=True)
class QueueTimedOut:
    """The call waited in ElevenLabs' queue until that timed out, and ElevenLabs didn't close the
    connection.
    """

    def __str__(self) -> str:
        return "too many concurrent conversations: the queue timed out"


@dataclass(frozen=True, slots=True)
class BadFrame:
    """The agent sent bytes that are not a valid WebSocket frame."""

    error: str

    def __str__(self) -> str:
        return f"the agent sent no valid WebSocket frame: {self.error}"


@dataclass(frozen=True, slots=True)
class Silent:
    """The agent sent nothing for this long, not even an answer to a ping."""

    seconds: float

    def __str__(self) -> str:
        return f"the agent fell silent for {self.seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class NotReading:
    """The agent stopped reading."""

    def __str__(self) -> str:
        return "the agent stopped reading what the caller says"


@dataclass(frozen=True, slots=True)
class NothingSaid:
    """The agent has said nothing for ``seconds`` after it connected."""

    seconds: float

    def __str__(self) -> str:
        return f"the agent said nothing for {self.seconds:.1f} s (SILENT_AGENT_SECONDS)"


@dataclass(frozen=True, slots=True)
class Flooding:
    """The agent sent more than any conversation has. ``what``: such as ``10,000 messages``."""

    what: str

    def __str__(self) -> str:
        return f"the agent floods: it sent {self.what}"


# On either connection


@dataclass(frozen=True, slots=True)
class ConnectionBroken:
    """The TCP connection to ``peer`` (``the agent``, ``Asterisk``) ended without the protocol's own end.

    ``error`` is what the agent's last messages said was wrong.
    """

    peer: str
    why: str
    error: str = ""

    def __str__(self) -> str:
        words = f"the connection to {self.peer} broke: {self.why}"
        return f"{words}; {self.error}" if self.error else words


# On the connection from Asterisk


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """Asterisk closed the TCP connection, as it does when the caller hangs up."""

    def __str__(self) -> str:
        return "Asterisk closed the connection"


@dataclass(frozen=True, slots=True)
class HangupFrame:
    """The peer sent a frame of kind 0x00."""

    def __str__(self) -> str:
        return "Asterisk sent a hang-up"


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """The peer sent a frame of kind 0xFF whose ``code`` means a hang-up."""

    code: int

    def __str__(self) -> str:
        return f"Asterisk reports error {self.code:#04x}, a hang-up"


@dataclass(frozen=True, slots=True)
class UnfinishedFrame:
    """The peer began a frame and didn't finish it within ``seconds``."""

    seconds: float

    def __str__(self) -> str:
        return f"Asterisk's side left a frame unfinished for {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class TooFast:
    """The peer sends more audio, keys or changes of the rate than a telephone can."""

    def __str__(self) -> str:
        return "the peer sends audio, keys or changes of the rate faster than real time"


@dataclass(frozen=True, slots=True)
class Stalled:
    """Asterisk accepted no audio for ``seconds``."""

    seconds: float

    def __str__(self) -> str:
        return f"Asterisk has taken no audio for {self.seconds:g} s"


@dataclass(frozen=True, slots=True)
class NoInput:
    """No audio came from the caller for ``seconds``, not even silence."""

    seconds: float

    def __str__(self) -> str:
        return f"no audio came from the caller for {self.seconds:g} s (NO_INPUT_TIMEOUT)"


StructuredCause = (
    TimedOut
    | ConnectFailed
    | RequestFailed
    | HttpRefused
    | WebSocketRefused
    | NotWebSocket
    | WebSocketClosed
    | NotAdmitted
    | QueueTimedOut
    | BadFrame
    | Silent
    | NotReading
    | NothingSaid
    | Flooding
    | ConnectionBroken
    | ConnectionClosed
    | HangupFrame
    | ErrorFrame
    | UnfinishedFrame
    | TooFast
    | Stalled
    | NoInput
)

Cause = StructuredCause | str
