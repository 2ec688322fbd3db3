"""One conversation from start to end: reads and checks the client's messages, and runs the timers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from typing import Any, assert_never

from audiosocket_gw.audio import AudioFormat, Converter, Encoding, ulaw_to_linear
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
from audiosocket_gw.testing.simulator.scenario import Metadata, Mode, QueueAt
from audiosocket_gw.testing.simulator.simulated_agent import SimulatedAgent
from audiosocket_gw.testing.simulator.turn import Close

logger = logging.getLogger(__name__)

_BACKGROUND_MS = 250


class Session:
    """Runs one conversation according to its scenario."""

    def __init__(self, agent: SimulatedAgent) -> None:
        self._agent = agent
        self._connection = agent.connection
        self._log = agent.log
        self._scenario = scenario = agent.scenario
        self._input_format = AudioFormat.parse(scenario.input_format)
        self._wants: Initiation | None = None
        self._first_message = asyncio.Event()
        self._admitted = False
        self._last_input_at = agent.now()
        self._dialogue = Dialogue(agent) if scenario.mode == Mode.CONVERSATION else None
        self._echo = Converter(self._input_format, agent.output_format)

    async def run(self) -> None:
        """Run the conversation until it ends."""
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
            await self._connection.ended.wait()
            for task in tasks:
                task.cancel()

    # How it starts.

    async def _act(self) -> None:
        queued_first = self._scenario.queue_at == QueueAt.BEFORE_METADATA
        if queued_first:
            await self._first_message.wait()
            await self._wait_in_queue()
        if not queued_first or self._scenario.queue[-1:] == ("admitted",):
            await self._announce()
        if not self._agent.announced.is_set() and not queued_first:
            return
        if not queued_first:
            await self._wait_in_queue()
        if self._scenario.close_at_start is not None:
            await self._agent.end(self._scenario.close_at_start)
            return
        self._admitted = True
        if self._dialogue is not None:
            await self._dialogue.run()

    async def _announce(self) -> None:
        scenario, agent = self._scenario, self._agent
        if scenario.metadata == Metadata.NEVER:
            return
        if scenario.metadata != Metadata.AT_ONCE:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._first_message.wait(), scenario.metadata_wait_s)
        if scenario.metadata == Metadata.NOT_JSON:
            await self._connection.send_text("conversation_initiation_metadata")
        elif scenario.metadata == Metadata.MALFORMED:
            await agent.send({"type": "conversation_initiation_metadata"})
        else:
            formats = scenario.output_format, scenario.input_format
            await agent.send(server_messages.metadata(agent.conversation_id, *formats))
        agent.announced.set()
        if self._wants is not None or scenario.metadata != Metadata.AT_ONCE:
            await self._check_initiation(self._wants or Initiation((), {}))

    async def _check_initiation(self, wants: Initiation) -> None:
        """Reject forbidden overrides and missing variables. This comes after the metadata."""
        for path in wants.overrides:
            if path not in self._scenario.overrides:
                name = path.rpartition(".")[2]
                reason = f"Override for field '{name}' is not allowed by config."
                await self._reject(path, reason, "override_error")
                return
        missing = [name for name in self._scenario.variables if name not in wants.variables]
        if missing:
            reason = f"Missing required dynamic variables: {', '.join(missing)}"
            await self._reject(reason, reason, "missing_dynamic_variable")

    async def _wait_in_queue(self) -> None:
        for status in self._scenario.queue:
            await self._agent.send(server_messages.queue_status(status))
            if status != "admitted":
                await asyncio.sleep(self._scenario.queue_wait_s)

    # What the client sends.

    async def _read(self) -> None:
        connection = self._connection
        while not connection.ended.is_set():
            text = await connection.receive_text()
            if connection.ended.is_set():
                return
            try:
                await self._receive(text)
            except RemoteProtocolError as error:
                await self._reject(str(error), "Invalid message received", "invalid_message")

    async def _reject(self, violation: str, reason: str, error_type: str, code: int = 1008) -> None:
        logger.warning("%s: the client broke the protocol: %s", self._agent.conversation_id, violation)
        self._log.violations.append(violation)
        close = Close(code=code, reason=reason, error=self._scenario.error_events, error_type=error_type)
        await self._agent.end(close, debug_message=violation)

    async def _receive(self, text: str | None) -> None:
        if text is None:
            raise RemoteProtocolError("a binary WebSocket message; all messages are text")
        data = client_messages.decode(text)
        message = client_messages.parse(data)
        now = self._agent.now()
        self._first_message.set()
        if not isinstance(message, Pong):
            self._last_input_at = now
        if isinstance(message, UserAudio):
            await self._receive_audio(message.audio)
            return
        self._log.add_received(data, now)
        match message:
            case Pong(event_id):
                self._agent.expected.receive_pong(event_id, now)
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
        agent = self._agent
        if not agent.announced.is_set() and not self._scenario.early_audio:
            raise RemoteProtocolError("audio before the metadata: the client can't know the format yet")
        if len(audio) % self._input_format.sample_bytes:
            raise RemoteProtocolError(f"{len(audio)} bytes of {self._input_format} end in half a sample")
        self._log.add_received_audio(audio, agent.now())
        if not self._admitted:
            return
        if self._dialogue is not None:
            ulaw = self._input_format.encoding is Encoding.ULAW
            await self._dialogue.hear(ulaw_to_linear(audio) if ulaw else audio)
        elif self._scenario.mode == Mode.ECHO:
            echo = self._echo.convert(audio)
            if echo:  # for a few samples the resampler has no output yet
                await agent.send_audio(echo)

    async def _receive_initiation(self, data: dict[str, Any], initiation: Initiation) -> None:
        if self._wants is not None:
            raise RemoteProtocolError("a second conversation_initiation_client_data")
        self._log.initiation = data
        self._wants = initiation
        if self._agent.announced.is_set():
            await self._check_initiation(initiation)

    async def _receive_tool_result(self, result: ToolResult) -> None:
        agent = self._agent
        call = agent.expected.call_of_result(result)
        self._log.tool_results.append(result)
        await agent.send(
            server_messages.agent_tool_response(
                call.name, result.tool_call_id, "client", result.is_error, agent.event_id
            )
        )
        call.answer(result)

    async def _receive_approval(self, approval: McpApproval) -> None:
        call_id = approval.tool_call_id
        call = self._agent.expected.call_of_approval(approval)
        call.answer(ToolResult(call_id, "", is_error=not approval.is_approved))
        state = "success" if approval.is_approved else "failure"
        await self._agent.send(server_messages.mcp_tool_call(call.name, call_id, {}, state))

    # What happens by the clock.

    async def _play_background(self) -> None:
        """Send noise in real time whenever no reply is playing."""
        agent = self._agent
        if self._scenario.background_dbfs is None:
            return
        await agent.announced.wait()
        noise = prompts.noise(_BACKGROUND_MS, self._scenario.background_dbfs, agent.output_format)
        begun_at = agent.now()
        for number in itertools.count(1):
            if agent.playing_until - agent.now() < _BACKGROUND_MS / 1000:
                await agent.send_background(noise)
            await asyncio.sleep(begun_at + number * _BACKGROUND_MS / 1000 - agent.now())

    async def _ping(self) -> None:
        agent = self._agent
        await agent.announced.wait()
        for event_id in itertools.count(self._scenario.first_ping_id):
            next_at = agent.now() + self._scenario.ping_interval_s
            await agent.send(server_messages.ping(event_id, agent.expected.ping_ms))
            if self._scenario.pong_timeout_s:
                await self._await_pong(event_id)
            await asyncio.sleep(next_at - agent.now())

    async def _await_pong(self, event_id: int) -> None:
        ping = self._agent.expected.pings.get(event_id)
        if ping is None:  # Nothing is sent any more.
            return
        try:
            await asyncio.wait_for(ping.answered.wait(), self._scenario.pong_timeout_s)
        except TimeoutError:
            violation = f"no pong for ping {event_id} within {self._scenario.pong_timeout_s:g} s"
            await self._reject(violation, "Ping was not answered", "asyncio_timeout", code=1002)

    async def _watch_input(self) -> None:
        left = self._scenario.input_timeout_s
        while left > 0:
            await asyncio.sleep(left)
            left = self._last_input_at + self._scenario.input_timeout_s - self._agent.now()
        reason = f"No user input for {self._scenario.input_timeout_s:g} seconds"
        await self._reject(reason, reason, "transport_receive_timeout", code=1002)

    async def _watch_duration(self) -> None:
        await asyncio.sleep(self._scenario.max_duration_s)
        await self._agent.end(self._scenario.max_duration_close)
