"""The agent's tool calls on a fake call: what runs, what is answered, and what a tool can do to its call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from audiosocket_gw import events
from audiosocket_gw.control.handover import Handover, State
from audiosocket_gw.control.mcp_approval import McpApproval
from audiosocket_gw.control.tool_calls import MAX_TOOLS_AT_ONCE, ToolCalls
from audiosocket_gw.control.transfer_policy import TransferPolicy
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.tools import ToolRegistry
from audiosocket_gw.tools.builtin import CallToolContext, avr_hangup
from tests.control.fake_call import FakeCall, call_tasks
from tests.harness.waiting import until


async def say_goodbye(context: CallToolContext) -> str:
    """A tool of the user's own that ends its call."""
    return f"{context.caller['caller_number']}: {await context.call.hang_up()}"


async def never_end() -> str:
    """Wait for ever."""
    await asyncio.Event().wait()
    return ""


@asynccontextmanager
async def tool_calls() -> AsyncIterator[tuple[FakeCall, Handover, ToolCalls]]:
    tools = ToolRegistry()
    for function in (say_goodbye, never_end, avr_hangup):
        tools.register(function)
    async with httpx.AsyncClient(trust_env=False) as http, call_tasks() as tasks:
        call = FakeCall()
        handover = Handover(call, TransferPolicy({}, None, ("queues",)), None, None, tasks)
        yield call, handover, ToolCalls(call, handover, tools, http, McpApproval(frozenset({"clock"})), tasks)


def asked(name: str, tool_call_id: str = "1") -> messages.ClientToolCall:
    return messages.ClientToolCall(tool_call_id=tool_call_id, name=name, parameters={})


async def answers(call: FakeCall, count: int) -> list[dict[str, Any]]:
    await until(lambda: len(call.sent) >= count, lambda: call.sent)
    return [json.loads(message) for message in call.sent]


async def test_tool_of_the_users_own_acts_on_its_call() -> None:
    async with tool_calls() as (call, handover, subject):
        subject.caller = {"caller_number": "100"}
        subject.receive(asked("say_goodbye"))
        (answer,) = await answers(call, 1)
        assert answer["result"].startswith("100: Accepted.")
        assert handover.state is State.LAST_WORDS
        assert [type(event) for event in call.events] == [events.ToolCalled, events.ToolAnswered]


async def test_hang_up_is_built_in() -> None:
    async with tool_calls() as (call, handover, subject):
        subject.receive(asked("avr_hangup"))
        await answers(call, 1)
        assert handover.state is State.LAST_WORDS


async def test_call_with_the_same_id_is_answered_once() -> None:
    async with tool_calls() as (call, _, subject):
        subject.receive(asked("unknown"))
        subject.receive(asked("unknown"))
        subject.receive(asked("unknown", "2"))
        ids = [answer["tool_call_id"] for answer in await answers(call, 2)]
        assert ids == ["1", "2"]


async def test_calls_without_an_id_are_each_answered() -> None:
    async with tool_calls() as (call, _, subject):
        subject.receive(asked("unknown", ""))
        subject.receive(asked("unknown", ""))
        assert len(await answers(call, 2)) == 2


async def test_one_more_than_the_limit_is_refused() -> None:
    async with tool_calls() as (call, _, subject):
        for number in range(MAX_TOOLS_AT_ONCE + 1):
            subject.receive(asked("never_end", str(number)))
        (answer,) = await answers(call, 1)
        assert (answer["tool_call_id"], answer["is_error"]) == (str(MAX_TOOLS_AT_ONCE), True)


async def test_nothing_begins_after_the_end() -> None:
    async with tool_calls() as (call, handover, subject):
        subject.close()
        subject.receive(asked("avr_hangup"))
        subject.receive_mcp(messages.McpToolCall(tool_call_id="1", name="clock", state="awaiting_approval"))
        await asyncio.sleep(0.01)
        assert handover.state is State.IDLE
        assert not call.sent


async def test_mcp_tool_that_waits_for_approval_is_decided_once() -> None:
    async with tool_calls() as (call, _, subject):
        for name, state in (("clock", "loading"), ("clock", "awaiting_approval"), ("clock", "success")):
            subject.receive_mcp(messages.McpToolCall(tool_call_id="1", name=name, state=state))
        subject.receive_mcp(messages.McpToolCall(tool_call_id="2", name="x", state="awaiting_approval"))
        decided = [answer["is_approved"] for answer in await answers(call, 2)]
        assert decided == [True, False]
