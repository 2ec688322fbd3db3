"""The agent of one conversation: what it sends, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, assert_never

from audiosocket_gw.audio import AudioFormat
from audiosocket_gw.testing.simulator import server_messages
from audiosocket_gw.testing.simulator.conversation_log import ConversationLog
from audiosocket_gw.testing.simulator.expected_answers import ExpectedAnswers, ToolCall
from audiosocket_gw.testing.simulator.scenario import Alignment, BargeIn, Noise, Scenario
from audiosocket_gw.testing.simulator.server_messages import Message
from audiosocket_gw.testing.simulator.turn import Close, Disconnect, ErrorEvent
from audiosocket_gw.testing.simulator.websocket import WebSocketConnection


class SimulatedAgent:
    """Sends what the dialogue, or a test in manual mode, requests; `log` has what both sides sent.

    All times are loop times, in seconds.
    """

    def __init__(
        self,
        connection: WebSocketConnection,
        scenario: Scenario,
        agent_id: str,
        conversation_id: str,
        *,
        record: bool = True,
    ) -> None:
        """``record``: keep the audio and the messages in the log."""
        self.connection = connection
        self.scenario = scenario
        self.agent_id = agent_id
        self.conversation_id = conversation_id
        self.output_format = AudioFormat.parse(scenario.output_format)
        self.log = ConversationLog(record=record)
        self.expected = ExpectedAnswers()
        self.announced = asyncio.Event()
        """Set when the metadata has been sent."""
        self.event_id = 1
        """The id of the current reply. The first is 1: the Python client never plays 0."""
        self.playing_until = 0.0
        """When the caller has heard everything that was sent, if it is played without gap and delay."""
        self._event_id_is_new = True

    @staticmethod
    def now() -> float:
        """Return the loop time, in seconds."""
        return asyncio.get_running_loop().time()

    async def send(self, message: Message) -> None:
        """Send any message. Pings and tool calls sent this way may be answered like all others."""
        if self.connection.gone:
            return
        now = self.now()
        self.expected.add(message, now)
        self.log.add_sent(message, now)
        await self._send_json(message)

    async def send_audio(self, audio: bytes, *, event_id: int | None = None, text: str = "") -> None:
        """Send ``audio``, in the output format and of any length, in one message of the current reply.

        ``text`` is the text of the alignment, if the scenario has one.
        """
        if self.connection.gone:
            return
        now = self.now()
        seconds = self.output_format.seconds_of(audio)
        self.playing_until = max(now, self.playing_until) + seconds
        self.log.add_sent_audio(audio, now)
        alignment = self.scenario.alignment
        if alignment == Alignment.FULL and not text:
            alignment = Alignment.NULL
        ident = self.event_id if event_id is None else event_id
        padded = Noise.UNPADDED_AUDIO not in self.scenario.noise
        ms = round(seconds * 1000)
        await self._send_json(server_messages.audio(audio, ident, text, ms, alignment, padded=padded))

    async def send_background(self, audio: bytes) -> None:
        """Send ``audio`` that is not part of a reply; it is not logged."""
        ms = round(self.output_format.seconds_of(audio) * 1000)
        await self._send_json(server_messages.audio(audio, self.event_id, "", ms, Alignment.ABSENT))

    async def interrupt(self) -> None:
        """Make the client drop what it hasn't played; later audio belongs to the next reply."""
        interrupted_id = self.event_id
        self.event_id = 1 if self.scenario.restart_ids else self.event_id + 1
        self._event_id_is_new = True
        self.playing_until = min(self.playing_until, self.now())
        new = self.scenario.barge_in == BargeIn.NEW_ID
        await self.send(server_messages.interruption(interrupted_id + 1 if new else interrupted_id))

    def begin_reply(self) -> None:
        """Start a new event id, unless an interruption has just done so."""
        if not self._event_id_is_new:
            self.event_id += 1
        self._event_id_is_new = False

    async def call_tool(self, name: str, parameters: Mapping[str, Any], *, with_id: bool = True) -> ToolCall:
        """Send a tool call and return it; ``with_id``: it has a ``tool_call_id``."""
        calls = self.expected.tool_calls
        tool_call_id = f"{name}_{len(calls) + 1}_{self.conversation_id[-8:]}" if with_id else None
        await self.send(server_messages.client_tool_call(name, tool_call_id, parameters, self.event_id))
        return calls.get(tool_call_id or "") or ToolCall(name)

    async def call_mcp_tool(self, name: str, parameters: Mapping[str, Any]) -> ToolCall:
        """Ask for approval of an MCP tool and return the call; a denial is an error."""
        calls = self.expected.mcp_calls
        tool_call_id = f"mcp_{len(calls) + 1}_{self.conversation_id[-8:]}"
        for state in ("loading", "awaiting_approval"):
            await self.send(server_messages.mcp_tool_call(name, tool_call_id, parameters, state))
        return calls.get(tool_call_id) or ToolCall(name)

    async def end(self, close: Close, debug_message: str = "") -> None:
        """End the conversation as ``close`` says, now."""
        if close.guardrail:
            await self.send({"type": "guardrail_triggered"})
        if close.end_call:
            call_id = f"end_call_{self.conversation_id[-8:]}"
            await self.send(
                server_messages.agent_tool_response("end_call", call_id, "system", False, self.event_id)
            )
        if close.error != ErrorEvent.NONE:
            error = server_messages.error(
                close.error, close.code, close.reason, close.error_type, debug_message
            )
            await self.send(error)
        match close.how:
            case Disconnect.CLOSE:
                await self.connection.close(close.code, close.reason)
            case Disconnect.DROP:
                await self.connection.drop()
            case Disconnect.GARBAGE:
                await self.connection.send_garbage()
            case _:
                assert_never(close.how)

    async def _send_json(self, message: Message) -> None:
        if Noise.EXTRA_FIELDS in self.scenario.noise:
            message = {"sequence": 7, **message, "field_of_a_later_version": {"nested": [None, 1.5]}}
        await self.connection.send_text(json.dumps(message))
