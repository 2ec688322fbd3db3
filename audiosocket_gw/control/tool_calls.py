"""The agent's tool calls: a task for each, a limit, and always one answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import httpx

from audiosocket_gw import events
from audiosocket_gw.control.controlled_call import ControlledCall
from audiosocket_gw.control.handover import Handover
from audiosocket_gw.control.mcp_approval import McpApproval
from audiosocket_gw.elevenlabs import client_messages, messages
from audiosocket_gw.errors import ToolFault
from audiosocket_gw.log.current_call import enter_call
from audiosocket_gw.tools import ToolRegistry
from audiosocket_gw.tools.builtin import CallActions, CallToolContext

logger = logging.getLogger("audiosocket_gw.control")

MAX_TOOLS_AT_ONCE = 8
"""Tools running at once in one call: an agent that starts more is in a loop."""

MAX_REMEMBERED = 1_000
"""Ids of tool calls: one that comes again after so many others is a new call."""

_FAULTS_OF_THE_TOOL = (ToolFault.FAILED, ToolFault.TIMED_OUT, ToolFault.BUSY)
"""Outcomes that its operator should look at."""


class ToolCalls:
    """Runs the tool calls of one call's agent. The call fills in ``caller`` later."""

    def __init__(
        self,
        call: ControlledCall,
        handover: Handover,
        tools: ToolRegistry,
        http: httpx.AsyncClient,
        mcp_approval: McpApproval,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.caller: Mapping[str, str] = {}
        self._call = call
        self._actions = CallActions(handover.transfer, handover.hang_up)
        self._tools = tools
        self._http = http
        self._mcp_approval = mcp_approval
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._asked: dict[str, None] = {}
        self._running = 0
        self._closed = False

    def receive(self, message: messages.ClientToolCall) -> None:
        """Run the tool in a task of its own, and answer the agent once."""
        call = self._call
        call.emit(events.ToolCalled(call.uuid, self._loop.time(), message.name, message.tool_call_id))
        if self._closed or message.tool_call_id in self._asked:
            return  # the same call again: answered once
        if message.tool_call_id:  # calls without an id can't be compared: each is a new one
            self._remember(message.tool_call_id)
        if self._running >= MAX_TOOLS_AT_ONCE:
            self._answer(message, "Too many tools are running. Wait for their results.", is_error=True)
            self._log_end(message.name, ToolFault.BUSY, self._loop.time())
            return
        self._running += 1
        self._tasks.create_task(self._run(message))

    def receive_mcp(self, message: messages.McpToolCall) -> None:
        """Approve or deny a waiting MCP tool, once: otherwise the agent would wait for minutes."""
        asked = f"MCP {message.tool_call_id}"  # MCP tools have their own ids
        if self._closed or not message.tool_call_id or asked in self._asked or message.state == "loading":
            return
        self._remember(asked)
        if message.state == "awaiting_approval":
            self._decide_mcp(message)

    def _remember(self, asked: str) -> None:
        self._asked[asked] = None
        if len(self._asked) > MAX_REMEMBERED:
            del self._asked[next(iter(self._asked))]

    def close(self) -> None:
        """Start no further tool."""
        self._closed = True

    async def _run(self, message: messages.ClientToolCall) -> None:
        enter_call(self._call.uuid)  # a message may be handled on another call's behalf
        context = CallToolContext(
            uuid=self._call.uuid, http=self._http, caller=self.caller, call=self._actions
        )
        began_at = self._loop.time()
        outcome: str = ToolFault.CANCELLED
        try:
            result = await self._tools.call(message.name, message.parameters, context)
            outcome = result.outcome
        finally:
            self._running -= 1
            self._log_end(message.name, outcome, began_at)
        self._answer(message, result.text, is_error=result.is_error)

    def _log_end(self, name: str, outcome: str, began_at: float) -> None:
        took_s = self._loop.time() - began_at
        level = (
            logging.WARNING if outcome in _FAULTS_OF_THE_TOOL or took_s > events.SLOW_TOOL_S else logging.INFO
        )
        logger.log(
            level,
            "call %s: tool=%.64s ended, outcome=%s ms=%.0f",
            self._call.uuid,
            name,
            outcome,
            took_s * 1000,
        )

    def _answer(self, message: messages.ClientToolCall, text: str, *, is_error: bool) -> None:
        call = self._call
        call.send_to_agent(client_messages.tool_result(message.tool_call_id, text, is_error=is_error))
        call.emit(
            events.ToolAnswered(
                call.uuid, self._loop.time(), message.name, message.tool_call_id, is_error=is_error
            )
        )

    def _decide_mcp(self, message: messages.McpToolCall) -> None:
        is_approved = self._mcp_approval.allows(message.name)
        logger.log(
            logging.INFO if is_approved else logging.WARNING,
            "call %s: MCP tool %.80r %s (MCP_APPROVAL=%s)",
            self._call.uuid,
            message.name,
            "approved" if is_approved else "denied",
            self._mcp_approval,
        )
        self._call.send_to_agent(client_messages.mcp_approval(message.tool_call_id, is_approved=is_approved))
