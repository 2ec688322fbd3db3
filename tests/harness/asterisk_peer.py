"""Asterisk's end of an AudioSocket connection, played by a test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self
from uuid import UUID, uuid4

from audiosocket_gw.protocol.audiosocket import (
    Audio,
    Decoder,
    Frame,
    Hangup,
    Kind,
    encode_audio,
    encode_identity,
)
from tests.harness.audio import speech_ms, without_silence
from tests.harness.waiting import until


class AsteriskPeer:
    """A TCP connection to the gateway: it sends what a test gives it, and nothing by itself; it reads."""

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
        await self._until(audio, lambda: self.heard)

    async def hears_piece_by_piece(self, audio: bytes) -> None:
        """Wait until the audio has arrived, whole, in which silence may stand wherever the agent was late."""
        await self._until(audio, lambda: without_silence(self.heard))

    async def hears_ms(self, ms: int) -> None:
        """Wait until that many milliseconds of anything but silence have arrived, at 8 kHz."""
        await until(lambda: speech_ms(self.heard), lambda heard_ms: heard_ms >= ms, show=lambda _: str(self))

    async def receives(self, frames: int) -> None:
        """Wait until that many frames have arrived."""
        await until(lambda: len(self.frames), lambda count: count >= frames, show=lambda _: str(self))

    async def _until(self, audio: bytes, look: Callable[[], bytes]) -> None:
        await until(
            look, lambda heard: audio in heard, show=lambda heard: self._lacks(audio, heard), every_s=0.02
        )

    def _lacks(self, audio: bytes, heard: bytes) -> str:
        """Say how much of the beginning of ``audio`` is in what was heard."""
        found, missing = 0, len(audio) // 2 + 1
        while missing - found > 1:
            samples = (found + missing) // 2
            found, missing = (samples, missing) if audio[: 2 * samples] in heard else (found, samples)
        return f"{self}; of {len(audio) // 2} samples expected the first {found} are there"

    def __str__(self) -> str:
        heard = self.heard
        said = f"{len(heard)} bytes heard, {speech_ms(heard):g} ms of them speech"
        return f"{said}; {len(self.frames)} frames; the connection is {self._state()}"

    def _state(self) -> str:
        if self.hung_up:
            return "hung up"
        if self.reset:
            return "reset"
        return "closed" if self.ended.is_set() else "open"
