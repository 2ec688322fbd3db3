"""What an ElevenLabs agent sends, as JSON objects."""

from __future__ import annotations

from base64 import b64encode
from typing import Any


def metadata(output_format: str = "pcm_8000", input_format: str = "pcm_8000") -> dict[str, Any]:
    """Announce the conversation: what the agent sends, and what it wants to get."""
    event = {
        "conversation_id": "conv_1",
        "agent_output_audio_format": output_format,
        "user_input_audio_format": input_format,
    }
    return {"type": "conversation_initiation_metadata", "conversation_initiation_metadata_event": event}


def audio_message(audio: bytes, event_id: int | None = None) -> dict[str, Any]:
    event = {"audio_base_64": b64encode(audio).decode()} | _numbered(event_id)
    return {"type": "audio", "audio_event": event}


def agent_response(text: str, event_id: int | None = None) -> dict[str, Any]:
    event = {"agent_response": text} | _numbered(event_id)
    return {"type": "agent_response", "agent_response_event": event}


def user_transcript(text: str, event_id: int | None = None) -> dict[str, Any]:
    event = {"user_transcript": text} | _numbered(event_id)
    return {"type": "user_transcript", "user_transcription_event": event}


def interruption(event_id: int | None = None) -> dict[str, Any]:
    return {"type": "interruption", "interruption_event": _numbered(event_id)}


def tool_call(name: str, **parameters: Any) -> dict[str, Any]:
    call = {"tool_name": name, "tool_call_id": f"call of {name}", "parameters": parameters}
    return {"type": "client_tool_call", "client_tool_call": call}


def _numbered(event_id: int | None) -> dict[str, Any]:
    return {} if event_id is None else {"event_id": event_id}
