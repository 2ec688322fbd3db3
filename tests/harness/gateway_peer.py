"""The far end of an AudioSocket connection, played by a test: a gateway of a few lines, and a handset."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from audiosocket_gw.protocol.audiosocket import (
    HANGUP_FRAME,
    Audio,
    Decoder,
    Frame,
    Identity,
    Kind,
    encode_audio,
)
from tests.harness.waiting import WAIT_LIMIT_S, until

FRAME_S = 0.02
FRAME_BYTES = 320
"""20 ms of 8 kHz, 16-bit audio."""


class GatewayPeer:
    """One connection from Asterisk. ``arrivals`` are the loop times (seconds) of the frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.frames: list[Frame] = []
        self.arrivals: list[float] = []
        self.ended = asyncio.Event()

    @property
    def uuid(self) -> UUID:
        first = self.frames[0]
        assert isinstance(first, Identity)
        return first.uuid

    @property
    def audio(self) -> list[Audio]:
        return [frame for frame in self.frames if isinstance(frame, Audio)]

    @property
    def heard(self) -> bytes:
        """All the audio that Asterisk sent, joined."""
        return b"".join(frame.payload for frame in self.audio)

    async def read(self) -> None:
        """Take frames until Asterisk closes the connection."""
        decoder = Decoder()
        with suppress(ConnectionError):
            while data := await self._reader.read(65_536):
                for frame in decoder.receive(data):
                    self.frames.append(frame)
                    self.arrivals.append(asyncio.get_running_loop().time())
        self.ended.set()

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def hang_up(self) -> None:
        self.write(HANGUP_FRAME)

    def reset(self) -> None:
        """Break the connection off, as a gateway that is killed."""
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def play(self, pcm: bytes, kind: Kind = Kind.SLIN, frame_bytes: int = FRAME_BYTES) -> None:
        """Send 16-bit audio, one frame every 20 ms."""
        clock = asyncio.get_running_loop().time
        start = clock()
        for number, offset in enumerate(range(0, len(pcm), frame_bytes)):
            await asyncio.sleep(start + number * FRAME_S - clock())
            self.write(encode_audio(kind, pcm[offset : offset + frame_bytes]))
        await asyncio.sleep(start + len(pcm) / frame_bytes * FRAME_S - clock())

    async def identified(self) -> None:
        """Wait for the UUID."""
        await until(lambda: self.frames)

    async def frames_received(self, count: int) -> None:
        """Wait until Asterisk has sent ``count`` frames of audio."""
        await until(
            lambda: len(self.audio),
            lambda frames: frames >= count or self.ended.is_set(),
            show=lambda frames: f"{frames} frames of audio, not {count}",
            limit_s=WAIT_LIMIT_S + count * FRAME_S,
            every_s=FRAME_S,
        )

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


Script = Callable[[GatewayPeer], Coroutine[Any, Any, None]]
"""What the far end does with a line; cancelled when Asterisk closes it."""


async def silence(line: GatewayPeer) -> None:
    """Send silence for ever, as a gateway must."""
    while True:
        await line.play(bytes(FRAME_BYTES) * 50)


async def refuse(line: GatewayPeer) -> None:
    """End the call at once, as a full gateway does."""
    line.hang_up()


async def say_nothing(line: GatewayPeer) -> None:
    """Send no frame at all."""


def say(pcm: bytes) -> Script:
    """Send ``pcm`` (8 kHz, 16-bit), then end the call."""

    async def script(line: GatewayPeer) -> None:
        await line.play(pcm)
        line.hang_up()

    return script


async def _serve(line: GatewayPeer, script: Script) -> None:
    try:
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(script(line))
            await line.read()
            speaking.cancel()
    finally:
        await line.close()


@asynccontextmanager
async def answering(port: int, script: Script) -> AsyncIterator[asyncio.Queue[GatewayPeer]]:
    """Answer AudioSocket connections on ``port`` of 127.0.0.1; yields the queue of lines, as they come."""
    lines: asyncio.Queue[GatewayPeer] = asyncio.Queue()
    serving: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = GatewayPeer(reader, writer)
        serving.add(asyncio.ensure_future(_serve(line, script)))
        lines.put_nowait(line)

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    try:
        yield lines
    finally:
        server.close()
        for task in serving:
            task.cancel()
        failures = await asyncio.gather(*serving, return_exceptions=True)
        await server.wait_closed()
    for failure in failures:
        if isinstance(failure, Exception):
            raise failure
