"""Probes, and what the gateway can take."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from audiosocket_gw import __version__
from audiosocket_gw.http_api.faults import line, show
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.wrong_now import Fault, Harm
from tests.harness.gateway_process import gateway_process
from tests.harness.waiting import until
from tests.http_api.served import served


async def test_an_idle_gateway_is_alive_and_ready() -> None:
    async with served() as (_, client):
        assert (await client.get("/healthz")).json() == {"status": "alive"}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "reasons": [], "warnings": []})
        assert (await client.head("/readyz")).status_code == 200


async def test_a_full_gateway_is_not_ready() -> None:
    async with served(max_calls=1) as (harness, client):
        line, _ = await harness.call()
        full = await client.get("/readyz")
        assert full.status_code == 503
        assert full.json()["reasons"] == ["full: MAX_CALLS calls are in progress"]
        await line.__aexit__()
        await harness.wait_for_calls(0)
        assert (await client.get("/readyz")).status_code == 200


async def test_an_overloaded_gateway_is_not_ready() -> None:
    async with served(refuse_overload=True) as (harness, client):
        harness.overload()
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["reasons"][0].partition(":")[0]) == (503, "overloaded")
        assert (await client.get("/load")).json()["load"]["admission"] == "reject"


async def test_a_clock_that_has_stopped_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as (harness, client):
        ticker = harness.gateway._server.context.ticker
        with ticker.attach(lambda: None):
            assert ticker._timer is not None
            ticker._timer.cancel()
            ticker._deadline = asyncio.get_running_loop().time() - 5
            answer = await client.get("/healthz")
            assert answer.status_code == 503
            assert "the clock of the calls stopped 5" in answer.json()["error"]


async def test_a_gateway_that_drains_says_so_until_it_ends() -> None:
    async with served(drain_timeout=30) as (harness, client):
        line, _ = await harness.call()
        stopping = asyncio.get_running_loop().create_task(harness.gateway.__aexit__(None, None, None))

        async def reasons() -> Any:
            return (await client.get("/readyz")).json()["reasons"]

        while not await reasons():
            await asyncio.sleep(0.01)
        assert await reasons() == ["draining: the gateway is stopping"]
        assert (await client.get("/calls")).json()["calls"][0]["uuid"] == str(line.uuid)
        await line.__aexit__()
        await stopping


async def test_what_the_gateway_can_take() -> None:
    async with served(max_calls=7, transfer_destinations="Sales=600@queues") as (harness, client):
        line, _ = await harness.call()
        load = (await client.get("/load")).json()
        assert (load["version"], load["calls"], load["max_calls"]) == (__version__, 1, 7)
        assert load["destinations"] == ["Sales"]
        assert load["ami"] == []
        assert load["load"]["batch_ms"] == 20
        await line.__aexit__()


async def test_what_is_wrong_now_is_told_by_the_load_and_by_the_probe() -> None:
    async with served(max_calls=1, ami_host="127.0.0.1:1", ami_password="x") as (harness, client):
        assert (await client.get("/readyz")).json()["ready"] is True  # what is wrong is no reason
        caller, _ = await harness.call()
        refused = await harness.line()
        refused.identify()
        await until(lambda: harness.gateway._server.refusals.counts["full"])
        load: Any = {"wrong_now": []}
        while len(load["wrong_now"]) < 2:  # it looks once a second
            await asyncio.sleep(0.05)
            load = (await client.get("/load")).json()
        full, manager = load["wrong_now"]
        assert (full["what"], full["why"]) == ("1 call refused", "MAX_CALLS=1 is reached")
        assert full["text"].startswith("1 call refused since ")
        assert full["text"].endswith(
            " UTC: MAX_CALLS=1 is reached. Raise MAX_CALLS, if the agent's plan and the machine allow it."
        )
        assert manager["what"] == "no connection to the manager interface of 127.0.0.1:1"
        warnings = (await client.get("/readyz")).json()["warnings"]
        assert warnings == [full["text"], manager["text"]]
        await refused.__aexit__()
        await caller.__aexit__()


async def test_a_process_serves_http_until_it_has_drained() -> None:
    async with gateway_process("--agent", "simulator", HTTP_PORT="0") as gateway:
        await gateway.logs("HTTP on 127.0.0.1:")
        port = gateway.log.partition("HTTP on 127.0.0.1:")[2].split()[0]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            assert (await client.get("/healthz")).status_code == 200
            gateway.send(signal.SIGTERM)
            assert await gateway.status() == 0
            with pytest.raises(httpx.TransportError):
                await client.get("/healthz")
    await until(lambda: not gateway.running)


def test_a_line_for_strangers_has_no_number_of_a_caller_and_says_when_it_was() -> None:
    begun = datetime(2026, 11, 25, 15, 22, 54, tzinfo=UTC).timestamp()
    why = "0301112222 isn't allowed."
    fault = Fault(
        Harm.TRANSFERS, "1", "transfer to 0301112222@out refused", begun, begun + 60, 1, "Do it.", why
    )
    assert line(fault) == (
        "transfer to ##########@out refused from 2026-11-25 15:22:54 to 15:23:54 UTC: "
        "########## isn't allowed. Do it."
    )
    assert "0301112222@out" in show(fault, CallerNumbers.SHOWN)["text"]
    now = time.time()
    assert line(replace(fault, since=now - 5, last=now)).startswith(
        "transfer to ##########@out refused since "
    )
