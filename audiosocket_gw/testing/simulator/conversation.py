"""One conversation with the simulated agent, on one WebSocket: what it checks, keeps, sends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never

from starlette.websockets import WebSocket

from audiosocket_gw.audio import AudioFormat, Encoding, ulaw_to_linear
from audiosocket_gw.errors import RemoteProtocolError
from audiosocket_gw.testing.simulator import client_messages, prompts, server_messages
from audiosocket_gw.testing.simulator.client_messages import (
    Initiation,
    McpApproval,
    Other,
    Pong,
    ToolResult,
    UserAudio,
    UserText,
)
from audiosocket_gw.testing.simulator.dialogue import Dialogue
from audiosocket_gw.testing.simulator.scenario import (
    Alignment,
    BargeIn,
    Close,
    Ending,
    ErrorEvent,
    Metadata,
    Mode,
    Noise,
    QueueAt,
    Scenario,
)
from audiosocket_gw.testing.simulator.server_messages import Message
from audiosocket_gw.testing.simulator.websocket import WebSocketConnection

logger = logging.getLogger(__name__)

_BACKGROUND_MS = 250


@dataclass(slots=True)
class ToolCall:
    """A tool call on its way; ``result`` is there when ``answered`` is set."""

    name: str
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    result: ToolResult | None = None


@dataclass(frozen=True, slots=True)
class _Ping:
    sent_at: float
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class Conversation(WebSocketConnection):
    """The agent's side of one conversation. Tests look into it, and drive it, above all in the manual mode.

    All times are loop times, in seconds.
    """

    def __init__(
        self,
        websocket: WebSocket,
        scenario: Scenario,
        agent_id: str,
        conversation_id: str,
        *,
        record: bool = True,
    ) -> None:
        """``record``: keep the audio and the messages; without it they are forgotten at once."""
        super().__init__(websocket, conversation_id)
        self.agent_id = agent_id
        self.conversation_id = conversation_id
        self.scenario = scenario
        self.input_format = AudioFormat.parse(scenario.input_format)
        self.output_format = AudioFormat.parse(scenario.output_format)

        self.initiation: Message | None = None
        """The ``conversation_initiation_client_data`` message, as it came."""
        self.received_audio = bytearray()
        self.received_audio_sizes: list[tuple[float, int]] = []
        self.received: list[tuple[float, Message]] = []
        """All JSON messages of the client but audio."""
        self.sent_audio = bytearray()
        self.sent_audio_sizes: list[tuple[float, int]] = []
        self.sent: list[tuple[float, Message]] = []
        """All messages to the client but the audio of `send_audio`."""
        self.tool_results: list[ToolResult] = []
        self.violations: list[str] = []
        """What the client did wrong, for people."""

        self.announced = asyncio.Event()
        """The metadata is out."""

        self.event_id = 1
        """The id of the present reply. The first is 1: the Python client never plays 0."""
        self.playing_until = 0.0
        """When the caller has heard all that was sent, if it is played without a gap and without delay."""

        self._record = record
        self._event_id_is_new = True
        self._wants: Initiation | None = None
        self._first_message = asyncio.Event()
        self._admitted = False
        self._last_input_at = self.now()
        self._tool_calls: dict[str, ToolCall] = {}
        self._mcp_calls: dict[str, ToolCall] = {}
        self._pings: dict[int, _Ping] = {}
        self._ping_ms: int | None = None
        self._dialogue = Dialogue(self) if scenario.mode == Mode.CONVERSATION else None

    @staticmethod
    def now() -> float:
        """Return the loop time, in seconds."""
        return asyncio.get_running_loop().time()

    # What the agent does; tests may do it as well.

    async def send(self, message: Message) -> None:
        """Send any message. Pings and tool calls sent in this way may be answered like all others."""
        if self.gone:
            return
        match message:
            case {"type": "ping", "ping_event": {"event_id": int(event_id)}}:
                self._pings[event_id] = _Ping(self.now())
            case {"type": "client_tool_call", "client_tool_call": {"tool_name": str(name)} as call}:
                self._tool_calls[call.get("tool_call_id", "")] = ToolCall(name)
            case {
                "type": "mcp_tool_call",
                "mcp_tool_call": {
                    "tool_call_id": str(ident),
                    "tool_name": str(name),
                    "state": "awaiting_approval",
                },
            }:
                self._mcp_calls.setdefault(ident, ToolCall(name))
        if self._record:
            self.sent.append((self.now(), message))
        await self._send_json(message)

    async def send_audio(self, audio: bytes, *, event_id: int | None = None, text: str = "") -> None:
        """Send ``audio``, in the output format and of any length, in one message of the present reply.

        ``text`` is what the alignment, when the scenario wants one, says that it says.
        """
        if self.gone:
            return
        now = self.now()
        self.playing_until = max(now, self.playing_until) + self.seconds_of(audio)
        if self._record:
            self.sent_audio += audio
            self.sent_audio_sizes.append((now, len(audio)))
        alignment = self.scenario.alignment
        if alignment == Alignment.FULL and not text:
            alignment = Alignment.NULL
        ms = round(self.seconds_of(audio) * 1000)
        ident = self.event_id if event_id is None else event_id
        padded = Noise.UNPADDED_AUDIO not in self.scenario.noise
        await self._send_json(server_messages.audio(audio, ident, text, ms, alignment, padded=padded))

    async def interrupt(self) -> None:
        """Tell the client to drop what it hasn't played; audio sent from now on belongs to the next reply."""
        interrupted_id = self.event_id
        self.event_id = 1 if self.scenario.restart_ids else self.event_id + 1
        self._event_id_is_new = True
        self.playing_until = min(self.playing_until, self.now())
        new = self.scenario.barge_in == BargeIn.NEW_ID
        await self.send(server_messages.interruption(interrupted_id + 1 if new else interrupted_id))

    def begin_reply(self) -> None:
        """Give what is sent from now on a new event id, unless an interruption has just done so."""
        if not self._event_id_is_new:
            self.event_id += 1
        self._event_id_is_new = False

    async def call_tool(self, name: str, parameters: Mapping[str, Any]) -> ToolCall:
        """Send a tool call and return what will hold its answer."""
        tool_call_id = f"{name}_{len(self._tool_calls) + 1}_{self.conversation_id[-8:]}"
        await self.send(server_messages.client_tool_call(name, tool_call_id, parameters, self.event_id))
        return self._tool_calls.get(tool_call_id) or ToolCall(name)

    async def call_tool_without_id(self, name: str, parameters: Mapping[str, Any]) -> ToolCall:
        """Send a tool call without ``tool_call_id``, and return what will hold its answer."""
        await self.send(server_messages.client_tool_call(name, None, parameters, self.event_id))
        return self._tool_calls.get("") or ToolCall(name)

    async def call_mcp_tool(self, name: str, parameters: Mapping[str, Any]) -> ToolCall:
        """Ask for approval of an MCP tool and return what will hold the answer; denied, it is an error."""
        tool_call_id = f"mcp_{len(self._mcp_calls) + 1}_{self.conversation_id[-8:]}"
        for state in ("loading", "awaiting_approval"):
            await self.send(server_messages.mcp_tool_call(name, tool_call_id, parameters, state))
        return self._mcp_calls.get(tool_call_id) or ToolCall(name)

    async def end(self, close: Close, debug_message: str = "") -> None:
        """End the conversation in the way that ``close`` says (not when: that is up to the caller)."""
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
            case Ending.CLOSE:
                await self.close(close.code, close.reason)
            case Ending.DROP:
                await self.drop()
            case Ending.GARBAGE:
                await self.send_garbage()
            case _:
                assert_never(close.how)

    def seconds_of(self, audio: bytes) -> float:
        """Return how long ``audio``, in the output format, lasts."""
        return len(audio) / (self.output_format.rate * self.output_format.sample_bytes)

    # The conversation as a whole.

    async def run(self) -> None:
        """Hold the conversation until it has ended."""
        workers = (
            self._read,
            self._act,
            self._ping,
            self._watch_input,
            self._watch_duration,
            self._play_background,
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(worker()) for worker in workers]
            await self.ended.wait()
            for task in tasks:
                task.cancel()

    async def _send_json(self, message: Message) -> None:
        if Noise.EXTRA_FIELDS in self.scenario.noise:
            message = {"sequence": 7, **message, "field_of_a_later_version": {"nested": [None, 1.5]}}
        await self.send_text(json.dumps(message))

    async def _act(self) -> None:
        queued_first = self.scenario.queue_at == QueueAt.BEFORE_METADATA
        if queued_first:
            await self._first_message.wait()
            await self._wait_in_queue()
        if not queued_first or self.scenario.queue[-1:] == ("admitted",):
            await self._announce()
        if not self.announced.is_set() and not queued_first:
            return
        if not queued_first:
            await self._wait_in_queue()
        if self.scenario.close_at_start is not None:
            await self.end(self.scenario.close_at_start)
            return
        self._admitted = True
        if self._dialogue is not None:
            await self._dialogue.run()

    async def _announce(self) -> None:
        scenario = self.scenario
        if scenario.metadata == Metadata.NEVER:
            return
        if scenario.metadata != Metadata.AT_ONCE:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._first_message.wait(), scenario.metadata_wait_s)
        if scenario.metadata == Metadata.NOT_JSON:
            await self.send_text("conversation_initiation_metadata")
        elif scenario.metadata == Metadata.MALFORMED:
            await self.send({"type": "conversation_initiation_metadata"})
        else:
            formats = scenario.output_format, scenario.input_format
            await self.send(server_messages.metadata(self.conversation_id, *formats))
        self.announced.set()
        if self._wants is not None or scenario.metadata != Metadata.AT_ONCE:
            await self._check_initiation(self._wants or Initiation((), {}))

    async def _check_initiation(self, wants: Initiation) -> None:
        """Refuse an override that isn't allowed, or too few variables. It comes after the metadata."""
        for path in wants.overrides:
            if path not in self.scenario.overrides:
                name = path.rpartition(".")[2]
                reason = f"Override for field '{name}' is not allowed by config."
                await self._reject(path, reason, "override_error")
                return
        missing = [name for name in self.scenario.variables if name not in wants.variables]
        if missing:
            reason = f"Missing required dynamic variables: {', '.join(missing)}"
            await self._reject(reason, reason, "missing_dynamic_variable")

    async def _wait_in_queue(self) -> None:
        for status in self.scenario.queue:
            await self.send(server_messages.queue_status(status))
            if status != "admitted":
                await asyncio.sleep(self.scenario.queue_wait_s)

    # What the client sends.

    async def _read(self) -> None:
        while not self.ended.is_set():
            text = await self.receive_text()
            if self.ended.is_set():
                return
            try:
                await self._receive(text)
            except RemoteProtocolError as error:
                await self._reject(str(error), "Invalid message received", "invalid_message")

    async def _reject(self, violation: str, reason: str, error_type: str, code: int = 1008) -> None:
        logger.warning("%s: the client broke the protocol: %s", self.conversation_id, violation)
        self.violations.append(violation)
        close = Close(code=code, reason=reason, error=self.scenario.error_events, error_type=error_type)
        await self.end(close, debug_message=violation)

    async def _receive(self, text: str | None) -> None:
        if text is None:
            raise RemoteProtocolError("a binary WebSocket message; all messages are text")
        data = client_messages.decode(text)
        message = client_messages.parse(data)
        self._first_message.set()
        if not isinstance(message, Pong):
            self._last_input_at = self.now()
        if isinstance(message, UserAudio):
            await self._receive_audio(message.audio)
            return
        if self._record:
            self.received.append((self.now(), data))
        match message:
            case Pong(event_id):
                self._receive_pong(event_id)
            case Initiation():
                await self._receive_initiation(data, message)
            case ToolResult():
                await self._receive_tool_result(message)
            case McpApproval():
                await self._receive_approval(message)
            case UserText(said) if self._dialogue is not None and self._admitted:
                await self._dialogue.read(said)
            case UserText() | Other():
                pass
            case _:
                assert_never(message)

    async def _receive_audio(self, audio: bytes) -> None:
        if not self.announced.is_set() and not self.scenario.early_audio:
            raise RemoteProtocolError("audio before the metadata: the client can't know the format yet")
        if len(audio) % self.input_format.sample_bytes:
            raise RemoteProtocolError(f"{len(audio)} bytes of {self.input_format} end in half a sample")
        if self._record:
            self.received_audio += audio
            self.received_audio_sizes.append((self.now(), len(audio)))
        if not self._admitted:
            return
        if self._dialogue is not None:
            ulaw = self.input_format.encoding is Encoding.ULAW
            await self._dialogue.hear(ulaw_to_linear(audio) if ulaw else audio)
        elif self.scenario.mode == Mode.ECHO:
            await self.send_audio(prompts.convert(audio, self.input_format, self.output_format))

    def _receive_pong(self, event_id: int) -> None:
        ping = self._pings.pop(event_id, None)
        if ping is None:
            raise RemoteProtocolError(f"a pong with event_id {event_id}, which no ping is waiting for")
        self._ping_ms = round((self.now() - ping.sent_at) * 1000)
        ping.answered.set()

    async def _receive_initiation(self, data: dict[str, Any], initiation: Initiation) -> None:
        if self.initiation is not None:
            raise RemoteProtocolError("a second conversation_initiation_client_data")
        self.initiation = data
        self._wants = initiation
        if self.announced.is_set():
            await self._check_initiation(initiation)

    async def _receive_tool_result(self, result: ToolResult) -> None:
        call_id, is_error = result.tool_call_id, result.is_error
        call = self._tool_calls.get(call_id)
        if call is None:
            raise RemoteProtocolError(f"a result for tool_call_id {call_id!r}, which was never called")
        if call.answered.is_set():
            raise RemoteProtocolError(f"a second result for tool_call_id {call_id!r}")
        self.tool_results.append(result)
        await self.send(
            server_messages.agent_tool_response(call.name, call_id, "client", is_error, self.event_id)
        )
        call.result = result
        call.answered.set()

    async def _receive_approval(self, approval: McpApproval) -> None:
        call_id = approval.tool_call_id
        call = self._mcp_calls.get(call_id)
        if call is None:
            raise RemoteProtocolError(f"an approval for tool_call_id {call_id!r}, which awaits none")
        if call.answered.is_set():
            raise RemoteProtocolError(f"a second approval for tool_call_id {call_id!r}")
        call.result = ToolResult(call_id, "", is_error=not approval.is_approved)
        call.answered.set()
        state = "success" if approval.is_approved else "failure"
        await self.send(server_messages.mcp_tool_call(call.name, call_id, {}, state))

    # What happens by the clock.

    async def _play_background(self) -> None:
        """Send noise at the pace at which it is heard, wherever no reply is playing."""
        if self.scenario.background_dbfs is None:
            return
        await self.announced.wait()
        noise = prompts.noise(_BACKGROUND_MS, self.scenario.background_dbfs, self.output_format)
        begun_at = self.now()
        for number in itertools.count(1):
            if self.playing_until - self.now() < _BACKGROUND_MS / 1000:
                message = server_messages.audio(noise, self.event_id, "", _BACKGROUND_MS, Alignment.ABSENT)
                await self._send_json(message)
            await asyncio.sleep(begun_at + number * _BACKGROUND_MS / 1000 - self.now())

    async def _ping(self) -> None:
        await self.announced.wait()
        for event_id in itertools.count(self.scenario.first_ping_id):
            next_at = self.now() + self.scenario.ping_interval_s
            await self.send(server_messages.ping(event_id, self._ping_ms))
            if self.scenario.pong_timeout_s:
                await self._await_pong(event_id)
            await asyncio.sleep(next_at - self.now())

    async def _await_pong(self, event_id: int) -> None:
        ping = self._pings.get(event_id)
        if ping is None:  # Nothing is sent any more.
            return
        try:
            await asyncio.wait_for(ping.answered.wait(), self.scenario.pong_timeout_s)
        except TimeoutError:
            violation = f"no pong for ping {event_id} within {self.scenario.pong_timeout_s:g} s"
            await self._reject(violation, "Ping was not answered", "asyncio_timeout", code=1002)

    async def _watch_input(self) -> None:
        left = self.scenario.input_timeout_s
        while left > 0:
            await asyncio.sleep(left)
            left = self._last_input_at + self.scenario.input_timeout_s - self.now()
        reason = f"No user input for {self.scenario.input_timeout_s:g} seconds"
        await self._reject(reason, reason, "transport_receive_timeout", code=1002)

    async def _watch_duration(self) -> None:
        await asyncio.sleep(self.scenario.max_duration_s)
        await self.end(self.scenario.max_duration_close)
