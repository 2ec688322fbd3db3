"""ElevenLabs' end of a WebSocket, played by a test byte for byte, so that it can break every rule."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from audiosocket_gw.elevenlabs import client_messages, messages
from audiosocket_gw.elevenlabs.connection import AgentConnection, MessageHandler, connect
from audiosocket_gw.runtime.loop_budget import LoopBudget
from audiosocket_gw.tap import Tap
from tests.harness.agent_messages import audio_message, metadata
from tests.harness.certificates import trusting
from tests.harness.setup_steps import untold_steps

INITIATION = client_messages.initiation({})

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Build a WebSocket frame as a server sends it (RFC 6455, section 5.2)."""
    first = (0x80 if fin else 0) | opcode
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 65_536:
        return struct.pack("!BBH", first, 126, len(payload)) + payload
    return struct.pack("!BBQ", first, 127, len(payload)) + payload


def text(**message: Any) -> bytes:
    return frame(TEXT, json.dumps(message).encode())


def closing(code: int, reason: str = "") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


METADATA = text(**metadata("pcm_8000", "ulaw_8000"))
METADATA_MESSAGE = messages.Metadata("conv_1", "pcm_8000", "ulaw_8000")
AUDIO = text(**audio_message(b"\x01\x02", 1))


def accepting(key: bytes) -> bytes:
    """Build the HTTP response that opens the WebSocket; ``key`` is the request's ``Sec-WebSocket-Key``."""
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


class AgentPeer:
    """The agent's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.request = b""

    async def upgrade(self, first: bytes = b"") -> None:
        """Accept the WebSocket, and send ``first`` in the same segment."""
        self.request = await self.reader.readuntil(b"\r\n\r\n")
        key = self.request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        self.writer.write(accepting(key) + first)

    async def begin(self, more: bytes = b"") -> None:
        """Announce the conversation, and send ``more`` in the same segment."""
        await self.upgrade()
        assert await self.receive() == (TEXT, INITIATION)
        self.writer.write(METADATA + more)

    async def receive(self) -> tuple[int, bytes]:
        """Return opcode and payload of the next frame, which must be masked, as a client's must."""
        first, second = await self.reader.readexactly(2)
        assert first & 0x80
        assert second & 0x80
        size = second & 0x7F
        if size > 125:
            wide = struct.Struct("!H" if size == 126 else "!Q")
            (size,) = wide.unpack(await self.reader.readexactly(wide.size))
        mask = await self.reader.readexactly(4)
        payload = await self.reader.readexactly(size)
        return first & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))

    def cut(self) -> None:
        self.writer.transport.abort()


Behaviour = Callable[[AgentPeer], Awaitable[None]]


@asynccontextmanager
async def agent(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve one way of behaving; yields the URL. The connection is closed when ``behave`` returns."""
    tasks: list[asyncio.Task[None]] = []

    async def serve(peer: AgentPeer) -> None:
        try:
            await behave(peer)
        finally:
            peer.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.ensure_future(serve(AgentPeer(reader, writer))))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/v1/convai/conversation?agent_id=a"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(
                ended, None | asyncio.CancelledError | ConnectionError | asyncio.IncompleteReadError
            ):
                raise ended


def ignore(message: messages.ServerMessage) -> None:
    pass


def ready(initiation: bytes) -> asyncio.Future[bytes]:
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    future.set_result(initiation)
    return future


async def open_(
    url: str,
    on_message: MessageHandler = ignore,
    timeout_s: float = 30,
    tap: Tap | None = None,
    budget: LoopBudget | None = None,
) -> AgentConnection:
    return await connect(
        url,
        ready(INITIATION),
        on_message,
        ssl_context=trusting(),
        timeout_s=timeout_s,
        queue_timeout_s=40,
        budget=budget or LoopBudget(asyncio.get_running_loop()),
        steps=untold_steps(),
        tap=tap,
    )


async def forever(peer: AgentPeer) -> None:
    await peer.reader.read()


async def until_close(peer: AgentPeer) -> None:
    """Take what comes, up to the closing frame."""
    while (await peer.receive())[0] != CLOSE:
        pass
