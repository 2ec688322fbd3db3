from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audiosocket_gw.testing.simulator import Close, Scenario, Tool, Turn, load_scenario
from audiosocket_gw.testing.simulator.scenario import BargeIn
from audiosocket_gw.testing.simulator.turn import ToolsAt
from tests.testing.simulator.client import MANUAL, QUIET, Client, beep, conversing

LOOK_UP = Tool("look_up", {"number": "7"})


def using(
    folder: Path, *tools: Tool, at: ToolsAt = ToolsAt.DURING_SPEECH, close: Close | None = None
) -> Scenario:
    greeting = Turn(
        say=beep(folder, 100, "announcement"),
        tools=tools,
        tools_at=at,
        say_after_tools=beep(folder, name="success"),
        say_after_failed_tools=beep(folder, name="failure"),
        close=close,
    )
    return replace(QUIET, greeting=greeting)


async def answer(client: Client, call: dict[str, Any], *, is_error: bool = False) -> None:
    ident = call["client_tool_call"]["tool_call_id"]
    await client.send(
        {"type": "client_tool_result", "tool_call_id": ident, "result": "done", "is_error": is_error}
    )


async def next_words(client: Client) -> str:
    return str((await client.until("agent_response"))["agent_response_event"]["agent_response"])


@pytest.mark.parametrize(("is_error", "said"), [(False, "success"), (True, "failure")])
async def test_the_reply_depends_on_the_result(tmp_path: Path, is_error: bool, said: str) -> None:
    async with conversing(using(tmp_path, LOOK_UP)) as (simulator, client):
        assert await next_words(client) == "announcement"
        call = await client.until("client_tool_call")
        event = call["client_tool_call"]
        assert (event["tool_name"], event["parameters"], event["event_id"]) == ("look_up", {"number": "7"}, 1)
        await answer(client, call, is_error=is_error)
        trace = (await client.until("agent_tool_response"))["agent_tool_response"]
        assert (trace["tool_name"], trace["tool_type"], trace["is_error"]) == ("look_up", "client", is_error)
        assert await next_words(client) == said
        assert client.audio_events[-1]["event_id"] == 2
        (result,) = simulator.conversations[0].log.tool_results
    assert (result.tool_call_id, result.result, result.is_error) == (event["tool_call_id"], "done", is_error)


async def test_no_result_in_time_is_a_failure_and_a_late_one_is_taken(tmp_path: Path) -> None:
    async with conversing(using(tmp_path, replace(LOOK_UP, timeout_s=0.05))) as (simulator, client):
        call = await client.until("client_tool_call")
        assert await next_words(client) == "failure"
        await answer(client, call)
        await client.until("agent_tool_response")
        assert len(simulator.conversations[0].log.tool_results) == 1


async def test_parallel_calls_are_answered_in_any_order(tmp_path: Path) -> None:
    async with conversing(using(tmp_path, LOOK_UP, Tool("book"))) as (_, client):
        first = await client.until("client_tool_call")
        second = await client.until("client_tool_call")
        assert first["client_tool_call"]["tool_call_id"] != second["client_tool_call"]["tool_call_id"]
        await answer(client, second)
        await answer(client, first)
        assert await next_words(client) == "success"


async def test_a_result_comes_once(tmp_path: Path) -> None:
    async with conversing(using(tmp_path, LOOK_UP, Tool("book"))) as (simulator, client):
        call = await client.until("client_tool_call")
        await answer(client, call)
        await answer(client, call)
        assert (await client.until_closed())[0] == 1008
        assert "a second result" in simulator.conversations[0].log.violations[0]


async def test_a_tool_without_response_is_not_waited_for(tmp_path: Path) -> None:
    async with conversing(using(tmp_path, replace(LOOK_UP, expects_response=False))) as (_, client):
        await client.until("client_tool_call")
        assert await next_words(client) == "success"


async def test_the_close_can_follow_the_call_at_once(tmp_path: Path) -> None:
    scenario = using(tmp_path, replace(LOOK_UP, expects_response=False), close=Close(1000, "Bye"))
    async with conversing(scenario) as (_, client):
        assert await client.until_closed() == (1000, "Bye")
    assert "client_tool_call" in client.types()


async def test_tools_can_be_called_before_the_agent_speaks(tmp_path: Path) -> None:
    async with conversing(using(tmp_path, LOOK_UP, at=ToolsAt.BEFORE_SPEECH)) as (_, client):
        call = await client.until("client_tool_call")
        assert not client.audio
        await answer(client, call)
        assert await next_words(client) == "announcement"
        assert await next_words(client) == "success"


async def test_tools_can_be_called_when_the_agent_has_spoken(tmp_path: Path) -> None:
    async with conversing(using(tmp_path, LOOK_UP, at=ToolsAt.AFTER_SPEECH)) as (simulator, client):
        await client.until("client_tool_call")
        conversation = simulator.conversations[0]
        called_at = next(at for at, message in conversation.log.sent if message["type"] == "client_tool_call")
        assert called_at >= conversation.log.sent_audio_sizes[0][0] + 0.1


async def test_who_interrupts_the_announcement_stops_the_tool(tmp_path: Path) -> None:
    scenario = using(tmp_path, LOOK_UP, at=ToolsAt.AFTER_SPEECH)
    slow = replace(scenario, greeting=replace(scenario.greeting, say=beep(tmp_path, 3_000, "long")))
    async with conversing(slow) as (_, client):
        await client.until("agent_response")
        await client.say_something()
        await client.until("user_transcript")
    assert "client_tool_call" not in client.types()


async def test_a_audio_plays_while_the_tool_runs_until_an_interruption_with_a_lower_id(
    tmp_path: Path,
) -> None:
    scenario = replace(using(tmp_path, LOOK_UP), barge_in=BargeIn.TOOL_AUDIO)
    async with conversing(scenario) as (simulator, client):
        call = await client.until("client_tool_call")
        await client.until("audio")
        assert len(client.audio) == 1_600 + 16_000
        await answer(client, call)
        interruption = await client.until("interruption")
        assert interruption["interruption_event"]["event_id"] == 0
        assert await next_words(client) == "success"
        assert simulator.conversations[0].playing_until < simulator.conversations[0].now() + 1


@pytest.mark.parametrize(
    ("name", "tool", "parameters"),
    [("transfer", "avr_transfer", {"transfer_extension": "201"}), ("hangup", "avr_hangup", {})],
)
async def test_the_shipped_scenarios_call_the_gateways_tools(
    name: str, tool: str, parameters: object
) -> None:
    scenario = replace(load_scenario(name), greeting=Turn(), silence_ms=40, think_s=0)
    async with conversing(scenario) as (_, client):
        await client.until("ping")
        await client.say_something()
        call = (await client.until("client_tool_call"))["client_tool_call"]
        assert (call["tool_name"], call["parameters"]) == (tool, parameters)
        await answer(client, {"client_tool_call": call}, is_error=True)
        assert (await next_words(client)).startswith("I am sorry")


async def test_a_tool_called_by_hand_can_be_answered() -> None:
    async with conversing(MANUAL) as (simulator, client):
        conversation = await simulator.wait_for_conversation()
        await conversation.announced.wait()
        call = await conversation.call_tool("by_hand", {"a": 1})
        await answer(client, await client.until("client_tool_call"))
        async with asyncio.timeout(5):
            await call.answered.wait()
        assert call.result is not None
        assert call.result.result == "done"
