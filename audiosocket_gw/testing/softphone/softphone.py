"""The person on the phone: speaks, listens, presses keys, hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self
from uuid import UUID, uuid4

from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.audio.frame_timing import TimedFrame
from audiosocket_gw.audio.level import is_speech
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Kind, encode_dtmf
from audiosocket_gw.testing.softphone.asterisk_peer import IDLE_TIMEOUT_MS, PAYLOAD_DEADLINE_MS, AsteriskPeer
from audiosocket_gw.testing.softphone.record import CallRecord


@dataclass(frozen=True, slots=True)
class KeyPress:
    """A key (``0-9 A-D * #``) to press ``at_ms`` milliseconds after the start of the call."""

    digit: str
    at_ms: int

    def __post_init__(self) -> None:
        encode_dtmf(self.digit)


class Softphone:
    """A call in progress, from ``async with`` to its end::

        async with Softphone(host, port) as caller:
            await caller.until_quiet(600)
            await caller.say(question)
        record = caller.record

    Leaving the block hangs up. The methods that wait return False if the call ended first.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        uuid: UUID | None = None,
        kind: Kind = Kind.SLIN,
        silence_suppression: bool = False,
        payload_deadline_ms: float = PAYLOAD_DEADLINE_MS,
        idle_timeout_ms: float = IDLE_TIMEOUT_MS,
        on_frame: Callable[[TimedFrame], None] | None = None,
    ) -> None:
        """``silence_suppression``: send no silence, as some telephones do.

        ``on_frame`` receives each frame as it arrives. The two limits are those of Asterisk.
        """
        self._address = (host, port)
        self._kind = kind
        self._silence_suppression = silence_suppression
        self._new_peer = partial(
            AsteriskPeer,
            kind,
            self._receive,
            payload_deadline_ms=payload_deadline_ms,
            idle_timeout_ms=idle_timeout_ms,
        )
        self._on_frame = on_frame
        self._frame_bytes = SAMPLE_RATES[kind] * FRAME_MS // 1000 * 2
        self._to_say = bytearray()
        self._keys: list[tuple[float, str]] = []
        self._sent: list[TimedFrame] = []
        self._heard: list[TimedFrame] = []
        self._is_speech = False
        self.uuid = uuid or uuid4()

    async def __aenter__(self) -> Self:
        """Connect, and send the UUID frame.

        Raises:
            OSError: the server can't be reached.
        """
        self._loop = loop = asyncio.get_running_loop()
        self._changed = loop.create_future()
        dialled_at = loop.time()
        _, self._peer = await loop.create_connection(self._new_peer, *self._address)
        self._peer.ended.add_done_callback(lambda _: self._wake())
        self.started_at = self._speech_at = loop.time()
        self._connect_ms = (self.started_at - dialled_at) * 1000
        self._peer.send_identity(self.uuid)
        self._speaking = asyncio.create_task(self._speak())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.hang_up()
        await self._speaking

    @property
    def sent(self) -> Sequence[TimedFrame]:
        return self._sent

    @property
    def heard(self) -> Sequence[TimedFrame]:
        return self._heard

    @property
    def over(self) -> bool:
        """Whether the call has ended, on whichever side."""
        return self._peer.ended.done()

    @property
    def record(self) -> CallRecord:
        """The record of the call; complete once the call is over."""
        return CallRecord(
            uuid=self.uuid,
            kind=self._kind,
            started_at=self.started_at,
            connect_ms=self._connect_ms,
            ended_at=self._peer.ended.result() if self.over else self._loop.time(),
            ending=self._peer.ending,
            error=self._peer.error,
            sent=tuple(self._sent),
            heard=tuple(self._heard),
            keys=tuple(self._keys),
        )

    async def say(self, linear: bytes) -> bool:
        """Queue speech; return when all of it has been sent, padded to a frame."""
        self._to_say += linear + bytes(-len(linear) % self._frame_bytes)
        return await self._until(lambda: not self._to_say)

    def press(self, digit: str) -> None:
        """Press a key; nothing happens if the call is over.

        Raises:
            LocalProtocolError: ``digit`` is not one of ``0-9 A-D * #``.
        """
        if not self.over:
            self._keys.append((self._loop.time(), digit))
            self._peer.send_key(digit)

    def hang_up(self) -> None:
        self._peer.hang_up()

    async def until_ended(self) -> CallRecord:
        """Wait until the server, or the caller, ends the call."""
        await asyncio.shield(self._peer.ended)
        return self.record

    async def until_audio(self) -> bool:
        """Wait until speech is received; return at once if the last frame had some."""
        return await self._until(lambda: self._is_speech)

    async def until_quiet(self, quiet_ms: int) -> bool:
        """Wait until neither side has spoken for ``quiet_ms``."""
        return await self._until(lambda: self._loop.time() - self._speech_at >= quiet_ms / 1000)

    async def _until(self, happened: Callable[[], bool]) -> bool:
        while not (yes := happened()) and not self.over:
            await asyncio.shield(self._changed)
        return yes

    def _wake(self) -> None:
        self._changed.set_result(None)
        self._changed = self._loop.create_future()

    def _receive(self, payload: bytes) -> None:
        frame = TimedFrame(self._loop.time(), payload)
        self._heard.append(frame)
        self._is_speech = is_speech(payload)
        if self._is_speech:
            self._speech_at = frame.at
        if self._on_frame is not None:
            self._on_frame(frame)
        self._wake()

    async def _speak(self) -> None:
        """Send a frame every 20 ms, with absolute deadlines; a frame is sent when its last sample is
        spoken.
        """
        number = 1
        while await self._goes_on_until(self.started_at + number * FRAME_MS / 1000):
            self._send_frame()
            self._wake()
            number += 1

    async def _goes_on_until(self, time: float) -> bool:
        await asyncio.wait((self._peer.ended,), timeout=max(0, time - self._loop.time()))
        return not self.over

    def _send_frame(self) -> None:
        payload = bytes(self._to_say[: self._frame_bytes])
        del self._to_say[: self._frame_bytes]
        if not payload and self._silence_suppression:
            return
        payload = payload or bytes(self._frame_bytes)
        frame = TimedFrame(self._loop.time(), payload)
        self._sent.append(frame)
        if is_speech(payload):
            self._speech_at = frame.at
        self._peer.send_audio(payload)


async def place_call(
    host: str,
    port: int,
    *,
    play: bytes = b"",
    uuid: UUID | None = None,
    kind: Kind = Kind.SLIN,
    keys: Sequence[KeyPress] = (),
    silence_suppression: bool = False,
    hang_up_after_ms: int | None = None,
    on_frame: Callable[[TimedFrame], None] | None = None,
) -> CallRecord:
    """Call a server, play ``play`` (linear audio) from the start, and record the answer.

    The call lasts until the server ends it, or ``hang_up_after_ms`` from its start.

    Raises:
        OSError: the server can't be reached.
        RemoteProtocolError: the server did something that makes Asterisk abort the call.
    """
    async with Softphone(
        host, port, uuid=uuid, kind=kind, silence_suppression=silence_suppression, on_frame=on_frame
    ) as caller:
        loop = asyncio.get_running_loop()
        for key in keys:
            loop.call_at(caller.started_at + key.at_ms / 1000, caller.press, key.digit)
        if hang_up_after_ms is not None:
            loop.call_at(caller.started_at + hang_up_after_ms / 1000, caller.hang_up)
        await caller.say(play)
        record = await caller.until_ended()
    record.raise_for_error()
    return record
