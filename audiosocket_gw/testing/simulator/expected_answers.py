"""The agent's open requests to the client: pings, tool calls, approvals."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from audiosocket_gw.errors import RemoteProtocolError
from audiosocket_gw.testing.simulator.client_messages import McpApproval, ToolResult
from audiosocket_gw.testing.simulator.server_messages import Message


@dataclass(slots=True)
class ToolCall:
    """An open tool call; ``result`` is valid when ``answered`` is set."""

    name: str
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    result: ToolResult | None = None

    def answer(self, result: ToolResult) -> None:
        """Set the result, and wake the waiting task."""
        self.result = result
        self.answered.set()


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping, sent at the loop time ``sent_at``."""

    sent_at: float
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class ExpectedAnswers:
    """The requests of one conversation. Each answer must match an open one.

    The methods that take an answer raise `RemoteProtocolError` if it matches none.
    """

    def __init__(self) -> None:
        self.pings: dict[int, Ping] = {}
        """Unanswered pings, by event id."""
        self.tool_calls: dict[str, ToolCall] = {}
        """Tool calls by ``tool_call_id``; a call without one is at ``""``."""
        self.mcp_calls: dict[str, ToolCall] = {}
        """By ``tool_call_id``."""
        self.ping_ms: int | None = None
        """The latency of the last pong."""

    def add(self, message: Message, now: float) -> None:
        """Record a message before it is sent; most need no answer."""
        match message:
            case {"type": "ping", "ping_event": {"event_id": int(event_id)}}:
                self.pings[event_id] = Ping(now)
            case {"type": "client_tool_call", "client_tool_call": {"tool_name": str(name)} as call}:
                self.tool_calls[call.get("tool_call_id", "")] = ToolCall(name)
            case {
                "type": "mcp_tool_call",
                "mcp_tool_call": {
                    "tool_call_id": str(ident),
                    "tool_name": str(name),
                    "state": "awaiting_approval",
                },
            }:
                self.mcp_calls.setdefault(ident, ToolCall(name))

    def receive_pong(self, event_id: int, now: float) -> None:
        """Receive a pong."""
        ping = self.pings.pop(event_id, None)
        if ping is None:
            raise RemoteProtocolError(f"a pong with event_id {event_id}, which no ping is waiting for")
        self.ping_ms = round((now - ping.sent_at) * 1000)
        ping.answered.set()

    def call_of_result(self, result: ToolResult) -> ToolCall:
        """Return the open call that ``result`` answers."""
        call = self.tool_calls.get(result.tool_call_id)
        if call is None:
            raise RemoteProtocolError(
                f"a result for tool_call_id {result.tool_call_id!r}, which was never called"
            )
        if call.answered.is_set():
            raise RemoteProtocolError(f"a second result for tool_call_id {result.tool_call_id!r}")
        return call

    def call_of_approval(self, approval: McpApproval) -> ToolCall:
        """Return the open MCP call that ``approval`` answers."""
        call = self.mcp_calls.get(approval.tool_call_id)
        if call is None:
            raise RemoteProtocolError(
                f"an approval for tool_call_id {approval.tool_call_id!r}, which awaits none"
            )
        if call.answered.is_set():
            raise RemoteProtocolError(f"a second approval for tool_call_id {approval.tool_call_id!r}")
        return call
