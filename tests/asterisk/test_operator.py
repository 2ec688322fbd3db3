"""What an operator sees of 31 calls agrees with Asterisk, and acts on the right one: by HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from tests.asterisk.lab import Lab
from tests.asterisk.test_control import LANDED, Talk, controlled, in_control, talk_on
from tests.harness.gateway import GatewayHarness

pytestmark = pytest.mark.asterisk

OTHERS = 30
"""Calls that Asterisk has nothing to do with: a simulated caller's."""

NUMBER = "4930123"
"""Of the caller who dials 5011."""


@asynccontextmanager
async def thirty_calls_and_one(lab: Lab, **settings: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Talk]]:
    """Yield a client of the HTTP surface, and the call of the real Asterisk."""
    async with controlled(lab, http_port=0, **settings) as harness, AsyncExitStack() as stack:
        await in_control(harness)
        others = [await stack.enter_async_context(await harness.line()) for _ in range(OTHERS)]
        for line in others:
            line.identify()
        for line in others:
            await harness.wait_for(events.AgentConnected, line.uuid)
        address = harness.gateway.http_address
        assert address is not None
        base = f"http://127.0.0.1:{address[1]}"
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client, asyncio.timeout(120):
            async with talk_on(lab, harness, "5011") as talk:
                yield client, talk
            await harness.wait_for(events.CallEnded)
            assert len(harness.of(events.CallEnded)) == 1, "no other call ended"


async def of_asterisk(client: httpx.AsyncClient, harness: GatewayHarness) -> dict[str, Any]:
    """Return the record of the call that came last: Asterisk's."""
    started = harness.of(events.CallStarted)[-1]
    await harness.wait_for(events.CallerIdentified, started.uuid)
    record: dict[str, Any] = (await client.get(f"/calls/{started.uuid}")).json()
    return record


async def test_what_is_shown_agrees_with_asterisk(lab: Lab) -> None:
    async with thirty_calls_and_one(lab) as (client, talk):
        calls = (await client.get("/calls")).json()["calls"]
        load = (await client.get("/load")).json()
        assert len(calls) == load["calls"] == OTHERS + 1
        record = await of_asterisk(client, talk.harness)
        assert record["uuid"] in {call["uuid"] for call in calls}
        # Asterisk's own list has the channel that the record names.
        rows = (await lab.cli("core show channels concise")).splitlines()
        (row,) = [row for row in rows if row.partition("!")[0] == record["channel"]]
        assert "!AudioSocket!" in row
        assert record["dialled_number"] == "5001"  # where 5011 goes on
        for told in ("/calls", f"/calls/{record['uuid']}", "/metrics", "/history", "/load"):
            assert NUMBER not in (await client.get(told)).text, told
        assert record["caller_number"].endswith(NUMBER[-3:])
        metrics = (await client.get("/metrics")).text
        active = re.findall(r"^audiosocket_gw_calls_active(?:\{.*\})? ([\d.]+)$", metrics, re.MULTILINE)
        assert sum(map(float, active)) == OTHERS + 1


async def test_numbers_are_shown_where_the_setting_says_so(lab: Lab) -> None:
    async with thirty_calls_and_one(lab, caller_numbers="shown") as (client, talk):
        assert (await of_asterisk(client, talk.harness))["caller_number"] == f"+{NUMBER}"


async def test_an_operator_transfers_the_right_caller(lab: Lab) -> None:
    async with thirty_calls_and_one(lab, transfer_destinations="sales=650@transfer-targets") as (
        client,
        talk,
    ):
        record = await of_asterisk(client, talk.harness)
        refused = await client.post(f"/calls/{record['uuid']}/transfer", json={"destination": "110"})
        assert refused.status_code == 422
        accepted = await client.post(f"/calls/{record['uuid']}/transfer", json={"destination": "sales"})
        assert accepted.status_code == 202
        await talk.watch.logged(LANDED)
        ended = await talk.harness.wait_for(events.CallEnded)
        assert (str(ended.uuid), ended.reason) == (record["uuid"], EndReason.TRANSFERRED)
        transfers = (await client.get(f"/calls/{record['uuid']}")).json()["transfers"]
        assert [(transfer["name"], transfer["outcome"]) for transfer in transfers][-1] == ("sales", "done")


async def test_an_operator_hangs_up_the_right_caller(lab: Lab) -> None:
    async with thirty_calls_and_one(lab) as (client, talk):
        record = await of_asterisk(client, talk.harness)
        assert (await client.post(f"/calls/{record['uuid']}/hangup")).status_code == 202
        await talk.handset.ended.wait()
        ended = await talk.harness.wait_for(events.CallEnded)
        assert (str(ended.uuid), ended.reason) == (record["uuid"], EndReason.OPERATOR_HANGUP)
