"""Audio in a message, as base64. Pure."""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64

from audiosocket_gw.errors import RemoteProtocolError

_FROM_URL_ALPHABET = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n\v\f"


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
