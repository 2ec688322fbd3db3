"""What the agent sends on its WebSocket, read: text messages, each a JSON object.

The schema is ElevenLabs' published AsyncAPI document and Python SDK 2.78. They disagree in places and the
service adds event types freely, so the reader's rule is: an unknown type, an unknown field or a missing
optional field is never an error. Only what isn't a JSON object, or claims to be audio and isn't, is.
"""

from __future__ import annotations

import json
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from audiosocket_gw.errors import RemoteProtocolError

Json = Mapping[str, Any]

Alignment = tuple[tuple[int, str], ...]
"""The characters spoken in a piece of audio, each with the millisecond in that piece at which it ends."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The conversation has begun; audio formats by name, such as ``pcm_8000``."""

    conversation_id: str
    output_format: str
    input_format: str


@dataclass(frozen=True, slots=True)
class Audio:
    """A piece of a reply, of any length. All pieces of a reply may share one ``event_id``."""

    audio: bytes
    event_id: int | None
    alignment: Alignment = ()
    is_final: bool = False
    """Whether it is the last piece of the reply; seen on the wire, but not in the schema: it may not come."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """Stop speaking now. Audio with a lower ``event_id`` that still arrives is stale."""

    event_id: int | None


@dataclass(frozen=True, slots=True)
class Ping:
    """Wants a pong with the same id, at once. ``event_id`` is sent back as it came."""

    event_id: int | str | None


@dataclass(frozen=True, slots=True)
class UserTranscript:
    """What the caller said, final."""

    text: str


@dataclass(frozen=True, slots=True)
class AgentResponse:
    """The text of a reply: before, with or after its audio."""

    text: str
    event_id: int | None = None


@dataclass(frozen=True, slots=True)
class AgentResponseCorrection:
    """The text of the interrupted reply, cut to what was spoken. Not an audio command."""

    text: str


@dataclass(frozen=True, slots=True)
class ClientToolCall:
    """The agent wants a tool run and its result sent. ``tool_call_id`` is empty when it has none."""

    name: str
    tool_call_id: str
    parameters: Json


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The account is at its limit of conversations: ``waiting``, ``admitted`` or ``timed_out``."""

    status: str


@dataclass(frozen=True, slots=True)
class ServerError:
    """Why the server is about to close the connection."""

    code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class GuardrailTriggered:
    """The agent's guardrails blocked something; the conversation may end with that."""


@dataclass(frozen=True, slots=True)
class McpToolCall:
    """An MCP tool, which ElevenLabs runs, has come so far; ``awaiting_approval`` wants `mcp_approval`."""

    name: str
    tool_call_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Other:
    """A message that the gateway has no use for."""

    type: str


ServerMessage = (
    Metadata
    | Audio
    | Interruption
    | Ping
    | UserTranscript
    | AgentResponse
    | AgentResponseCorrection
    | ClientToolCall
    | QueueStatus
    | ServerError
    | GuardrailTriggered
    | McpToolCall
    | Other
)

_FROM_URL_ALPHABET = str.maketrans("-_", "+/")

MAX_TIME_MS = 86_400_000
"""No reply is a day long."""

DEFAULT_FORMAT = "pcm_16000"
"""What an agent speaks when its metadata doesn't say: ElevenLabs' JavaScript client assumes it too."""


def parse(text: str | bytes) -> ServerMessage:
    """Read one server message.

    Raises:
        RemoteProtocolError: not a JSON object, or audio that isn't base64.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"the agent sent something that is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise RemoteProtocolError(f"the agent sent a JSON {type(message).__name__}, not an object")
    kind = _text(message, "type")
    reader = _READERS.get(kind)
    return reader(message) if reader else Other(kind)


def _metadata(message: Json) -> Metadata:
    event = _object(message, "conversation_initiation_metadata_event")
    return Metadata(
        conversation_id=_text(event, "conversation_id"),
        output_format=_text(event, "agent_output_audio_format") or DEFAULT_FORMAT,
        input_format=_text(event, "user_input_audio_format") or DEFAULT_FORMAT,
    )


def _audio(message: Json) -> Audio:
    event = _object(message, "audio_event")
    audio = decode_audio(_text(event, "audio_base_64"))
    alignment = _alignment(_object(event, "alignment"))
    return Audio(audio, _event_id(event), alignment, event.get("is_final") is True)


def decode_audio(encoded: str) -> bytes:
    """Read base64; without padding, in lines, or of the alphabet for URLs, too (RFC 4648, sections 3 and 5).

    Raises:
        RemoteProtocolError: it is something else.
    """
    try:
        return a2b_base64(encoded, strict_mode=True)
    except (Base64Error, ValueError):
        return _decode_unusual(encoded)


def _decode_unusual(encoded: str) -> bytes:
    text = "".join(encoded.split()).rstrip("=").translate(_FROM_URL_ALPHABET)
    try:
        return a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except (Base64Error, ValueError) as error:
        raise RemoteProtocolError(f"the agent sent audio that is not base64: {error}") from None


def _alignment(alignment: Json) -> Alignment:
    """Read what is optional, and only of use for transcripts: nothing in it is an error."""
    if not alignment:
        return ()
    lists = [alignment.get(key) for key in ("chars", "char_start_times_ms", "char_durations_ms")]
    if not all(isinstance(each, list) for each in lists):
        return ()
    return tuple(
        (int(start + duration), character)
        for character, start, duration in zip(*lists, strict=False)
        if isinstance(character, str) and _is_time(start) and _is_time(duration)
    )


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < MAX_TIME_MS


def _interruption(message: Json) -> Interruption:
    return Interruption(_event_id(_object(message, "interruption_event")))


def _ping(message: Json) -> Ping:
    event_id = _object(message, "ping_event").get("event_id")
    return Ping(event_id if isinstance(event_id, int | str) else None)


def _user_transcript(message: Json) -> ServerMessage:
    text = _text(_object(message, "user_transcription_event"), "user_transcript")
    # "..." marks a turn that timed out in silence: it was not said.
    return Other("user_transcript") if text.strip() in ("", "...") else UserTranscript(text)


def _agent_response(message: Json) -> AgentResponse:
    event = _object(message, "agent_response_event")
    return AgentResponse(_text(event, "agent_response"), _event_id(event))


def _agent_response_correction(message: Json) -> AgentResponseCorrection:
    event = _object(message, "agent_response_correction_event")
    return AgentResponseCorrection(_text(event, "corrected_agent_response"))


def _client_tool_call(message: Json) -> ClientToolCall:
    call = _object(message, "client_tool_call")
    return ClientToolCall(_text(call, "tool_name"), _tool_call_id(call), _object(call, "parameters"))


def _mcp_tool_call(message: Json) -> McpToolCall:
    call = _object(message, "mcp_tool_call")
    return McpToolCall(_text(call, "tool_name"), _tool_call_id(call), _text(call, "state"))


def _tool_call_id(call: Json) -> str:
    """Read an id, which the schema has as a string; empty when there is none."""
    value = call.get("tool_call_id")
    return (
        str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(call, "tool_call_id")
    )


def _guardrail_triggered(message: Json) -> GuardrailTriggered:
    return GuardrailTriggered()


def _queue_status(message: Json) -> QueueStatus:
    return QueueStatus(_text(_object(message, "queue_status_event"), "status"))


def _error(message: Json) -> ServerError:
    """Read an error in any of its three reported shapes: ``error_event``, ``error``, or flat."""
    event = _object(message, "error_event") or _object(message, "error") or message
    code = event.get("code")
    words = [_text(event, key) for key in ("error_type", "error_name", "message", "reason")]
    return ServerError(code if isinstance(code, int) else None, ": ".join(dict.fromkeys(filter(None, words))))


_READERS: dict[str, Callable[[Json], ServerMessage]] = {
    "conversation_initiation_metadata": _metadata,
    "audio": _audio,
    "interruption": _interruption,
    "ping": _ping,
    "user_transcript": _user_transcript,
    "agent_response": _agent_response,
    "agent_response_correction": _agent_response_correction,
    "client_tool_call": _client_tool_call,
    "mcp_tool_call": _mcp_tool_call,
    "guardrail_triggered": _guardrail_triggered,
    "queue_status": _queue_status,
    "error": _error,
    "client_error": _error,
}


def _object(message: Json, key: str) -> Json:
    value = message.get(key)
    return value if isinstance(value, dict) else {}


def _text(message: Json, key: str) -> str:
    value = message.get(key)
    return value if isinstance(value, str) else ""


def _event_id(event: Json) -> int | None:
    """Read an id: an integer, 0 included; the official SDK also takes one written as a string."""
    value = event.get("event_id")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
