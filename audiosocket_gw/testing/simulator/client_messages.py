"""Parses what a client may send to an ElevenLabs agent, strictly.

The schema is the public AsyncAPI description of the Agents WebSocket. ElevenLabs closes with 1008, "Invalid
message received", if a message doesn't match it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from audiosocket_gw.errors import RemoteProtocolError


@dataclass(frozen=True, slots=True)
class UserAudio:
    """Audio of the caller, in the agent's input format."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class Initiation:
    """``conversation_initiation_client_data``: the client's settings of this conversation."""

    overrides: tuple[str, ...]
    """The overridden fields, as paths: ``agent.prompt.llm``."""
    variables: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""

    event_id: int


@dataclass(frozen=True, slots=True)
class ToolResult:
    """``client_tool_result``: the answer to a tool call."""

    tool_call_id: str
    result: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class McpApproval:
    """``mcp_tool_approval_result``: whether an MCP tool may run."""

    tool_call_id: str
    is_approved: bool


@dataclass(frozen=True, slots=True)
class UserText:
    """``user_message`` or ``multimodal_message``: it counts as spoken by the caller."""

    text: str


@dataclass(frozen=True, slots=True)
class Other:
    """A valid message that has no effect here."""

    type: str


ClientMessage = UserAudio | Initiation | Pong | ToolResult | McpApproval | UserText | Other

_T = TypeVar("_T")

_MORE_TO_ENABLE = ("starting_workflow_node_id", "procedure_ids", "start_procedure_ids")
"""Fields of the initiation that, like overrides, an agent must allow."""


def decode(text: str) -> dict[str, Any]:
    """Parse a message as a JSON object.

    Raises:
        RemoteProtocolError: the message is something else.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise RemoteProtocolError(f"a JSON {type(message).__name__}, not an object")
    return message


def parse(message: dict[str, Any]) -> ClientMessage:
    """Check and parse a message.

    Raises:
        RemoteProtocolError: the type is unknown, or a field is missing or of the wrong type.
    """
    if "user_audio_chunk" in message:
        return UserAudio(_decode_base64(_take(message, "user_audio_chunk", str)))
    kind = _take(message, "type", str)
    reader = _READERS.get(kind)
    if reader is None:
        raise RemoteProtocolError(f"a message of unknown type {kind!r}")
    return reader(message)


def _take(message: Mapping[str, Any], key: str, kind: type[_T]) -> _T:
    value = message.get(key)
    # To Python, true is an int; to JSON it isn't.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        found = "missing" if key not in message else f"{type(value).__name__}, not {kind.__name__}"
        raise RemoteProtocolError(f"{key!r} is {found}")
    return value


def _take_optional(message: Mapping[str, Any], key: str, kind: type[_T], default: _T) -> _T:
    return default if message.get(key) is None else _take(message, key, kind)


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RemoteProtocolError(f"'user_audio_chunk' is not base64: {error}") from error


def _initiation(message: dict[str, Any]) -> Initiation:
    _take_optional(message, "custom_llm_extra_body", dict, {})
    _take_optional(message, "user_id", str, "")
    _take_optional(message, "source_info", dict, {})
    variables = _take_optional(message, "dynamic_variables", dict, {})
    for name in variables:
        if name.startswith("system__"):
            raise RemoteProtocolError(f"the dynamic variable {name!r} has the reserved prefix system__")
    config = _take_optional(message, "conversation_config_override", dict, {})
    more = [name for name in _MORE_TO_ENABLE if message.get(name) is not None]
    return Initiation((*_paths(config), *more), variables)


def _paths(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the paths of all leaves; empty objects have none."""
    paths = []
    for key, value in config.items():
        paths += _paths(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return paths


def _pong(message: dict[str, Any]) -> Pong:
    return Pong(_take(message, "event_id", int))


def _tool_result(message: dict[str, Any]) -> ToolResult:
    return ToolResult(
        _take(message, "tool_call_id", str), _take(message, "result", str), _take(message, "is_error", bool)
    )


def _user_message(message: dict[str, Any]) -> UserText:
    return UserText(_take(message, "text", str))


def _multimodal_message(message: dict[str, Any]) -> UserText:
    for file in (_take_optional(message, "file", dict, {}), *_take_optional(message, "files", list, [])):
        if not isinstance(file, dict):
            raise RemoteProtocolError(f"'files' has {type(file).__name__}, not dict")
        if file:
            _take(file, "file_id", str)
    text = _take_optional(message, "text", dict, {})
    return UserText(_take(text, "text", str) if text else "")


def _contextual_update(message: dict[str, Any]) -> Other:
    _take(message, "text", str)
    return Other("contextual_update")


def _feedback(message: dict[str, Any]) -> Other:
    _take(message, "event_id", int)
    if message.get("score") not in ("like", "dislike", None):
        raise RemoteProtocolError(f"'score' is {message['score']!r}, not like, dislike or null")
    return Other("feedback")


def _mcp_tool_approval_result(message: dict[str, Any]) -> McpApproval:
    return McpApproval(_take(message, "tool_call_id", str), _take(message, "is_approved", bool))


def _as_it_is(message: dict[str, Any]) -> Other:
    return Other(message["type"])


_READERS: dict[str, Callable[[dict[str, Any]], ClientMessage]] = {
    "conversation_initiation_client_data": _initiation,
    "pong": _pong,
    "client_tool_result": _tool_result,
    "user_message": _user_message,
    "multimodal_message": _multimodal_message,
    "contextual_update": _contextual_update,
    "feedback": _feedback,
    "mcp_tool_approval_result": _mcp_tool_approval_result,
    "user_activity": _as_it_is,
    "enclave_setup_config": _as_it_is,
}
