"""AudioSocket to an agent by the official Python SDK (`pip install elevenlabs`), as its documentation has it.

A stream and a task for each caller, an `AsyncAudioInterface` between. It paces with absolute deadlines, the
best that such a bridge does; it handles no format, fault or limit, and is here only to be compared with.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from elevenlabs.client import ElevenLabs
from elevenlabs.conversational_ai.conversation import AsyncAudioInterface, AsyncConversation, ClientTools

HEADER_BYTES = 3
AUDIO = 0x10
FRAME_BYTES = 320
PERIOD_S = 0.02


class Line(AsyncAudioInterface):
    """One caller, for the SDK."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._queue = bytearray()
        self._tasks: list[asyncio.Task[None]] = []
        self.gone = asyncio.Event()

    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        self._tasks = [asyncio.create_task(self._listen(input_callback)), asyncio.create_task(self._speak())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def output(self, audio: bytes) -> None:
        self._queue += audio

    async def interrupt(self) -> None:
        self._queue.clear()

    async def _listen(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        try:
            while True:
                kind, high, low = await self._reader.readexactly(HEADER_BYTES)
                payload = await self._reader.readexactly(high << 8 | low)
                if kind == AUDIO:
                    await input_callback(payload)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time()
        header = bytes((AUDIO, FRAME_BYTES >> 8, FRAME_BYTES & 0xFF))
        while True:
            frame = bytes(self._queue[:FRAME_BYTES])
            del self._queue[:FRAME_BYTES]
            self._writer.write(header + frame.ljust(FRAME_BYTES, b"\0"))
            await self._writer.drain()
            deadline += PERIOD_S
            await asyncio.sleep(deadline - loop.time())


async def hold_call(client: ElevenLabs, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(HEADER_BYTES + 16)  # the UUID
    line = Line(reader, writer)
    conversation = AsyncConversation(
        client,
        os.environ["ELEVENLABS_AGENT_ID"],
        requires_auth=False,
        audio_interface=line,
        client_tools=ClientTools(loop=asyncio.get_running_loop()),
    )
    await conversation.start_session()
    await line.gone.wait()
    await conversation.end_session()
    writer.close()


async def main() -> None:
    client = ElevenLabs(base_url=os.environ["ELEVENLABS_BASE_URL"], api_key="none")
    server = await asyncio.start_server(
        lambda reader, writer: hold_call(client, reader, writer), os.environ["HOST"], int(os.environ["PORT"])
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
