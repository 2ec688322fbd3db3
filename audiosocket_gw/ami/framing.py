"""Cuts the bytes of the manager interface into its greeting and its messages. Pure."""

from __future__ import annotations

from audiosocket_gw.errors import RemoteProtocolError

SEPARATOR = b"\r\n\r\n"
GREETING = b"Asterisk Call Manager/"

MAX_GREETING_BYTES = 100
"""Asterisk's is ``Asterisk Call Manager/11.0.0``."""

MAX_MESSAGE_BYTES = 65_536
"""Asterisk's longest messages, a Status with many variables, are a few kilobytes."""


class MessageBuffer:
    """What was received and not yet taken. Each byte is searched and moved once, however it arrives."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._taken = 0
        self._searched = 0
        self._greeted = False

    def receive(self, data: bytes) -> None:
        """Append ``data``."""
        del self._bytes[: self._taken]
        self._searched -= self._taken
        self._taken = 0
        self._bytes += data

    def take(self) -> bytes | None:
        """Return the next complete message, without its separator; None: there is none yet.

        Raises:
            RemoteProtocolError: the peer is not an Asterisk manager, or its message is too long; nothing more
                can be taken.
        """
        if not self._greeted and not self._take_greeting():
            return None
        start = self._taken
        end = self._bytes.find(SEPARATOR, self._searched)
        if (end if end >= 0 else len(self._bytes)) - start > MAX_MESSAGE_BYTES:
            raise RemoteProtocolError(f"it sent a message of more than {MAX_MESSAGE_BYTES} bytes")
        if end < 0:
            self._searched = max(start, len(self._bytes) - len(SEPARATOR) + 1)
            return None
        self._taken = self._searched = end + len(SEPARATOR)
        return bytes(self._bytes[start:end])

    def _take_greeting(self) -> bool:
        """Take the first line, which ends in a single CR LF; return whether it is complete."""
        line, end, _ = self._bytes[:MAX_GREETING_BYTES].partition(b"\r\n")
        is_asterisk = line.startswith(GREETING) if end else line.startswith(GREETING[: len(line)])
        if not is_asterisk or len(line) == MAX_GREETING_BYTES:
            raise RemoteProtocolError(f"the peer is not an Asterisk manager: {bytes(line[:40])!r}")
        if end:
            self._greeted = True
            self._taken = self._searched = len(line) + len(end)
        return self._greeted
