"""Parses the messages from the agent: text messages, each a JSON object.

The schema is ElevenLabs' published AsyncAPI document and Python SDK 2.78. They disagree in places, and the
service adds event types at any time. So an unknown type, an unknown field or a missing optional field is
never an error; only a message that isn't a JSON object, audio that isn't base64, or a size that no honest
message has. Texts are cut, so that keeping one takes little memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from audiosocket_gw.elevenlabs.audio_base64 import decode_audio
from audiosocket_gw.elevenlabs.json_values import MAX_VALUES, count_values, is_deeper
from audiosocket_gw.errors import RemoteProtocolError

Json = Mapping[str, Any]

Alignment = tuple[tuple[int, str], ...]
"""The characters spoken in a chunk of audio, each with the millisecond in the chunk at which it ends."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The conversation has started; audio formats by name, such as ``pcm_8000``."""

    conversation_id: str
    output_format: str
    input_format: str


@dataclass(frozen=True, slots=True)
class Audio:
    """A chunk of a reply, of any length. All chunks of a reply may share one ``event_id``."""

    audio: bytes
    event_id: int | None
    alignment: Alignment = ()
    is_final: bool = False
    """Whether it is the last chunk of the reply; observed, but not in the schema: it may be absent."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """Stop speaking now. Audio with a lower ``event_id`` that still arrives is stale."""

    event_id: int | None


@dataclass(frozen=True, slots=True)
class Ping:
    """Requires a pong with the same id at once; ``event_id`` is returned unchanged.

    ``rtt_ms``: the round trip of an earlier ping, which the agent has measured; None: unknown.
    """

    event_id: int | str | None
    rtt_ms: float | None = None


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
    """The text of the interrupted reply, shortened to what was spoken. It doesn't affect audio."""

    text: str


@dataclass(frozen=True, slots=True)
class ClientToolCall:
    """The agent requests a tool call and its result. ``tool_call_id`` may be empty."""

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
    """The agent's guardrails blocked something; the conversation may end because of it."""


@dataclass(frozen=True, slots=True)
class McpToolCall:
    """The state of an MCP tool, which ElevenLabs runs; ``awaiting_approval`` requires `mcp_approval`."""

    name: str
    tool_call_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Other:
    """A message that the gateway doesn't use."""

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

UNCHECKED = 32_768
"""Bytes of a message that can't have too many values."""

MAX_TOOL_CALL = 262_144
"""Bytes of a tool call; a language model's longest answers have a quarter of that."""

MAX_DEPTH = 64
"""Levels of a tool call's parameters. What can be parsed could still be too deep for what they pass through:
Python's limit counts the functions around it, too."""

MAX_TEXT = 20_000
"""Characters of a text that is kept: 20 minutes of speech."""

MAX_NAME = 200
"""Characters of a name or an id."""

MAX_CHARACTER = 8
"""Code points of an aligned character, which may be combined from several."""

MAX_ID = 2**63

MAX_TIME_MS = 86_400_000
"""The longest accepted time in a message: a day."""

DEFAULT_FORMAT = "pcm_16000"
"""The agent's format if its metadata has none, as in ElevenLabs' JavaScript client."""


def parse(text: str | bytes) -> ServerMessage:
    """Parse one server message.

    Raises:
        RemoteProtocolError: not a JSON object, audio that isn't base64, or too much of anything.
    """
    is_long = len(text) > UNCHECKED
    if is_long and count_values(text if isinstance(text, bytes) else text.encode()) > MAX_VALUES:
        raise RemoteProtocolError(f"the agent sent a message with more than {MAX_VALUES:,} JSON values")
    try:
        message = json.loads(text, parse_int=_short_int) if is_long else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"the agent sent something that is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise RemoteProtocolError(f"the agent sent a JSON {type(message).__name__}, not an object")
    kind = _text(message, "type")
    reader = _READERS.get(kind)
    if reader is _client_tool_call and len(text) > MAX_TOOL_CALL:
        raise RemoteProtocolError(f"the agent sent a tool call of {len(text):,} bytes")
    return reader(message) if reader else Other(kind)


def _short_int(digits: str) -> int | None:
    """Parse an integer that the schema may have; a long one takes time by the square of its length."""
    return int(digits) if len(digits) < 20 else None


def _metadata(message: Json) -> Metadata:
    event = _object(message, "conversation_initiation_metadata_event")
    return Metadata(
        conversation_id=_text(event, "conversation_id"),
        output_format=_text(event, "agent_output_audio_format") or DEFAULT_FORMAT,
        input_format=_text(event, "user_input_audio_format") or DEFAULT_FORMAT,
    )


def _audio(message: Json) -> Audio:
    event = _object(message, "audio_event")
    audio = decode_audio(_text(event, "audio_base_64", None))
    alignment = _alignment(_object(event, "alignment"))
    return Audio(audio, _event_id(event), alignment, event.get("is_final") is True)


def _alignment(alignment: Json) -> Alignment:
    """Parse the alignment, which is optional and only used for transcripts: no error in it matters."""
    if not alignment:
        return ()
    lists = [alignment.get(key) for key in ("chars", "char_start_times_ms", "char_durations_ms")]
    if not all(isinstance(each, list) for each in lists):
        return ()
    return tuple(
        (int(start + duration), character)
        for character, start, duration in zip(*lists, strict=False)
        if _is_character(character) and _is_time(start) and _is_time(duration)
    )


def _is_character(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_CHARACTER


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and 0 <= value < MAX_TIME_MS


def _interruption(message: Json) -> Interruption:
    return Interruption(_event_id(_object(message, "interruption_event")))


def _ping(message: Json) -> Ping:
    event = _object(message, "ping_event")
    event_id, rtt_ms = event.get("event_id"), event.get("ping_ms")
    rtt_ms = float(rtt_ms) if _is_time(rtt_ms) and not isinstance(rtt_ms, bool) else None
    if isinstance(event_id, str):
        return Ping(event_id if len(event_id) <= MAX_NAME else None, rtt_ms)
    return Ping(event_id if _is_id(event_id) else None, rtt_ms)


def _user_transcript(message: Json) -> ServerMessage:
    text = _text(_object(message, "user_transcription_event"), "user_transcript", MAX_TEXT)
    # "..." marks a turn that timed out in silence, not speech.
    return Other("user_transcript") if text.strip() in ("", "...") else UserTranscript(text)


def _agent_response(message: Json) -> AgentResponse:
    event = _object(message, "agent_response_event")
    return AgentResponse(_text(event, "agent_response", MAX_TEXT), _event_id(event))


def _agent_response_correction(message: Json) -> AgentResponseCorrection:
    event = _object(message, "agent_response_correction_event")
    return AgentResponseCorrection(_text(event, "corrected_agent_response", MAX_TEXT))


def _client_tool_call(message: Json) -> ClientToolCall:
    call = _object(message, "client_tool_call")
    parameters = _object(call, "parameters")
    if is_deeper(parameters, MAX_DEPTH):
        raise RemoteProtocolError(f"the agent sent a tool call with over {MAX_DEPTH} levels of parameters")
    return ClientToolCall(_text(call, "tool_name"), _tool_call_id(call), parameters)


def _mcp_tool_call(message: Json) -> McpToolCall:
    call = _object(message, "mcp_tool_call")
    return McpToolCall(_text(call, "tool_name"), _tool_call_id(call), _text(call, "state"))


def _tool_call_id(call: Json) -> str:
    """Parse an id, a string in the schema; empty if there is none. It isn't cut: the answer returns it."""
    value = call.get("tool_call_id")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return ""
    if len(value) > MAX_NAME:
        raise RemoteProtocolError(f"the agent sent a tool call with an id of {len(value):,} characters")
    return value


def _guardrail_triggered(message: Json) -> GuardrailTriggered:
    return GuardrailTriggered()


def _queue_status(message: Json) -> QueueStatus:
    return QueueStatus(_text(_object(message, "queue_status_event"), "status"))


def _error(message: Json) -> ServerError:
    """Parse an error in any of its three reported forms: ``error_event``, ``error``, or flat."""
    event = _object(message, "error_event") or _object(message, "error") or message
    code = event.get("code")
    words = [_text(event, key) for key in ("error_type", "error_name", "message", "reason")]
    return ServerError(code if _is_id(code) else None, ": ".join(dict.fromkeys(filter(None, words))))


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


def _text(message: Json, key: str, limit: int | None = MAX_NAME) -> str:
    value = message.get(key)
    return value[:limit] if isinstance(value, str) else ""


def _event_id(event: Json) -> int | None:
    """Parse an id: an integer, 0 included; the official SDK also accepts a string."""
    value = event.get("event_id")
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if _is_id(value) else None


def _is_id(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and -MAX_ID <= value < MAX_ID
