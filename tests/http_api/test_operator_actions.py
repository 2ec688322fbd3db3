"""What an operator does to a call: the way of the tools and keys, with their allow-list and hand-over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from audiosocket_gw.end_reasons import EndReason
from tests.harness.audio import ramp
from tests.harness.call import CHANNEL, ControlledCall, controlled
from tests.http_api.served import served, url_of

DESTINATIONS = {"transfer_destinations": "sales=600@transfer-targets"}


@asynccontextmanager
async def operated(**settings: Any) -> AsyncIterator[tuple[ControlledCall, httpx.AsyncClient, str]]:
    """Yield a call whose Asterisk has a manager interface, a client, and the path of the call."""
    async with (
        controlled(**({"http_port": 0} | DESTINATIONS | settings)) as call,
        httpx.AsyncClient(base_url=url_of(call.harness.gateway), trust_env=False, timeout=30) as client,
    ):
        yield call, client, f"/calls/{call.line.uuid}"


async def test_a_transfer_to_a_named_destination_reaches_the_callers_channel() -> None:
    async with operated() as (call, client, path):
        await call.agent.send_audio(ramp(20_000))
        answer = await client.post(f"{path}/transfer", json={"destination": "sales"})
        assert (answer.status_code, answer.json()) == (202, {"accepted": "transfer"})
        order = await call.pbx.came("Redirect")
        assert (order["Channel"], order["Exten"], order["Context"]) == (CHANNEL, "600", "transfer-targets")
        call.lands()
        call.lets_go()
        assert (await call.ended()).reason is EndReason.TRANSFERRED
        record = (await client.get(path)).json()
        assert [(each["name"], each["outcome"]) for each in record["transfers"]] == [("sales", "done")]


async def test_the_caller_cannot_talk_an_operators_transfer_away() -> None:
    async with operated() as (call, client, path):
        await call.agent.send_audio(ramp(20_000))
        await client.post(f"{path}/transfer", json={"destination": "sales"})
        await call.agent.interrupt()
        await call.pbx.came("Redirect")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"destination": "support"}, "Possible destinations: sales"),
        ({"extension": "004930123456"}, "not allowed"),
        ({"extension": "600", "context": "from-internal"}, "not allowed"),
        ({"extension": "600\r\nAction: Originate"}, "not allowed"),
    ],
)
async def test_what_the_agent_may_not_do_an_operator_may_not_either(body: object, words: str) -> None:
    async with operated() as (call, client, path):
        answer = await client.post(f"{path}/transfer", json=body)
        assert answer.status_code == 422
        assert words in answer.json()["error"]
        assert not [action for action in call.pbx.received if action.get("Action") == "Redirect"]


async def test_a_second_action_is_a_conflict() -> None:
    async with operated() as (call, client, path):
        call.pbx.unanswered.add("Redirect")
        assert (await client.post(f"{path}/transfer", json={"destination": "sales"})).status_code == 202
        for second in (
            client.post(f"{path}/transfer", json={"destination": "sales"}),
            client.post(f"{path}/hangup"),
        ):
            answer = await second
            assert answer.status_code == 409
            assert "already" in answer.json()["error"]


async def test_two_transfers_at_the_same_moment() -> None:
    async with operated() as (_, client, path):
        answers = await asyncio.gather(
            *(client.post(f"{path}/transfer", json={"destination": "sales"}) for _ in range(2))
        )
        assert sorted(answer.status_code for answer in answers) == [202, 409]


async def test_a_manager_interface_that_is_down_is_no_fault_of_the_request() -> None:
    async with operated() as (call, client, path):
        await call.pbx.stop()
        answer = await client.post(f"{path}/transfer", json={"destination": "sales"})
        assert answer.status_code == 503
        ready = (await client.get("/readyz")).json()
        assert ready["ready"] is True
        assert "manager interface of 127.0.0.1" in ready["warnings"][0]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 4_000, 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"destination": ""}', 422),
        (b'{"destination": 600}', 422),
        (b'{"destination": "sales", "extension": "600"}', 422),
        (b'{"context": "transfer-targets"}', 422),
        (b'{"extension": "' + b"6" * 101 + b'"}', 422),
    ],
)
async def test_a_body_of_another_form(content: bytes, status: int) -> None:
    async with served() as (harness, client):
        line, _ = await harness.call()
        answer = await client.post(f"/calls/{line.uuid}/transfer", content=content)
        assert answer.status_code == status
        assert '{"destination": "NAME"}' in answer.json()["error"]
        await line.__aexit__()


async def test_a_transfer_of_a_call_without_a_manager_interface() -> None:
    async with served(**DESTINATIONS) as (harness, client):
        line, _ = await harness.call()
        answer = await client.post(f"/calls/{line.uuid}/transfer", json={"destination": "sales"})
        assert answer.status_code == 422
        assert "not available on this line" in answer.json()["error"]
        assert (await client.post(f"/calls/{uuid4()}/transfer", content=b"")).status_code == 400
        await line.__aexit__()
