"""A plain WebSocket client of the simulator, for tests."""

from __future__ import annotations

import base64
import json
import wave
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from audiosocket_gw.testing.simulator import Scenario, Simulator, Speech, Turn
from audiosocket_gw.testing.simulator.scenario import Mode

INITIATION = {"type": "conversation_initiation_client_data"}

MANUAL = Scenario(mode=Mode.MANUAL)
"""The agent does what the test tells it, and nothing else but pings."""

QUIET = Scenario(greeting=Turn(), silence_ms=40, speech_ms=40, think_s=0)
"""The agent doesn't greet; turns end after 40 ms of silence, and replies come at once."""


def tone(ms: int, rate: int = 8_000) -> bytes:
    """Return linear audio that counts as speech."""
    samples = 10_000 * np.sin(np.arange(rate * ms // 1000) * 0.3)
    return bytes(samples.astype("<i2").data)


SPEECH = tone(100)
SILENCE = bytes(2 * 8 * 100)


def beep(folder: Path, ms: int = 20, name: str = "beep") -> Speech:
    """Write a short audio, for replies that shall be over soon."""
    path = folder / f"{name}.wav"
    with wave.open(str(path), "wb") as writer:
        writer.setparams((1, 2, 8_000, 0, "NONE", ""))
        writer.writeframes(tone(ms))
    return Speech(str(path))


class Client:
    """Reads messages one by one; ``audio`` holds the audio of those read so far, ``messages`` the rest."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self.audio = bytearray()
        self.audio_events: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []

    async def send(self, message: object) -> None:
        await self.websocket.send(json.dumps(message))

    async def send_audio(self, *pieces: bytes) -> None:
        for audio in pieces:
            await self.send({"user_audio_chunk": base64.b64encode(audio).decode()})

    async def say_something(self) -> None:
        """Speak, and be silent until it counts as the end of a turn."""
        await self.send_audio(SPEECH, SILENCE)

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.websocket.recv())
        if message["type"] == "audio":
            self.audio += base64.b64decode(message["audio_event"]["audio_base_64"])
            self.audio_events.append(message["audio_event"])
        else:
            self.messages.append(message)
        return message

    async def until(self, kind: str) -> dict[str, Any]:
        """Read up to the next message of a type, and return it."""
        while True:
            message = await self.receive()
            if message["type"] == kind:
                return message

    async def until_closed(self) -> tuple[int | None, str | None]:
        """Read to the end, and return close code and reason."""
        try:
            while True:
                await self.receive()
        except ConnectionClosed:
            return self.websocket.close_code, self.websocket.close_reason

    def types(self) -> list[str]:
        """Return the types of the messages so far, without audio and pings."""
        return [message["type"] for message in self.messages if message["type"] != "ping"]


def websocket_url(simulator: Simulator, agent_id: str = "agent_1") -> str:
    return f"{simulator.base_url.replace('http', 'ws', 1)}/v1/convai/conversation?agent_id={agent_id}"


@asynccontextmanager
async def connected(
    simulator: Simulator, url: str | None = None, subprotocols: Sequence[Subprotocol] | None = None
) -> AsyncIterator[Client]:
    """Connect without saying anything yet."""
    async with connect(url or websocket_url(simulator), subprotocols=subprotocols) as websocket:
        yield Client(websocket)


@asynccontextmanager
async def conversing(
    scenario: Scenario, initiation: object = INITIATION
) -> AsyncIterator[tuple[Simulator, Client]]:
    """Run a simulator and have a client that has sent the initiation message."""
    async with Simulator(scenario) as simulator, connected(simulator) as client:
        await client.send(initiation)
        yield simulator, client
