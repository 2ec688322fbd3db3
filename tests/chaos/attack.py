"""What an attack is, and what it may use: callers, hostile agents, a PBX."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID, uuid4

from audiosocket_gw.protocol.audiosocket import Kind, encode_audio, encode_identity
from tests.chaos.backend import Backend, HostileAgent
from tests.harness.fake_asterisk import FakeAsterisk

PBX = "127.0.0.1"
"""The address of the good callers."""

STRANGER = "127.0.0.66"

CALL_S = 2.0
"""How long a new call may take to be up."""

DEAF_BYTES = 4096
"""The receive buffer of a peer that doesn't read."""

SPOKEN = encode_audio(Kind.SLIN, bytes(320))


class Line:
    """A connection to the gateway's AudioSocket port. What the gateway sends is read, unless it is deaf."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, deaf: bool) -> None:
        self._writer = writer
        self.ended = asyncio.Event()
        if deaf:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        self._reading = asyncio.ensure_future(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while await reader.read(65_536):
                pass
        self.ended.set()

    async def send(self, data: bytes) -> None:
        """Send it, as fast as the gateway reads.

        Raises:
            ConnectionError: the gateway has closed the connection.
        """
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """Close with a TCP reset."""
        raw: socket.socket = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self._reading.cancel()
        self._writer.transport.abort()


class Target:
    """The gateway as an attack meets it. ``pbx`` is there if the attack asked for one."""

    def __init__(self, port: int, backend: Backend, pbx: FakeAsterisk | None) -> None:
        self.backend = backend
        self._port = port
        self._pbx = pbx
        self._lines: list[Line] = []
        self.tries = 0
        """New calls of good callers."""
        self.admitted = 0
        """Those of them that came up."""
        self.faults: list[str] = []
        """What the attack found out itself."""

    @property
    def pbx(self) -> FakeAsterisk:
        assert self._pbx is not None
        return self._pbx

    async def connect(self, source: str = PBX, *, deaf: bool = False) -> Line:
        """Connect, and send nothing."""
        raw = socket.socket()
        raw.setblocking(False)
        raw.bind((source, 0))
        if deaf:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DEAF_BYTES)
        try:
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self._port))
            streams = await asyncio.open_connection(sock=raw)
        except BaseException:  # the end of the attack, too
            raw.close()
            raise
        line = Line(*streams, deaf=deaf)
        self._lines.append(line)
        return line

    async def dial(self, source: str = PBX, uuid: UUID | None = None, *, deaf: bool = False) -> Line:
        """Connect, and send a UUID and a frame of audio."""
        line = await self.connect(source, deaf=deaf)
        await line.send(encode_identity(uuid or uuid4()) + SPOKEN)
        return line

    async def call(self, *, deaf: bool = False) -> tuple[Line, HostileAgent]:
        """Return a new call that is up, and its agent."""
        uuid = uuid4()
        agent = self.backend.conversation(uuid)
        line = await self.dial(uuid=uuid, deaf=deaf)
        async with asyncio.timeout(2 * CALL_S):
            return line, await agent

    async def try_calls(self, every_s: float) -> None:
        """Have good callers place new calls for ever, and count those that come up."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._try_call())
                await asyncio.sleep(every_s)

    async def _try_call(self) -> None:
        self.tries += 1
        try:
            self.admitted += await self._comes_up()
        except asyncio.CancelledError:
            self.tries -= 1  # the attack ended before it was decided
            raise

    async def _comes_up(self) -> bool:
        """Place a call that lasts half a second; return whether it reached its agent in time."""
        uuid = uuid4()
        agent = self.backend.conversation(uuid)
        try:
            async with asyncio.timeout(CALL_S):
                line = await self.dial(uuid=uuid)
                ended = asyncio.ensure_future(line.ended.wait())
                try:
                    await asyncio.wait((agent, ended), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    ended.cancel()
        except (OSError, TimeoutError):
            return False
        asyncio.get_running_loop().call_later(0.5, line.close)
        return agent.done()

    def leave(self) -> None:
        """Close all connections of callers."""
        for line in self._lines:
            line.close()


async def repeatedly(act: Callable[[], Awaitable[None]], every_s: float) -> None:
    """Act for ever; the gateway may end what it does at any time."""
    while True:
        with suppress(OSError, TimeoutError):
            await act()
        await asyncio.sleep(every_s)


async def together(*acts: Awaitable[None]) -> None:
    async with asyncio.TaskGroup() as group:
        for act in acts:
            group.create_task(_run(act))


async def _run(act: Awaitable[None]) -> None:
    await act


Run = Callable[[Target], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Attack:
    """One row of the table.

    Attributes:
        door: where it comes in.
        what: what it does.
        before: what it did before there was a defence: the figures of November 2026.
        run: does it, until it is cancelled.
        seconds: how long.
        settings: of the gateway; ``{folder}`` is a folder of the test.
        needs_pbx: whether there is a manager interface.
        reads_log: whether anyone reads the gateway's log.
    """

    door: str
    what: str
    before: str
    run: Run
    seconds: float
    settings: Mapping[str, str]
    needs_pbx: bool
    reads_log: bool

    @property
    def name(self) -> str:
        return self.run.__name__


NO_SETTINGS: Mapping[str, str] = MappingProxyType({})

ATTACKS: list[Attack] = []
"""All, in the order of the table."""


def attack(
    door: str,
    what: str,
    *,
    before: str = "",
    seconds: float = 5.0,
    needs_pbx: bool = False,
    reads_log: bool = True,
    settings: Mapping[str, str] = NO_SETTINGS,
) -> Callable[[Run], Run]:
    """Add the function to the table of attacks."""

    def add(run: Run) -> Run:
        ATTACKS.append(Attack(door, what, before, run, seconds, settings, needs_pbx, reads_log))
        return run

    return add
