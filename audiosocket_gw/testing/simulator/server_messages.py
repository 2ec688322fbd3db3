"""Builds the messages of an ElevenLabs agent: one function per message."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from audiosocket_gw.testing.simulator.scenario import Alignment
from audiosocket_gw.testing.simulator.turn import ErrorEvent

Message = dict[str, Any]


def metadata(conversation_id: str, output_format: str, input_format: str) -> Message:
    """Build the first message of a conversation."""
    return {
        "type": "conversation_initiation_metadata",
        "conversation_initiation_metadata_event": {
            "conversation_id": conversation_id,
            "agent_output_audio_format": output_format,
            "user_input_audio_format": input_format,
        },
    }


def audio(
    audio: bytes, event_id: int, text: str, ms: int, alignment: Alignment, *, padded: bool = True
) -> Message:
    """Build an audio message; ``text`` is spoken for ``ms``, evenly spread, if the alignment is wanted."""
    encoded = base64.b64encode(audio).decode("ascii")
    event: Message = {"audio_base_64": encoded if padded else encoded.rstrip("="), "event_id": event_id}
    if alignment == Alignment.NULL:
        event["alignment"] = None
    elif alignment == Alignment.FULL:
        starts = [index * ms // len(text) for index in range(len(text))]
        event["alignment"] = {
            "chars": list(text),
            "char_start_times_ms": starts,
            "char_durations_ms": [end - start for start, end in zip(starts, [*starts[1:], ms], strict=True)],
        }
    return {"type": "audio", "audio_event": event}


def final_audio(event_id: int) -> Message:
    """Build the empty audio message that ends a reply in newer versions."""
    return {"type": "audio", "audio_event": {"audio_base_64": "", "event_id": event_id, "is_final": True}}


def user_transcript(text: str, event_id: int) -> Message:
    """Build the transcript of what the caller said."""
    event = {"user_transcript": text, "event_id": event_id}
    return {"type": "user_transcript", "user_transcription_event": event}


def agent_response(text: str, event_id: int) -> Message:
    """Build the text of a reply."""
    event = {"agent_response": text, "event_id": event_id}
    return {"type": "agent_response", "agent_response_event": event}


def agent_response_correction(original: str, corrected: str, event_id: int) -> Message:
    """Build the text of an interrupted reply, shortened to what was spoken."""
    event = {"original_agent_response": original, "corrected_agent_response": corrected, "event_id": event_id}
    return {"type": "agent_response_correction", "agent_response_correction_event": event}


def agent_response_complete(event_id: int) -> Message:
    """Build the message that a reply is complete."""
    return {"type": "agent_response_complete", "agent_response_complete_event": {"event_id": event_id}}


def interruption(event_id: int) -> Message:
    """Build the message that makes unheard audio void."""
    return {"type": "interruption", "interruption_event": {"event_id": event_id}}


def ping(event_id: int, ping_ms: int | None) -> Message:
    """Build a ping; ``ping_ms`` is the last measured latency."""
    return {"type": "ping", "ping_event": {"event_id": event_id, "ping_ms": ping_ms}}


def queue_status(status: str) -> Message:
    """Build the state of the queue for a free conversation."""
    return {"type": "queue_status", "queue_status_event": {"status": status}}


def client_tool_call(
    name: str, tool_call_id: str | None, parameters: Mapping[str, Any], event_id: int
) -> Message:
    """Build a tool call; None: it has no id."""
    call: Message = {"tool_name": name, "parameters": dict(parameters), "event_id": event_id}
    if tool_call_id is not None:
        call["tool_call_id"] = tool_call_id
    return {"type": "client_tool_call", "client_tool_call": call}


def mcp_tool_call(name: str, tool_call_id: str, parameters: Mapping[str, Any], state: str) -> Message:
    """Build the state of an MCP tool call: loading, awaiting_approval, success or failure."""
    call: Message = {
        "service_id": "service_1",
        "tool_call_id": tool_call_id,
        "tool_name": name,
        "tool_description": None,
        "parameters": dict(parameters),
        "timestamp": "2026-01-01T00:00:00Z",
        "state": state,
    }
    more: Message = {
        "awaiting_approval": {"approval_timeout_secs": 300},
        "success": {"result": [{"type": "text", "text": "done"}]},
        "failure": {"error_message": "not approved"},
    }
    return {"type": "mcp_tool_call", "mcp_tool_call": call | more.get(state, {})}


def agent_tool_response(
    name: str, tool_call_id: str, tool_type: str, is_error: bool, event_id: int
) -> Message:
    """Build the report of a tool that ran, the only sign of a system tool."""
    response = {
        "tool_name": name,
        "tool_call_id": tool_call_id,
        "tool_type": tool_type,
        "is_error": is_error,
        "is_called": True,
        "event_id": event_id,
    }
    return {"type": "agent_tool_response", "agent_tool_response": response}


def error(form: ErrorEvent, code: int, message: str, error_type: str, debug_message: str) -> Message:
    """Build the error before a close, in the nested or the flat form."""
    if form == ErrorEvent.FLAT:
        return {"type": "error", "message": message}
    event = {
        "code": code,
        "message": message,
        "error_type": error_type,
        "reason": message,
        "debug_message": debug_message,
        "details": {},
    }
    return {"type": "error", "error_event": event}


def unknown_events(event_id: int) -> list[Message]:
    """Build messages of unknown type or form."""
    return [
        {"type": "vad_score", "vad_score_event": {"vad_score": 0.25}},
        {
            "type": "agent_response_metadata",
            "agent_response_metadata_event": {"metadata": {}, "event_id": event_id},
        },
        {"type": "guardrail_triggered"},
        {"type": "agent_reasoning_response_part", "reasoning_response_part": {"event_id": str(event_id)}},
        {"type": "event_of_a_later_version", "event_of_a_later_version_event": [event_id]},
    ]
