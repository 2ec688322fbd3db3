"""The agent's tool calls on a fake call: what runs, what is answered, and what a tool can do to its call."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from audiosocket_gw import events
from audiosocket_gw.control.handover import Handover, State
from audiosocket_gw.control.mcp_approval import McpApproval
from audiosocket_gw.control.tool_calls import MAX_REMEMBERED, MAX_TOOLS_AT_ONCE, ToolCalls
from audiosocket_gw.control.transfer_policy import TransferPolicy
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.errors import ToolError
from audiosocket_gw.tools import ToolRegistry, tool
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
async def tool_calls(mcp_approval: str = "clock") -> AsyncIterator[tuple[FakeCall, Handover, ToolCalls]]:
    tools = ToolRegistry()
    for function in (say_goodbye, never_end, avr_hangup, fail, refuse, dawdle, look_up, add):
        tools.register(function)
    async with httpx.AsyncClient(trust_env=False) as http, call_tasks() as tasks:
        call = FakeCall()
        handover = Handover(call, TransferPolicy({}, None, ("queues",)), None, None, tasks)
        approval = McpApproval.parse(mcp_approval)
        yield call, handover, ToolCalls(call, handover, tools, http, approval, tasks)


def asked(name: str, tool_call_id: str = "1") -> messages.ClientToolCall:
    return messages.ClientToolCall(tool_call_id=tool_call_id, name=name, parameters={})


async def answers(call: FakeCall, count: int) -> list[dict[str, Any]]:
    sent = await until(lambda: call.sent, lambda sent: len(sent) >= count)
    return [json.loads(message) for message in sent]


async def test_tool_of_the_users_own_acts_on_its_call() -> None:
    async with tool_calls() as (call, handover, subject):
        subject.caller = {"caller_number": "100"}
        subject.receive(asked("say_goodbye"))
        (answer,) = await answers(call, 1)
        assert answer["result"].startswith("100: Accepted.")
        assert handover.state is State.LAST_WORDS
        assert [type(event) for event in call.events] == [events.ToolCalled, events.ToolAnswered]


async def fail() -> str:
    """Fail."""
    raise KeyError("defect")


async def refuse() -> str:
    """Say no."""
    raise ToolError("Closed today.")


@tool(timeout_s=0.05)
async def dawdle() -> str:
    """Take too long."""
    await asyncio.Event().wait()
    return ""


async def look_up() -> str:
    """Ask a slow service."""
    await asyncio.sleep(events.SLOW_TOOL_S + 0.1)
    return "nothing"


async def add(a: int) -> int:
    """Add.

    Args:
        a: A number.
    """
    return a + 1


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("name", "outcome", "level"),
    [
        ("say_goodbye", "failed", logging.WARNING),
        ("fail", "failed", logging.WARNING),
        ("refuse", "error", logging.INFO),
        ("dawdle", "timed-out", logging.WARNING),
        ("look_up", "ok", logging.WARNING),
        ("add", "bad-arguments", logging.INFO),
        ("avr_hangup", "ok", logging.INFO),
        ("missing", "unknown-tool", logging.INFO),
    ],
)
async def test_the_end_of_a_tool_is_a_line(
    name: str, outcome: str, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="audiosocket_gw.control")
    async with tool_calls() as (call, _, calls):
        calls.receive(asked(name))
        await answers(call, 1)
    (record,) = [record for record in caplog.records if "outcome=" in record.message]
    assert record.levelno == level
    assert re.fullmatch(
        rf"call {call.uuid}: tool={name} ended, outcome={outcome} ms=\d+", record.getMessage()
    )


async def test_a_tool_whose_call_ends_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="audiosocket_gw.control")
    async with tool_calls() as (_, _, calls):
        calls.receive(asked("never_end"))
        await asyncio.sleep(0)
    assert "tool=never_end ended, outcome=cancelled ms=" in caplog.text


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
        subject.receive(asked("unknown"))
        for _ in range(3):
            subject.receive(asked("unknown", ""))
        assert [answer["tool_call_id"] for answer in await answers(call, 4)] == ["1", "", "", ""]


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


@pytest.mark.parametrize(
    ("setting", "is_approved", "line"),
    [
        ("deny", False, "MCP tool 'book' denied (MCP_APPROVAL=deny)"),
        ("allow", True, "MCP tool 'book' approved (MCP_APPROVAL=allow)"),
        ("cancel,book", True, "MCP tool 'book' approved (MCP_APPROVAL=book,cancel)"),
        ("cancel", False, "MCP tool 'book' denied (MCP_APPROVAL=cancel)"),
    ],
)
async def test_decision_on_an_mcp_tool_is_logged_with_the_setting(
    setting: str, is_approved: bool, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with tool_calls(setting) as (call, _, subject):
        subject.receive_mcp(messages.McpToolCall("book", "1", "awaiting_approval"))
        (answer,) = await answers(call, 1)
    assert answer == {
        "type": "mcp_tool_approval_result",
        "tool_call_id": "1",
        "is_approved": is_approved,
    }
    assert line in caplog.text


async def test_mcp_tool_is_answered_once_and_never_when_it_is_over() -> None:
    asked_again = ("loading", "awaiting_approval", "awaiting_approval", "success", "awaiting_approval")
    async with tool_calls() as (call, _, subject):
        for ident, states in {
            "asked twice": asked_again,
            "over": ("loading", "failure", "awaiting_approval"),
            "done": ("success", "awaiting_approval"),
            "waits": ("awaiting_approval",),
            "": ("awaiting_approval",),
            "of tomorrow": ("thinking",),
        }.items():
            for state in states:
                subject.receive_mcp(messages.McpToolCall("book", ident, state))
        subject.receive(asked("unknown", "last"))
        found = [(answer["tool_call_id"], answer.get("is_approved")) for answer in await answers(call, 3)]
        assert found == [("asked twice", False), ("waits", False), ("last", None)]


async def test_ids_are_not_remembered_for_ever() -> None:
    async with tool_calls() as (_, _, subject):
        for number in range(10 * MAX_REMEMBERED):
            subject.receive_mcp(messages.McpToolCall("clock", str(number), "success"))
        assert len(subject._asked) == MAX_REMEMBERED
