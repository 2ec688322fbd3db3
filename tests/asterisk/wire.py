"""What Asterisk and a gateway send each other, read on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from audiosocket_gw.protocol.audiosocket import Audio, Decoder, Frame


@dataclass
class Wire:
    """The frames of one connection, each way."""

    from_asterisk: list[Frame] = field(default_factory=list)
    to_asterisk: list[Frame] = field(default_factory=list)

    @property
    def said(self) -> bytes:
        """The audio of the caller, as Asterisk sends it."""
        return b"".join(frame.payload for frame in self.from_asterisk if isinstance(frame, Audio))

    @property
    def heard(self) -> bytes:
        """The audio for the caller, as the gateway sends it."""
        return b"".join(frame.payload for frame in self.to_asterisk if isinstance(frame, Audio))

    @property
    def said_as(self) -> set[tuple[int, int]]:
        """The kinds and payload sizes of the caller's frames."""
        return {(frame.kind, len(frame.payload)) for frame in self.from_asterisk if isinstance(frame, Audio)}

    @property
    def heard_as(self) -> set[tuple[int, int]]:
        """The kinds and payload sizes of the frames for the caller, but for silent ones."""
        audible = (frame for frame in self.to_asterisk if isinstance(frame, Audio) and any(frame.payload))
        return {(frame.kind, len(frame.payload)) for frame in audible}


async def _pass(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: Decoder, frames: list[Frame]
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            frames.extend(decoder.receive(data))
    writer.close()


@asynccontextmanager
async def wire(port: int, gateway: tuple[str, int]) -> AsyncIterator[Wire]:
    """Stand between Asterisk, which calls ``port`` of 127.0.0.1, and the gateway, for one call."""
    read = Wire()
    passing: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_gateway, from_gateway = Decoder(), Decoder(identified=True)
        far_reader, far_writer = await asyncio.open_connection(*gateway)
        passing.add(asyncio.create_task(_pass(reader, far_writer, to_gateway, read.from_asterisk)))
        passing.add(asyncio.create_task(_pass(far_reader, writer, from_gateway, read.to_asterisk)))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    try:
        yield read
    finally:
        server.close()
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
        await server.wait_closed()
