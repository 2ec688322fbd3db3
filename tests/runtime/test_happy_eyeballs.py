"""A host with an address that doesn't answer: each of the gateway's connections goes to another one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audiosocket_gw import events
from audiosocket_gw.ami.client import AmiClient
from audiosocket_gw.runtime.event_loop import GatewayEventLoop
from audiosocket_gw.runtime.happy_eyeballs import PrivateAddressError, interleaved, is_public, open_socket
from tests.harness.agent_peer import AgentPeer, agent, open_, until_close
from tests.harness.certificates import serving
from tests.harness.dead_address import ALIVE, DEAD, Resolver, swallowing
from tests.harness.fake_asterisk import TIMING, fake_asterisk
from tests.harness.gateway import running_gateway
from tests.harness.waiting import until

HOST = "host.invalid"
PATIENCE_S = 5
"""Less than the two minutes for which a kernel repeats what is swallowed, and much more than is needed."""


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver(monkeypatch)
    resolver.hosts[HOST] = [DEAD, ALIVE]
    resolver.hosts["localhost"] = [DEAD, ALIVE]
    return resolver


def port_of(url: str) -> int:
    return int(url.partition(f"{ALIVE}:")[2].partition("/")[0])


async def talks(peer: AgentPeer) -> None:
    await peer.begin()
    await until_close(peer)


# Each way


async def test_agent(resolver: Resolver) -> None:
    async with agent(talks) as url:
        with swallowing(port_of(url)):
            connection = await open_(url.replace(ALIVE, HOST), timeout_s=PATIENCE_S)
            await connection.close()


async def test_agent_by_tls(resolver: Resolver) -> None:
    async with agent(talks, serving()) as url:
        with swallowing(port_of(url)):
            connection = await open_(url.replace(ALIVE, "localhost"), timeout_s=PATIENCE_S)
            await connection.close()


@pytest.mark.parametrize("api_key", [None, "sk_key"])
async def test_call_with_a_public_and_a_private_agent(resolver: Resolver, api_key: str | None) -> None:
    async with running_gateway(api_key=api_key, agent_connect_timeout=PATIENCE_S) as harness:
        base_url = harness.simulator.base_url
        with swallowing(port_of(base_url)):
            elsewhere: dict[str, Any] = {
                "elevenlabs_base_url": base_url.replace(ALIVE, HOST),
                "elevenlabs_api_key": api_key,
            }
            async with (
                running_gateway(**elsewhere, agent_connect_timeout=PATIENCE_S) as caller_side,
                await caller_side.line() as line,
            ):
                line.identify()
                await caller_side.wait_for(events.AgentConnected)


async def test_manager_interface(resolver: Resolver) -> None:
    async with fake_asterisk() as fake:
        with swallowing(fake.port):
            async with AmiClient(replace(fake.address, host=HOST), TIMING) as client:
                while not client.connected:
                    await client.wait_for_update()
                assert client.peer_host == ALIVE


# The race


class Accepted(asyncio.Protocol):
    """A connection that the server has."""

    def __init__(self) -> None:
        self.ended = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True


@asynccontextmanager
async def server(host: str, port: int = 0) -> AsyncIterator[tuple[int, list[Accepted]]]:
    """Listen; yields the port, and who has connected."""
    accepted: list[Accepted] = []

    def accept() -> Accepted:
        accepted.append(Accepted())
        return accepted[-1]

    async with await asyncio.get_running_loop().create_server(accept, host, port) as listening:
        yield listening.sockets[0].getsockname()[1], accepted
    await until(lambda: all(connection.ended for connection in accepted))


def sockets_open() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_the_first_address_is_preferred(resolver: Resolver) -> None:
    resolver.hosts[HOST] = ["127.0.0.3", ALIVE]
    async with server(ALIVE) as (port, second), server("127.0.0.3", port) as (_, first):
        with await open_socket(HOST, port) as connection:
            assert connection.getpeername()[0] == "127.0.0.3"
            await until(lambda: first)
        assert not second


async def test_an_address_that_refuses_costs_no_time(resolver: Resolver) -> None:
    resolver.hosts[HOST] = ["127.0.0.3", "127.0.0.4", ALIVE]
    async with server(ALIVE) as (port, _):
        with await open_socket(HOST, port, attempt_delay_s=3_600) as connection:
            assert connection.getpeername()[0] == ALIVE


async def test_of_two_that_answer_at_once_one_is_left(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver.hosts[HOST] = ["127.0.0.3", ALIVE]
    loop = asyncio.get_running_loop()
    both = asyncio.Event()
    asked: list[str] = []

    async def connect(connection: socket.socket, address: tuple[str, int]) -> None:
        asked.append(address[0])
        if len(asked) == 2:
            both.set()
        await both.wait()  # so both go on in one turn of the loop
        connection.setblocking(True)
        connection.connect(address)
        connection.setblocking(False)

    monkeypatch.setattr(loop, "sock_connect", connect)
    async with server(ALIVE) as (port, seconds), server("127.0.0.3", port) as (_, firsts):
        with await open_socket(HOST, port, attempt_delay_s=0.01) as connection:
            assert connection.getpeername()[0] == "127.0.0.3"
            await until(lambda: firsts and seconds and seconds[0].ended)
            assert not firsts[0].ended


async def test_who_gives_up_when_one_has_won_gets_it_or_leaves_nothing_open(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loser takes its time to end, and the deadline is over meanwhile."""
    resolver.hosts[HOST] = ["127.0.0.3", ALIVE]
    loop = asyncio.get_running_loop()
    real = loop.sock_connect
    ending = asyncio.Event()

    async def connect(connection: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == ALIVE:
            return await real(connection, address)
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await asyncio.sleep(0.1)

    monkeypatch.setattr(loop, "sock_connect", connect)
    async with server(ALIVE) as (port, _):
        opening = asyncio.create_task(open_socket(HOST, port, attempt_delay_s=0.01))
        await ending.wait()
        opening.cancel()
        await asyncio.wait([opening])
        assert not opening.cancelled(), "the winner is lost"
        opening.result().close()


async def test_the_reason_of_each_address_is_told(resolver: Resolver) -> None:
    resolver.hosts[HOST] = ["127.0.0.3", ALIVE]
    async with server(ALIVE) as (port, _):
        pass  # no one listens there now
    with pytest.raises(OSError, match=r"'127\.0\.0\.3'.*; .*'127\.0\.0\.1'"):
        await open_socket(HOST, port)
    with pytest.raises(ConnectionRefusedError, match=r"'127\.0\.0\.1'"):
        await open_socket(ALIVE, port)


async def test_no_such_host() -> None:
    with pytest.raises(socket.gaierror):
        await open_socket("nowhere.invalid", 1)


async def test_who_gives_up_leaves_nothing_open(resolver: Resolver) -> None:
    async with server(ALIVE) as (port, _):
        with swallowing(port):
            resolver.hosts[HOST] = [DEAD] * 3
            before = sockets_open()
            opening = asyncio.create_task(open_socket(HOST, port))
            await until(lambda: sockets_open(), lambda seen: seen >= before + 3)
            opening.cancel()
            await asyncio.wait([opening])
            assert opening.cancelled()
            await until(lambda: sockets_open(), lambda seen: seen <= before)


def test_on_the_gateways_own_loop(resolver: Resolver) -> None:
    async def main() -> None:
        async with server(ALIVE) as (port, _):
            with swallowing(port):
                openings = (open_socket(HOST, port) for _ in range(5))
                for connection in await asyncio.wait_for(asyncio.gather(*openings), PATIENCE_S):
                    assert connection.getpeername()[0] == ALIVE
                    connection.close()

    with asyncio.Runner(loop_factory=GatewayEventLoop) as runner:
        runner.run(main())


def test_families_take_turns() -> None:
    four, six = socket.AF_INET, socket.AF_INET6
    infos = [(six, 1, 6, "", n) for n in (1, 2, 3)] + [(four, 1, 6, "", n) for n in (4, 5)]
    assert [info[4] for info in interleaved(infos)] == [1, 4, 2, 5, 3]
    assert interleaved([]) == []


# Only public addresses


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("224.0.0.1", False),
        # reached by a translator or a tunnel
        ("64:ff9b::808:808", True),
        ("64:ff9b::a01:203", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::808:808", False),
        ("2002:808:808::1", True),
        ("2002:a01:203::1", False),
        ("::10.1.2.3", False),
        ("2001:0:a01:203::1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


async def test_a_host_with_private_addresses_is_not_connected_to(resolver: Resolver) -> None:
    resolver.hosts[HOST] = ["127.0.0.3", ALIVE]
    async with server(ALIVE) as (port, accepted):
        with pytest.raises(PrivateAddressError, match=r"127\.0\.0\.3"):
            await open_socket(HOST, port, public_only=True)
        assert accepted == []
