"""The WebSocket of a conversation: text in both directions, and all ways to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from enum import StrEnum

from starlette.websockets import WebSocket, WebSocketDisconnect

logger = logging.getLogger(__name__)

_GONE = (WebSocketDisconnect, RuntimeError)
"""Errors of sending after the client has left; RuntimeError if it violated the WebSocket protocol."""

_MAX_REASON_BYTES = 123
"""RFC 6455, section 5.5: a control frame holds 125 bytes, two of them the close code."""

_RESTARTING = 1012
"""The close code of uvicorn at shutdown."""


class EndedBy(StrEnum):
    """Which side ended a conversation."""

    CLIENT = "client"
    SIMULATOR = "simulator"


class WebSocketConnection:
    """An accepted WebSocket. Sending to a client that has left does nothing."""

    def __init__(self, websocket: WebSocket, name: str) -> None:
        """``name``: for the log."""
        self.ended = asyncio.Event()
        self.ended_by: EndedBy | None = None
        self.close_code: int | None = None
        """1006: the connection broke without a close."""
        self.close_reason = ""
        self._websocket = websocket
        self._transport: asyncio.Transport = websocket.state.transport
        self._name = name
        self._closing = False

    @property
    def gone(self) -> bool:
        """Whether sending is no longer possible."""
        return self._closing or self.ended.is_set()

    async def send_text(self, text: str) -> None:
        """Send a WebSocket text message with any content."""
        if not self.gone:
            with contextlib.suppress(*_GONE):
                await self._websocket.send_text(text)

    async def receive_text(self) -> str | None:
        """Wait for the next message. None: it is not text, or the client has left and `ended` is set."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            self._receive_disconnect(message["code"], message.get("reason"))
        text: str | None = message.get("text")
        return text

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket. A reason too long for it is cut."""
        if self.gone:
            return
        self._closing = True
        reason = reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        with contextlib.suppress(*_GONE):
            await self._websocket.close(code, reason)
        self._finish(code, reason, EndedBy.SIMULATOR)

    async def drop(self) -> None:
        """Cut the TCP connection."""
        self._finish(1006, "", EndedBy.SIMULATOR)
        self._transport.abort()

    async def send_garbage(self) -> None:
        """Send bytes that are not a WebSocket frame (reserved bits, unknown opcode), then close."""
        self._finish(1006, "", EndedBy.SIMULATOR)
        self._transport.write(b"\xff" * 64)

    def _receive_disconnect(self, code: int, reason: str | None) -> None:
        """Record the end. uvicorn has a reason, even an empty one, only for a close frame of the client."""
        if reason is not None:
            self._finish(code, reason, EndedBy.CLIENT)
        elif code == _RESTARTING:
            self._finish(code, "", EndedBy.SIMULATOR)
        else:
            self._finish(1006, "", EndedBy.CLIENT)

    def _finish(self, code: int, reason: str, by: EndedBy) -> None:
        if self.ended.is_set():
            return
        self.close_code, self.close_reason, self.ended_by = code, reason, by
        logger.info("%s: ended by the %s: %d %s", self._name, by, code, reason)
        self.ended.set()
