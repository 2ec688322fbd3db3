"""Who may not connect costs nothing: closed as soon as it is accepted, a few in each turn of the loop."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from audiosocket_gw.server import acceptor as acceptor_module
from audiosocket_gw.server.acceptor import MOST_AT_ONCE, Acceptor
from tests.harness.waiting import until


class Silent(asyncio.BufferedProtocol):
    """Takes what comes."""

    def get_buffer(self, sizehint: int) -> bytearray:
        return bytearray(64)


class Door:
    """Asks and creates for an `Acceptor`, and counts it."""

    def __init__(self, *, admits: bool) -> None:
        self.asked: list[str] = []
        self.created = 0
        self._admits = admits
        self.acceptor = Acceptor(self._ask, self._create)

    def _ask(self, host: str, port: int) -> bool:
        self.asked.append(host)
        return self._admits

    def _create(self, host: str, port: int) -> asyncio.BufferedProtocol:
        self.created += 1
        return Silent()


@asynccontextmanager
async def listening(*, admits: bool) -> AsyncIterator[Door]:
    door = Door(admits=admits)
    await door.acceptor.listen("127.0.0.1", 0)
    yield door
    door.acceptor.close()


def connect(door: Door) -> socket.socket:
    return socket.create_connection(door.acceptor.sockets[0].getsockname())


async def test_nothing_is_built_for_a_peer_that_may_not_connect() -> None:
    async with listening(admits=False) as door:
        before = len(asyncio.all_tasks())
        peers = [connect(door) for _ in range(20)]
        await until(lambda: door.asked, lambda asked: len(asked) == 20)
        assert len(asyncio.all_tasks()) == before
        for peer in peers:
            with peer:
                assert peer.recv(1) == b""
    assert door.created == 0


async def test_a_peer_that_may_connect_gets_its_protocol() -> None:
    async with listening(admits=True) as door:
        with connect(door):
            await until(lambda: door.created)
            await until(lambda: not door.acceptor.opening)
    assert door.asked == ["127.0.0.1"]


async def test_a_flood_leaves_turns_of_the_loop_to_others() -> None:
    async with listening(admits=False) as door:
        peers = [connect(door) for _ in range(60)]
        most = 0
        while len(door.asked) < len(peers):
            before = len(door.asked)
            await asyncio.sleep(0)
            most = max(most, len(door.asked) - before)
        assert most <= MOST_AT_ONCE
        for peer in peers:
            peer.close()


class Exhausted(socket.socket):
    """A listening socket of a process that has no descriptor left."""

    tried = 0

    def accept(self) -> Any:
        self.tried += 1
        raise OSError(errno.EMFILE, "Too many open files")


async def test_without_descriptors_it_pauses_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor_module, "RETRY_S", 0.05)
    async with listening(admits=True) as door:
        (real,) = door.acceptor.sockets
        exhausted = Exhausted(fileno=real.detach())
        door.acceptor.sockets[:] = [exhausted]
        loop = asyncio.get_running_loop()
        loop.remove_reader(exhausted.fileno())
        loop.add_reader(exhausted.fileno(), door.acceptor._accept, exhausted)
        with connect(door):
            await until(lambda: exhausted.tried, lambda tried: tried >= 2)
            monkeypatch.setattr(Exhausted, "accept", socket.socket.accept)
            await until(lambda: door.created)
    assert [record.levelno for record in caplog.records][:1] == [logging.ERROR]
    assert "Too many open files" in caplog.text


async def test_closed_it_accepts_no_one() -> None:
    async with listening(admits=True) as door:
        address = door.acceptor.sockets[0].getsockname()
        door.acceptor.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


async def test_all_addresses_of_a_name_are_listened_on() -> None:
    door = Door(admits=True)
    await door.acceptor.listen("localhost", 0)
    families = {each.family for each in door.acceptor.sockets}
    door.acceptor.close()
    assert socket.AF_INET in families
