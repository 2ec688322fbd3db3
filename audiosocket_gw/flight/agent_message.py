"""An agent's message as it is recorded: masked, with its audio as separate bytes. Pure."""

from __future__ import annotations

import json
from binascii import b2a_base64
from typing import Any

from audiosocket_gw.elevenlabs.audio_base64 import decode_audio, find_audio
from audiosocket_gw.errors import RemoteProtocolError
from audiosocket_gw.flight.format import AgentMessage, FlightError
from audiosocket_gw.redaction import MAX_TEXT, OVERLAP, mask_json, mask_text


def take_message(at_us: int, message: bytes) -> AgentMessage:
    """Record a message from the agent.

    A message that isn't JSON is masked and stays invalid: it may be what ended the call. Of a message that
    has more than `MAX_TEXT` bytes without its audio only the beginning is recorded, as text: parsing and
    masking it would block the calls.
    """
    text, encoded = _cut_out_audio(message) if len(message) > MAX_TEXT else (message, "")
    if len(text) > MAX_TEXT:
        return AgentMessage(at_us, mask_bytes(message))
    try:
        content = json.loads(text)
        audio = _take_audio(content, encoded)
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
    text = text[: 4 * (MAX_TEXT + OVERLAP)]  # a character has at most 4 bytes; `mask_text` cuts the rest
    return mask_text(text.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _cut_out_audio(message: bytes) -> tuple[bytes, str]:
    """Return a message with an empty string for its audio, and the audio, as base64."""
    start, end = find_audio(message)
    try:
        encoded = message[start + 1 : end].decode("ascii").replace("\\/", "/")
    except UnicodeDecodeError:
        return message, ""
    return message[: start + 1] + message[end:], encoded


def _take_audio(content: Any, cut_out: str) -> bytes | None:
    """Take the audio out of a message, if it can be restored exactly.

    Raises:
        ValueError: what was cut out is not the message's audio.
    """
    event = content.get("audio_event") if isinstance(content, dict) else None
    encoded = event.get("audio_base_64") if isinstance(event, dict) else None
    if cut_out and encoded != "":
        raise ValueError("another member has the name of the audio")
    encoded = cut_out or encoded
    if not encoded or not isinstance(encoded, str):
        return None
    try:
        audio = decode_audio(encoded)
    except RemoteProtocolError:
        audio = b""
    if cut_out and not audio:
        raise ValueError("the audio is not base64")
    if not audio or event is None:
        return None
    event["audio_base_64"] = ""
    return audio
