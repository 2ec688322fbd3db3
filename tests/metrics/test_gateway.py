"""What a gateway shows of real calls, between a simulated agent and Asterisk's side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from prometheus_client.values import MutexValue

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.metrics.metrics import CONTENT_TYPE
from audiosocket_gw.server.refusals import Refusal
from tests.harness.audio import ramp
from tests.harness.call import CallHarness, ControlledCall, arrive, pbx
from tests.harness.gateway import GatewayHarness, running_gateway
from tests.harness.waiting import until
from tests.metrics.figures import Scraped, scrape

PLACE = {"agent": "agent", "pbx": "unknown"}


async def scraped(harness: GatewayHarness) -> Scraped:
    return await scrape(harness.gateway.metrics)


def refused(harness: GatewayHarness) -> int:
    return sum(harness.gateway._server.refusals.counts.values())


async def hold(harness: GatewayHarness, end: Callable[[CallHarness], Awaitable[object]]) -> None:
    """Hold a call that ends somehow."""
    line, agent = await harness.call()
    async with line:
        await end(CallHarness(harness, line, agent))
        await harness.wait_for(events.CallEnded, line.uuid)


async def hang_up(call: CallHarness) -> None:
    await call.line.__aexit__()


async def speak_and_be_interrupted(call: CallHarness) -> None:
    """Let the agent say something, and something of which the caller hears a part."""
    call.agent.begin_reply()
    await call.agent.send_audio(ramp(200))
    await call.harness.wait_for(events.ReplyFinished, call.line.uuid)
    call.agent.begin_reply()
    await call.agent.send_audio(ramp(20_000))
    await call.line.hears_ms(400)
    await call.agent.interrupt()
    await call.harness.wait_for(events.Interrupted, call.line.uuid)
    await hang_up(call)


async def use_tools(call: CallHarness) -> None:
    assert (await call.use("avr_transfer", transfer_extension="0900123456")).is_error
    assert (await call.use("avr_transfer", transfer_extension="0900123457")).is_error
    assert (await call.use("does_not_exist")).is_error
    await hang_up(call)


async def test_a_scripted_set_of_calls_is_counted_exactly() -> None:
    async with running_gateway(http_port=0, plan_concurrency=30) as harness:
        await hold(harness, hang_up)
        await hold(harness, speak_and_be_interrupted)
        await hold(harness, use_tools)
        await hold(harness, lambda call: call.use("avr_hangup"))
        await hold(harness, lambda call: call.agent.connection.close(3008, "too many concurrent"))
        await hold(harness, lambda call: call.agent.connection.close(1002, "This request exceeds your quota"))
        await harness.wait_for_calls(0)
        line, _ = await harness.call()
        async with line:
            found = await scraped(harness)
            address = harness.gateway.http_address
            assert address is not None
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"http://127.0.0.1:{address[1]}/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert Scraped(answer.text).of("calls_total") == found.of("calls_total")

    ended = (
        ("completed", EndReason.CALLER_HANGUP, 3),
        ("completed", EndReason.AGENT_HANGUP, 1),
        ("busy", EndReason.AGENT_BUSY, 1),
        ("quota", EndReason.AGENT_QUOTA, 1),
    )
    assert found.of("calls_total") == {
        frozenset({"result": result, "reason": reason, **PLACE}.items()): count
        for result, reason, count in ended
    }
    assert sum(found.of("ends_total").values()) == 6
    assert found.value("call_seconds_count") == 6
    assert found.value("calls_active", **PLACE) == 1
    assert found.value("ready") == 1
    assert found.value("plan_concurrency_limit") == 30
    assert found.value("setup_seconds_count", step="connect") == 7
    assert found.value("setup_seconds_count", step="metadata") == 7
    assert found.value("first_audio_seconds_count") == 1
    assert found.value("turns_total", agent="agent") == 2
    assert found.value("interruptions_total", by="agent") == 1
    heard_ms = sum(event.heard_ms for event in harness.of(events.CallEnded)[:6])
    discarded_ms = sum(event.discarded_ms for event in harness.of(events.Interrupted))
    assert heard_ms >= 400
    assert discarded_ms > 0
    assert found.value("heard_seconds_total") == pytest.approx(heard_ms / 1000)
    assert found.value("discarded_seconds_total") == pytest.approx(discarded_ms / 1000)
    assert found.of("transfers_total") == {frozenset({("outcome", "refused"), ("destination", "unnamed")}): 2}
    assert found.of("tool_calls_total") == {
        frozenset({("tool", "avr_transfer"), ("outcome", "error")}): 2,
        frozenset({("tool", "other"), ("outcome", "error")}): 1,
        frozenset({("tool", "avr_hangup"), ("outcome", "ok")}): 1,
    }
    assert found.value("tool_seconds_count", tool="avr_transfer") == 2
    assert found.value("leave_seconds_count", kind="hangup") == 1
    assert found.of("agent_closes_total") == {
        frozenset({("code", "3008")}): 1,
        frozenset({("code", "1002")}): 1,
    }
    assert found.value("frame_lateness_seconds_count") > 0
    assert not found.of("calls_refused_total")
    assert not found.of("silent_calls_total")


async def test_a_transfer_and_the_actions_that_it_takes() -> None:
    async with (
        pbx(transfer_destinations="sales=600@transfer-targets") as (fake, harness),
        await arrive(fake, harness) as line,
    ):
        agent = await harness.simulator.wait_for_conversation(1)
        await harness.wait_for(events.AgentConnected)
        call = ControlledCall(harness, line, agent, fake)
        await call.use("avr_transfer", transfer_extension="sales")
        await until(lambda: fake.actions("Redirect"))
        call.lands()
        await harness.wait_for(events.TransferDecided)
        found = await scraped(harness)
    assert found.value("transfers_total", outcome="done", destination="sales") == 1
    assert found.value("leave_seconds_count", kind="transfer") == 1
    assert found.value("calls_active", agent="agent", pbx="127.0.0.1") == 1
    assert found.value("ami_connected", pbx="127.0.0.1") == 1
    assert found.value("ami_actions_total", action="Redirect", outcome="ok") == 1
    assert found.value("ami_seconds_count", action="Redirect") == 1
    assert found.value("ami_actions_total", action="Login", outcome="ok") == 1


async def test_a_call_beyond_the_limit_is_refused_and_the_gateway_is_not_ready() -> None:
    async with running_gateway(max_calls=1) as harness:
        first, _ = await harness.call()
        async with first:
            async with await harness.line() as second:
                second.identify()
                await until(lambda: second.hung_up)
            found = await scraped(harness)
            assert found.value("calls_refused_total", reason=Refusal.FULL) == 1
            assert found.value("ready") == 0
            assert found.value("calls_max") == 1
        await harness.wait_for_calls(0)
        assert (await scraped(harness)).value("ready") == 1


async def test_peers_without_a_call_are_refused_by_what_is_wrong_with_them() -> None:
    async with running_gateway(handshake_timeout=0.05) as harness:
        async with await harness.line() as _, await harness.line() as wrong:
            wrong.send(b"GET / HTTP/1.1\r\n\r\n")
            await until(lambda: refused(harness) == 2)
        line, _ = await harness.call()
        async with line, await harness.line() as same:
            same.identify(line.uuid)
            await until(lambda: same.hung_up)
        found = await scraped(harness)
    assert found.value("calls_refused_total", reason=Refusal.HANDSHAKE) == 3


async def test_frames_touch_no_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only events do: here the agent's pings, each with the sum and a bucket of a histogram."""
    changes = 0
    change: Callable[[MutexValue, float], None] = MutexValue.inc

    def count(value: MutexValue, amount: float) -> None:
        nonlocal changes
        changes += 1
        change(value, amount)

    async with running_gateway() as harness:
        line, _ = await harness.call()
        async with line:
            await line.receives(5)
            monkeypatch.setattr(MutexValue, "inc", count)
            seen = len(harness.events)
            for _ in range(50):
                line.say(ramp(20))
            await line.receives(100)
            happened = harness.events[seen:]
            assert changes == 2 * len(happened)
            assert {type(event) for event in happened} <= {events.AgentPinged}


async def test_a_drain_can_be_watched_until_its_last_call() -> None:
    async with running_gateway(drain_timeout=30) as harness:
        line, _ = await harness.call()
        stopping = asyncio.ensure_future(harness.gateway._drain())
        await until(lambda: harness.gateway._server.is_stopping)
        found = await scraped(harness)
        assert (found.value("draining"), found.value("ready")) == (1, 0)
        assert found.value("calls_active", **PLACE) == 1
        await line.__aexit__()
        await stopping
        assert (await scraped(harness)).value("calls_active", **PLACE) == 0


async def test_a_silent_agent_is_counted_while_its_call_is_up() -> None:
    async with running_gateway(silent_agent_seconds=0.2) as harness:
        line, _ = await harness.call()
        async with line:
            await harness.wait_for(events.AgentSilent)
            found = await scraped(harness)
    assert found.value("silent_calls_total", agent="agent") == 1
    assert found.value("calls_active", **PLACE) == 1
