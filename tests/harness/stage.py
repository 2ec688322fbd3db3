"""What the tests of the call path stand on: a gateway between a simulated ElevenLabs and raw lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

import numpy as np

from audiosocket_gw import events
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.protocol.audiosocket import (
    Audio,
    Decoder,
    Frame,
    Hangup,
    Kind,
    encode_audio,
    encode_identity,
)
from audiosocket_gw.settings import Settings
from audiosocket_gw.testing.simulator import Conversation, Scenario, Simulator
from audiosocket_gw.testing.simulator.scenario import Mode

MANUAL = Scenario(mode=Mode.MANUAL)
SILENCE = bytes(320)

E = TypeVar("E", bound=events.CallEvent)


class Line:
    """A TCP connection to the gateway, in the place of Asterisk's, without any manners of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.uuid = uuid4()
        self._decoder = Decoder(identified=True)
        self.frames: list[Frame] = []
        self.ended = asyncio.Event()
        self.reset = False
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, address: tuple[str, int]) -> Self:
        return cls(*await asyncio.open_connection(*address))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        self.writer.transport.abort()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while data := await self.reader.read(65_536):
                self.frames.extend(self._decoder.receive(data))
        except ConnectionError:
            self.reset = True
        self.ended.set()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def identify(self, uuid: UUID | None = None) -> None:
        self.uuid = uuid or self.uuid
        self.send(encode_identity(self.uuid))

    def say(self, audio: bytes) -> None:
        """Send audio all at once; a real telephone takes its time."""
        for start in range(0, len(audio), 320):
            self.send(encode_audio(Kind.SLIN, audio[start : start + 320]))

    @property
    def heard(self) -> bytes:
        """All audio so far, silence included."""
        return b"".join(frame.payload for frame in self.frames if isinstance(frame, Audio))

    def heard_as(self, kind: Kind) -> bytes:
        """The audio of one kind."""
        return b"".join(f.payload for f in self.frames if isinstance(f, Audio) and f.kind is kind)

    @property
    def hung_up(self) -> bool:
        return bool(self.frames) and self.frames[-1] == Hangup()

    async def hears(self, audio: bytes) -> None:
        """Wait until the audio has arrived, whole and without a gap."""
        while audio not in self.heard:
            await asyncio.sleep(0.02)

    async def hears_piece_by_piece(self, audio: bytes) -> None:
        """Wait until the audio has arrived, whole, in which silence may stand wherever the agent was late."""
        while audio not in without_silence(self.heard):
            await asyncio.sleep(0.02)


@dataclass
class Stage:
    simulator: Simulator
    gateway: Gateway
    settings: Settings
    events: list[events.CallEvent] = field(default_factory=list)

    async def line(self) -> Line:
        return await Line.open(self.gateway.address)

    async def call(self) -> tuple[Line, Conversation]:
        """Return a line whose call is up, and the agent's side of it, announced."""
        line = await self.line()
        number = len(self.simulator.conversations) + 1
        line.identify()
        await self.simulator.wait_for_conversation(number)
        conversation = self.simulator.conversations[number - 1]
        await self.wait_for(events.AgentConnected, line.uuid)
        return line, conversation

    def of(self, kind: type[E], uuid: UUID | None = None) -> list[E]:
        return [e for e in self.events if isinstance(e, kind) and (uuid is None or e.uuid == uuid)]

    async def wait_for(self, kind: type[E], uuid: UUID | None = None) -> E:
        """Return the first event of the kind, as soon as there is one."""
        while not (found := self.of(kind, uuid)):
            await asyncio.sleep(0.005)
        return found[0]

    async def wait_for_calls(self, count: int) -> None:
        while self.gateway.calls != count:
            await asyncio.sleep(0.005)


@asynccontextmanager
async def stage(
    scenario: Scenario = MANUAL, api_key: str | None = None, **settings: Any
) -> AsyncIterator[Stage]:
    """Set up simulator and gateway; ``settings`` are fields of `Settings`."""
    async with Simulator(scenario, api_key=api_key) as simulator:
        given: dict[str, Any] = {
            "elevenlabs_agent_id": "agent",
            "elevenlabs_base_url": simulator.base_url,
            "port": 0,
            "drain_timeout": 0,
        }
        seen: list[events.CallEvent] = []
        configured = Settings(**(given | settings))
        async with Gateway(configured, observers=[seen.append]) as gateway:
            yield Stage(simulator, gateway, configured, seen)


def ramp(ms: int, start: int = 1) -> bytes:
    """Audio in which every sample differs from its neighbours, and none is 0: a lost or doubled one shows."""
    count = ms * 8
    return b"".join(((start + n * 7) % 30_000 + 1).to_bytes(2, "little") for n in range(count))


def without_silence(audio: bytes) -> bytes:
    """Return the samples that are not 0."""
    samples = np.frombuffer(audio, np.int16)
    return bytes(samples[samples != 0])
