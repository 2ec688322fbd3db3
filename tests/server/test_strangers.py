"""Who has no business here keeps no caller of a known PBX out, and spends no one's money."""

from __future__ import annotations

import asyncio
import logging
import operator
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import pytest

from audiosocket_gw import events
from audiosocket_gw.commands.signed_uuid import new_signed_uuid
from audiosocket_gw.protocol.audiosocket import Hangup
from audiosocket_gw.server import guests as guests_module
from audiosocket_gw.server.connections import PER_GUEST
from audiosocket_gw.server.settings import parse_networks
from audiosocket_gw.settings import Settings
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.gateway import GatewayHarness, running_gateway
from tests.harness.waiting import until

pytestmark = pytest.mark.virtual_time

KNOWN, GUEST, OTHER_GUEST = "127.0.0.1", "127.0.0.2", "127.0.0.3"
SHARED = f"127.0.0.0/8,{KNOWN}"
SECRET = "0123456789abcdef0123456789abcdef"


@asynccontextmanager
async def lines(harness: GatewayHarness, host: str, count: int) -> AsyncIterator[list[AsteriskPeer]]:
    """Connections from the address ``host``, which have sent nothing."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            streams = await asyncio.open_connection(*harness.gateway.address, local_addr=(host, 0))
            opened.append(await stack.enter_async_context(AsteriskPeer(*streams)))
        yield opened


async def begin(harness: GatewayHarness, line: AsteriskPeer, uuid: UUID | None = None) -> bool:
    """Send a UUID; return whether the call began."""
    line.identify(uuid)
    await until(lambda: line.ended.is_set() or harness.of(events.CallStarted, line.uuid))
    return not line.ended.is_set()


@pytest.mark.parametrize("allowed", [SHARED, f"any,{KNOWN}"])
async def test_connections_without_a_uuid_keep_no_one_out(allowed: str) -> None:
    async with (
        running_gateway(max_calls=2, allowed_peers=allowed) as harness,
        lines(harness, GUEST, 400) as strangers,
        lines(harness, KNOWN, 2) as known,
        lines(harness, OTHER_GUEST, 1) as honest,
    ):
        await until(lambda: sum(not each.ended.is_set() for each in strangers), lambda n: n <= PER_GUEST)
        assert not any(line.ended.is_set() for line in (*known, *honest))
        assert await begin(harness, honest[0])
        assert await begin(harness, known[0])


async def test_calls_of_guests_leave_half_of_the_places_to_known_pbxs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_gateway(max_calls=4, allowed_peers=SHARED) as harness:
        async with (
            lines(harness, GUEST, 10) as strangers,
            lines(harness, OTHER_GUEST, 10) as others,
            lines(harness, KNOWN, 3) as known,
        ):
            assert sum([await begin(harness, line) for line in (*strangers, *others)]) == 2
            assert [await begin(harness, line) for line in known] == [True, True, False]
            assert strangers[-1].frames == [Hangup()], "the dialplan goes on"
        assert "peer-limit: it has 1 calls" in caplog.text
        assert "list its address by itself in ALLOWED_PEERS" in caplog.text
        await harness.wait_for_calls(0)
        async with lines(harness, GUEST, 1) as again:
            assert await begin(harness, again[0]), "places are free again"


async def test_a_place_is_free_only_when_its_connection_is_closed() -> None:
    async with (
        running_gateway(max_calls=2, allowed_peers=SHARED) as harness,
        lines(harness, GUEST, 3) as (first, second, third),
    ):
        assert await begin(harness, first)
        agent = await harness.simulator.wait_for_conversation(1)
        await agent.connection.close(1000)
        await until(lambda: first.hung_up)
        await harness.wait_for_calls(0)
        assert not await begin(harness, second), "the first connection lingers"
        first.writer.close()
        await until(lambda: harness.gateway._server._admission.guests.calls, operator.not_)
        assert await begin(harness, third)


async def test_a_guest_has_a_rate_of_new_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests_module, "ALL_CALLS_AT_ONCE", 3)
    monkeypatch.setattr(guests_module, "ALL_CALLS_PER_S", 0.001)
    async with (
        running_gateway(max_calls=100, allowed_peers=SHARED) as harness,
        lines(harness, GUEST, 6) as strangers,
        lines(harness, KNOWN, 6) as known,
    ):
        assert [await begin(harness, line) for line in strangers] == [True] * 3 + [False] * 3
        assert strangers[-1].frames == [Hangup()], "the dialplan goes on"
        assert all([await begin(harness, line) for line in known])


async def test_a_guest_has_a_rate_of_new_connections(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guests_module, "CONNECTIONS_AT_ONCE", 3)
    monkeypatch.setattr(guests_module, "CONNECTIONS_PER_S", 0.001)
    async with (
        running_gateway(max_calls=100, allowed_peers=SHARED) as harness,
        lines(harness, GUEST, 6) as strangers,
        lines(harness, OTHER_GUEST, 1) as other,
        lines(harness, KNOWN, 6) as known,
    ):
        await until(lambda: sum(line.ended.is_set() for line in strangers), lambda count: count == 3)
        assert all([await begin(harness, line) for line in (*other, *known)])
        assert len(harness.gateway._server._connections) == 3 + 1 + 6
    assert "it opens over 0.001 connections a second; if it is your PBX, list its address" in caplog.text


@pytest.mark.parametrize(("allowed", "is_told"), [("any", True), (SHARED, False), ("", False)])
async def test_without_a_known_pbx_the_start_says_what_to_list(
    allowed: str, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running_gateway(allowed_peers=parse_networks(allowed)):
        assert ("list your PBX" in caplog.text) is is_told


async def test_without_allowed_peers_this_machine_is_no_guest() -> None:
    async with running_gateway(max_calls=1) as harness, lines(harness, GUEST, 1) as (line,):
        assert await begin(harness, line)
        assert harness.gateway._server._admission.guests.calls == 0


async def test_all_guests_wait_for_set_ups_in_one_queue() -> None:
    """Calls of many addresses take no more turns from a known PBX than those of one."""
    async with (
        running_gateway(allowed_peers=SHARED) as harness,
        lines(harness, GUEST, 1) as guest,
        lines(harness, OTHER_GUEST, 1) as other,
        lines(harness, KNOWN, 1) as known,
    ):
        assert all([await begin(harness, line) for line in (*guest, *other, *known)])
        queues = {each.host: each.queue for each in harness.gateway._server._connections}
        assert queues[GUEST] == queues[OTHER_GUEST] != queues[KNOWN]


# Signed UUIDs


@pytest.fixture
def secret() -> Settings:
    return Settings(uuid_secret=SECRET)


async def test_only_a_signed_uuid_begins_a_call(secret: Settings, caplog: pytest.LogCaptureFixture) -> None:
    assert secret.uuid_secret is not None
    async with (
        running_gateway(uuid_secret=SECRET) as harness,
        lines(harness, KNOWN, 4) as (unsigned, signed, replayed, unused),
    ):
        assert not await begin(harness, unsigned, uuid4())
        assert unsigned.frames == [Hangup()]
        assert "uuid-invalid: its UUID is not signed with UUID_SECRET" in caplog.text
        uuid = new_signed_uuid(secret.uuid_secret)
        assert await begin(harness, signed, uuid)
        await harness.simulator.wait_for_conversation(1)
        signed.writer.close()
        await harness.wait_for_calls(0)
        replayed.identify(uuid)
        await replayed.ended.wait()
        assert "its UUID was used before" in caplog.text
        assert len(harness.simulator.conversations) == 1
        assert SECRET not in caplog.text
        assert not unused.ended.is_set()


async def test_a_call_that_found_no_place_may_come_again_with_its_uuid(secret: Settings) -> None:
    assert secret.uuid_secret is not None
    async with (
        running_gateway(max_calls=1, uuid_secret=SECRET) as harness,
        lines(harness, KNOWN, 2) as (first, second),
    ):
        uuid = new_signed_uuid(secret.uuid_secret)
        assert await begin(harness, first, new_signed_uuid(secret.uuid_secret))
        assert not await begin(harness, second, uuid)
        first.writer.close()
        await harness.wait_for_calls(0)
        async with lines(harness, KNOWN, 1) as (third,):
            assert await begin(harness, third, uuid)
