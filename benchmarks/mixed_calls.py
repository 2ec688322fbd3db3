"""The calls of the soak that don't last: short, wideband, interrupted, and ended by every kind of fault."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

from audiosocket_gw.protocol.audiosocket import HEADER, Kind, encode_audio, encode_dtmf
from tests.chaos.attack import CALL_S, Line, Target
from tests.chaos.backend import Backend, HostileAgent
from tests.harness.agent_messages import agent_response, audio_message, interruption, tool_call
from tests.harness.agent_peer import TEXT, closing, frame, text
from tests.harness.fake_asterisk import FakeAsterisk

FRAME_S = 0.02
SPOKEN = bytes(range(160)) * 2
PIECE = SPOKEN * 12
"""What an agent says in a message: 240 ms."""

STALLED_S = 12.0
"""How long a caller stops in mid-frame; the gateway ends the call before that."""

LOST_AFTER_S = 3.0


@dataclass(frozen=True, slots=True)
class Parties:
    """A call that is up."""

    line: Line
    agent: HostileAgent

    async def talk(self, seconds: float, kind: Kind = Kind.SLIN, payload: bytes = SPOKEN) -> None:
        """Have both speak: the caller in real time, the agent first."""
        spoken = encode_audio(kind, payload)
        pieces = [text(**audio_message(PIECE, 1)) for _ in range(round(seconds / 0.24))]
        await self.agent.send(text(**agent_response("Good morning.", 1)), *pieces)
        for _ in range(round(seconds / FRAME_S)):
            await self.line.send(spoken)
            await asyncio.sleep(FRAME_S)

    async def ended(self) -> None:
        """Wait until the gateway has ended the call."""
        async with asyncio.timeout(STALLED_S):
            await self.line.ended.wait()


Play = Callable[[Parties], Awaitable[None]]


async def short(parties: Parties) -> None:
    await parties.talk(2)


async def long(parties: Parties) -> None:
    await parties.talk(60)


async def wideband(parties: Parties) -> None:
    await parties.talk(5, Kind.SLIN16, SPOKEN * 2)


async def interrupted(parties: Parties) -> None:
    for event_id in range(1, 4):
        await parties.talk(1)
        await parties.agent.send(text(**interruption(event_id)))


async def keys(parties: Parties) -> None:
    await parties.line.send(b"".join(map(encode_dtmf, "123#")))
    await parties.talk(2)


async def tool(parties: Parties) -> None:
    await parties.agent.send(text(**tool_call("no_such_tool")), text(**tool_call("avr_hangup")))
    await parties.talk(2)


async def closed_by_agent(parties: Parties) -> None:
    await parties.talk(1)
    await parties.agent.send(closing(1000, "bye"))
    await parties.ended()


async def lost_by_agent(parties: Parties) -> None:
    await parties.talk(1)
    parties.agent.cut()
    await parties.ended()


async def invalid_message(parties: Parties) -> None:
    await parties.agent.send(frame(TEXT, b"not JSON"))
    await parties.ended()


async def reset_by_caller(parties: Parties) -> None:
    await parties.talk(1)
    parties.line.reset()


async def stalled_caller(parties: Parties) -> None:
    await parties.line.send(HEADER.pack(Kind.SLIN, 320) + b"half")
    await parties.ended()


async def odd_frames(parties: Parties) -> None:
    sizes = (0, 1, 3, 320, 11, 640, 2)
    await parties.line.send(b"".join(HEADER.pack(Kind.SLIN, size) + bytes(size) for size in sizes))
    await parties.line.send(HEADER.pack(0x42, 3) + b"abc")
    await parties.talk(1)


KINDS: dict[Play, int] = {
    short: 8,
    long: 2,
    wideband: 3,
    interrupted: 4,
    keys: 2,
    tool: 2,
    closed_by_agent: 4,
    lost_by_agent: 2,
    invalid_message: 2,
    reset_by_caller: 3,
    stalled_caller: 1,
    odd_frames: 2,
}
"""How many of 35 calls are of each kind; beside them come connections that become no call."""

NO_CALL = "no call"
NOT_UP = "not up"


class MixedCalls:
    """Plays calls one after another, some at a time. ``count`` says how many of each kind have begun."""

    def __init__(self, port: int, backend: Backend, pbx: FakeAsterisk, seed: int = 1) -> None:
        self.count: Counter[str] = Counter()
        self._port = port
        self._backend = backend
        self._pbx = pbx
        self._random = random.Random(seed)

    async def play(self, at_a_time: int) -> None:
        """Play for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(at_a_time):
                group.create_task(self._one_after_another())

    async def _one_after_another(self) -> None:
        kinds, weights = [*KINDS], [*KINDS.values()]
        while True:
            await asyncio.sleep(self._random.uniform(0.05, 0.5))
            if self._random.random() < 0.1:
                await self._connect_only()
            (kind,) = self._random.choices(kinds, weights)
            await self._call(kind)

    async def _connect_only(self) -> None:
        """Connect and send what is no UUID, or a UUID, and reset."""
        self.count[NO_CALL] += 1
        target = Target(self._port, self._backend, self._pbx)
        with suppress(OSError):
            line = await target.connect()
            await line.send(
                self._random.choice((b"", b"GET / HTTP/1.1\r\n\r\n", HEADER.pack(1, 16) + bytes(16)))
            )
            line.reset()

    async def _call(self, kind: Play) -> None:
        with suppress(OSError, TimeoutError):
            async with self._up() as parties:
                if parties is None:
                    self.count[NOT_UP] += 1
                    return
                self.count[kind.__name__] += 1
                await kind(parties)

    @asynccontextmanager
    async def _up(self) -> AsyncIterator[Parties | None]:
        """Place a call that Asterisk knows, too; yield None if it didn't come up."""
        uuid = uuid4()
        target = Target(self._port, self._backend, self._pbx)
        agent = self._backend.conversation(uuid)
        channel = f"PJSIP/1001-{uuid.int >> 96:08x}"
        self._pbx.channels[channel] = _channel(channel, uuid)
        try:
            line = await target.dial(uuid=uuid)
            try:
                async with asyncio.timeout(LOST_AFTER_S * CALL_S):
                    parties = Parties(line, await asyncio.shield(agent))
            except TimeoutError:
                parties = None
            yield parties
        finally:
            target.leave()
            self._backend.forget(uuid)
            self._pbx.channels.pop(channel, None)


def _channel(name: str, uuid: UUID) -> dict[str, str]:
    return {
        "Channel": name,
        "ChannelState": "6",
        "CallerIDNum": "1001",
        "Application": "AudioSocket",
        "ApplicationData": f"{uuid},127.0.0.1:5001",
        "Uniqueid": f"{uuid.int >> 96}.1",
        "Linkedid": f"{uuid.int >> 96}.1",
    }
