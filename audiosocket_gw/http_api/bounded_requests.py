"""The parser of requests, h11's, with limits on what one request may cost. Without I/O.

What a stranger sends is parsed in the event loop of all calls: 4 KiB of one-byte chunks, or of headers of
four bytes, take a hundred times as long as an honest request.
"""

from __future__ import annotations

from typing import Any

import h11

MAX_HEADER_BYTES = 8_192
MAX_HEADER_LINES = 100
MAX_BODY_BYTES = 4_096
"""Limits of one request. The largest honest one is a token, a path and 100 bytes of JSON."""

_DIGITS = len(str(MAX_BODY_BYTES))


class BoundedRequests(h11.Connection):
    """The server's side of one connection. A request beyond the limits is a `h11.RemoteProtocolError`.

    ``fault`` and ``fault_status`` (of HTTP) keep what was wrong.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEADER_BYTES)
        self.fault = ""
        self.fault_status = 400
        self._lines = 0

    def receive_data(self, data: bytes) -> None:
        """Add what was received. Requests are counted by their lines, also those that are sent ahead."""
        if self.their_state is h11.IDLE:
            self._lines += data.count(b"\n")
        super().receive_data(data)

    def next_event(self) -> Any:
        """Return the next event.

        Raises:
            h11.RemoteProtocolError: it isn't HTTP, or beyond a limit.
        """
        try:
            if self._lines > MAX_HEADER_LINES:
                raise h11.RemoteProtocolError(f"more than {MAX_HEADER_LINES} header lines", 431)
            event = super().next_event()
            if isinstance(event, h11.Request):
                self._lines = 0
                _check(event)
        except h11.RemoteProtocolError as error:
            self.fault, self.fault_status = str(error), error.error_status_hint
            raise
        return event


def _check(request: h11.Request) -> None:
    for name, value in request.headers:
        if name == b"transfer-encoding":
            raise h11.RemoteProtocolError("send a Content-Length, not chunks", 411)
        if name == b"content-length" and (len(value) > _DIGITS or int(value) > MAX_BODY_BYTES):
            raise h11.RemoteProtocolError(f"a body of more than {MAX_BODY_BYTES} bytes", 413)
