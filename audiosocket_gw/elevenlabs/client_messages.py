"""Builds the messages to the agent: text messages, each a JSON object.

The schema is ElevenLabs' published AsyncAPI document.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from typing import Any

from audiosocket_gw.elevenlabs.messages import Json, Ping


def initiation(dynamic_variables: Json, config_override: Json | None = None) -> bytes:
    """Build the first client message.

    An override that the agent's settings don't allow ends the conversation (close code 1008), so only
    requested ones are sent.
    """
    message: dict[str, Any] = {"type": "conversation_initiation_client_data"}
    if config_override:
        message["conversation_config_override"] = config_override
    message["dynamic_variables"] = dynamic_variables
    return _encode(message)


def user_audio(audio: bytes) -> bytes:
    """Build a chunk of caller audio, in the announced input format. It is the only message without a type.

    Concatenation takes 0.55 us instead of 3.2 us for a JSON encoder, 50 times a second for each call.
    """
    return b'{"user_audio_chunk":"' + b2a_base64(audio, newline=False) + b'"}'


def pong(ping: Ping) -> bytes:
    return _encode({"type": "pong", "event_id": ping.event_id})


def tool_result(tool_call_id: str, result: str, *, is_error: bool) -> bytes:
    """Build the answer to a tool call. A result that is not a string would end the conversation (1008)."""
    return _encode(
        {
            "type": "client_tool_result",
            "tool_call_id": tool_call_id,
            "result": result,
            "is_error": is_error,
        }
    )


def mcp_approval(tool_call_id: str, *, is_approved: bool) -> bytes:
    """Build the answer to an MCP tool call that awaits approval."""
    return _encode(
        {"type": "mcp_tool_approval_result", "tool_call_id": tool_call_id, "is_approved": is_approved}
    )


def user_message(text: str) -> bytes:
    """Build a text that counts as spoken by the caller: the agent replies to it."""
    return _encode({"type": "user_message", "text": text})


def contextual_update(text: str) -> bytes:
    """Build information for the agent, to which it doesn't reply."""
    return _encode({"type": "contextual_update", "text": text})


def _encode(message: Json) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
