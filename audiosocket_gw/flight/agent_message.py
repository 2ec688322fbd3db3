"""An agent's message as it is recorded: masked, with its audio as separate bytes. Pure."""

from __future__ import annotations

import json
from binascii import b2a_base64
from typing import Any

from audiosocket_gw.elevenlabs.messages import decode_audio
from audiosocket_gw.errors import RemoteProtocolError
from audiosocket_gw.flight.format import AgentMessage, FlightError
from audiosocket_gw.redaction import mask_json, mask_text


def take_message(at_us: int, message: bytes) -> AgentMessage:
    """Record a message from the agent.

    A message that isn't JSON is masked and stays invalid: it may be what ended the call.
    """
    try:
        content = json.loads(message)
        audio = _take_audio(content)
        return AgentMessage(at_us, json.dumps(mask_json(content), separators=(",", ":")).encode(), audio)
    except (ValueError, RecursionError):
        return AgentMessage(at_us, mask_bytes(message))


def give_message(recorded: AgentMessage) -> bytes:
    """Return the message for a replay: equivalent to what the agent sent, except for masked values.

    Raises:
        FlightError: the file wasn't recorded by this package: the audio has no place in the text.
    """
    if recorded.audio is None:
        return recorded.text
    try:
        content = json.loads(recorded.text)
        content["audio_event"]["audio_base_64"] = b2a_base64(recorded.audio, newline=False).decode()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FlightError(f"the audio of an agent's message has no place in its text: {error!r}") from None
    return json.dumps(content, separators=(",", ":")).encode()


def mask_bytes(text: bytes) -> bytes:
    """Mask bytes that may be text in any encoding; only the masked bytes change."""
    return mask_text(text.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _take_audio(content: Any) -> bytes | None:
    """Take the audio out of a message, if it can be restored exactly."""
    event = content.get("audio_event") if isinstance(content, dict) else None
    if not isinstance(event, dict):
        return None
    encoded = event.get("audio_base_64")
    if not encoded or not isinstance(encoded, str):
        return None
    try:
        audio = decode_audio(encoded)
    except RemoteProtocolError:
        return None
    if not audio:
        return None
    event["audio_base_64"] = ""
    return audio
