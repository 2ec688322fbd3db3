"""How a WebSocket ended, as `websockets`' sans-I/O core saw it."""

from __future__ import annotations

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.http11 import Response

from audiosocket_gw.causes import (
    MAX_FOREIGN,
    BadFrame,
    Cause,
    ConnectionBroken,
    NotWebSocket,
    WebSocketClosed,
    WebSocketRefused,
)
from audiosocket_gw.elevenlabs.close_codes import redirect_target
from audiosocket_gw.errors import reason_of


def cause_of_end(websocket: ClientProtocol, error: Exception | None) -> Cause:
    """Return the most specific known cause; ``error`` is the error of the TCP connection, if any."""
    handshake = websocket.handshake_exc
    if isinstance(handshake, InvalidStatus):
        return _refusal(handshake.response)
    if isinstance(handshake, InvalidHandshake) and not isinstance(handshake.__cause__, EOFError):
        return NotWebSocket(str(handshake))
    received = websocket.close_rcvd
    if received is not None:
        return WebSocketClosed(received.code, received.reason)
    broken = websocket.parser_exc
    if broken is not None and not isinstance(broken, EOFError):
        return BadFrame(str(broken))
    return ConnectionBroken("the agent", reason_of(error) if error else "closed without a closing handshake")


def _refusal(response: Response) -> WebSocketRefused:
    text = bytes(response.body or b"").decode(errors="replace")[:MAX_FOREIGN]
    return WebSocketRefused(response.status_code, text, redirect_target(response.headers.get("Location")))
