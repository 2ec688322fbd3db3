"""Audio in a message, as base64: where it is, and its bytes. Pure."""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64

from audiosocket_gw.errors import RemoteProtocolError

_FROM_URL_ALPHABET = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n\v\f"
_KEY = b'"audio_base_64"'


def find_audio(message: bytes) -> tuple[int, int]:
    """Return where the first audio of a message is, without parsing it: the positions of its quotation marks.

    Base64 has no others. Both are the length of the message if there is none. Whether the member belongs to
    the audio event is for the caller to check.
    """
    key = message.find(_KEY)  # a key if a colon follows: within a string the second mark would be escaped
    if key >= 0:
        colon = key + len(_KEY)
        start = message.find(b'"', colon)
        end = message.find(b'"', start + 1)
        if 0 <= start < end and message[colon:start].strip() == b":":
            return start, end
    return len(message), len(message)


def decode_audio(encoded: str) -> bytes:
    """Decode base64, also without padding, in lines, or in the URL alphabet (RFC 4648, sections 3 and 5).

    Raises:
        RemoteProtocolError: the text isn't base64.
    """
    try:
        return a2b_base64(encoded, strict_mode=True)
    except (Base64Error, ValueError):
        return _decode_unusual(encoded)


def _decode_unusual(encoded: str) -> bytes:
    try:
        text = encoded.encode("ascii").translate(_FROM_URL_ALPHABET, _BLANKS).rstrip(b"=")
        return a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except (Base64Error, ValueError) as error:
        raise RemoteProtocolError(f"the agent sent audio that is not base64: {error}") from None
