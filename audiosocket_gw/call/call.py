"""One call: the tasks, deadlines and sockets around a `Conversation`.

`Call.run` is the life of the call; when it returns, nothing of it is left. Work per frame is done in
`Call.tick`, every 20 ms, in `Call.caller_audio`, and in the handler of the agent's messages: each feeds the
conversation and delivers its output.
"""

from __future__ import annotations

import asyncio
import logging
from traceback import clear_frames
from uuid import UUID

from audiosocket_gw import events
from audiosocket_gw.ami.result import CallResult
from audiosocket_gw.call.agent_setup import AgentSetup
from audiosocket_gw.call.caller_format import CallerFormatReport
from audiosocket_gw.call.caller_leg import CallerLeg
from audiosocket_gw.call.caller_lookup import CallerLookup
from audiosocket_gw.call.connect_agent import send_buffered
from audiosocket_gw.call.context import CallContext
from audiosocket_gw.call.conversation import CALLER_GAP_TICKS, Conversation
from audiosocket_gw.call.end_report import EndReport
from audiosocket_gw.call.log import log_notice
from audiosocket_gw.call.outputs import (
    CallerAudioBegan,
    CallerFormatChanged,
    Drained,
    EndDecided,
    LastWordsOver,
    Output,
)
from audiosocket_gw.call.screening import Screening
from audiosocket_gw.causes import Cause
from audiosocket_gw.control.actions import Actions
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.elevenlabs.connection import AgentConnection
from audiosocket_gw.elevenlabs.setup_steps import SetupSteps
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import AgentError, CallRejected
from audiosocket_gw.protocol.audiosocket import Audio
from audiosocket_gw.tap import Tap, Taps, with_tap

logger = logging.getLogger("audiosocket_gw.call")


class _Over(Exception):
    """Ends the task group of a call."""


class Call:
    """A caller and an agent in conversation, from the UUID frame to the last frame."""

    def __init__(self, uuid: UUID, leg: CallerLeg, context: CallContext) -> None:
        self._loop = loop = asyncio.get_running_loop()
        started = events.CallStarted(uuid, loop.time(), leg.peer)
        self.uuid = uuid
        self._leg = leg
        self._context = context
        self._load = context.load
        options, hold_audio = context.settings.conversation_options, context.hold_audio()
        self._conversation = Conversation(started, options, hold_audio, loop.time, context.load.batch_frames)
        self.playout = self._conversation.agent_audio.playout
        self._tap: Tap | None = Taps(context.taps, started) if context.taps else None
        self.emit = with_tap(context.observe, self._tap)
        """Passes an event to the observers."""
        self._agent: AgentConnection | None = None
        self._control = context.pbxs.find(leg.host)
        self._result = CallResult(self._control, uuid) if self._control is not None else None
        self._end_report = EndReport(self._result)
        self.actions: Actions | None = None  # while it is in progress
        audio = self._conversation.caller_audio
        self._caller_format = CallerFormatReport(uuid, audio, self._tap, self.emit, loop.time)
        self._screening = Screening(context.settings)
        steps = SetupSteps(uuid, self.emit, loop.time)
        lookup = CallerLookup(
            uuid, self._control, self._result, context.settings, self._screening, steps, self.emit
        )
        self._setup = AgentSetup(
            context, leg.queue, self._screening, lookup, self._caller_format, steps, self._tap
        )
        self._cap_timer: asyncio.TimerHandle | None = None
        self._end_decided: asyncio.Future[CallEnd] = loop.create_future()
        self._drained: asyncio.Future[None] = loop.create_future()
        self._last_words: asyncio.Future[bool] | None = None

    def __repr__(self) -> str:
        return f"<call {self.uuid}: {self._conversation}>"

    # Life

    async def run(self) -> None:
        """Run the call until it ends, and clean up."""
        self._deliver()
        lifecycle = self._conversation.lifecycle
        end: CallEnd | None = None
        try:
            with self._context.ticker.attach(self.tick) as clock:
                end = await self._live()
        finally:
            self._hang_up_caller()
            if self._cap_timer is not None:
                self._cap_timer.cancel()
            self.actions = None
            if self._result is not None:
                self._result.close()
            end = end or lifecycle.ending or CallEnd(EndReason.INTERNAL_ERROR, "the call was cancelled")
            now = self._loop.time()
            missing = self._conversation.audio_to_agent.missing_frames
            self.emit(events.FrameFigures(self.uuid, now, clock.late, clock.skipped, missing))
            lifecycle.close(end, now)
            self._deliver()

    async def _live(self) -> CallEnd:
        try:
            async with asyncio.TaskGroup() as tasks:
                actions = self.actions = Actions(
                    self, self._control, self._result, self._context.services, tasks
                )
                if seconds := self._context.settings.max_call_seconds:
                    self._cap_timer = self._loop.call_later(seconds, self._reach_cap, seconds)
                tasks.create_task(self._converse(tasks, actions))
                end = await self._until_end_is_decided()
                actions.close()
                if end.reason is EndReason.CALLER_HANGUP:
                    end = await actions.handover.released() or end
                await asyncio.wait([self._drained])
                await self._end_report.send(end, caller_present=self._conversation.lifecycle.caller_present)
                self._hang_up_caller()  # a tool may take some time to stop
                raise _Over
        except* _Over as over:
            # Python 3.11's TaskGroup leaves a reference cycle of frame and exception, which holds the call.
            clear_frames(over.__traceback__)
        except* Exception as group:  # noqa: BLE001 (see _defect)
            self._defect(group)
            self._deliver()
            end = await self._until_end_is_decided()
            await self._end_report.send(end, caller_present=self._conversation.lifecycle.caller_present)
        await self._end_report.finish()
        return end

    async def _until_end_is_decided(self) -> CallEnd:
        await asyncio.wait([self._end_decided])  # `await` would pass a cancellation on to the future
        return self._end_decided.result()

    def _reach_cap(self, seconds: float) -> None:
        """End the call; a transfer or hang-up that has begun may finish first."""
        end = CallEnd(EndReason.MAX_DURATION, f"the call lasted {seconds:g} s (MAX_CALL_SECONDS)")
        self._conversation.lifecycle.end_after_handover(end, self._loop.time())
        self._deliver()

    def _hang_up_caller(self) -> None:
        if self._conversation.lifecycle.caller_present:
            self._conversation.lifecycle.hang_up()
            self._leg.hang_up()

    # Called by the server and `Actions`

    def end(self, reason: EndReason, cause: Cause) -> None:
        """End the call soon; the first end counts."""
        self._conversation.lifecycle.end(CallEnd(reason, cause), self._loop.time())
        self._deliver()

    def cut(self, detail: str) -> None:
        """End the call at once because the gateway is stopping; queued audio is discarded."""
        self._conversation.lifecycle.cut(CallEnd(EndReason.DRAINED, detail), self._loop.time())
        self._deliver()

    def supersede(self) -> None:
        """Stop acting on the caller's channel: it is in a new call with this UUID; this one is ending."""
        if self._result is not None:
            self._result.supersede()

    def last_words(self) -> asyncio.Future[bool]:
        """Begin a hand-over; done when the caller has heard the agent's last words, False: interrupted."""
        self._last_words = self._loop.create_future()
        self._conversation.lifecycle.await_last_words(self._loop.time())
        return self._last_words

    def refuse_new_replies(self) -> None:
        """Let the agent finish its goodbye, or say one, but not a second one."""
        self._conversation.speech.refuse_new_replies()

    def accept_replies(self) -> None:
        """Resume after `last_words`, `refuse_new_replies` or `silence_agent`."""
        self._conversation.lifecycle.go_on(self._loop.time(), agent_present=self._agent is not None)
        self._deliver()

    def silence_agent(self) -> None:
        """Stop the agent's speech until `accept_replies`."""
        self._conversation.speech.silence(self._loop.time())
        self._deliver()

    def send_to_agent(self, message: bytes) -> None:
        """Send the agent a message, as soon as it has connected; do nothing if it has gone."""
        self._conversation.send(message)
        self._deliver()

    # The agent

    async def _converse(self, tasks: asyncio.TaskGroup, actions: Actions) -> None:
        """Connect the agent, and wait until either side ends the conversation."""
        agent: AgentConnection | None = None
        try:
            agent = await self._setup.connect(tasks, actions, self._on_message, self._end_decided)
            await send_buffered(agent, self._conversation.agent_ready())
            self._agent = agent
            self._deliver()
            self._agent_gone(await asyncio.shield(agent.closed))
        except (AgentError, CallRejected) as error:
            self._agent_gone(error.end)
        except Exception as error:  # noqa: BLE001 (see _defect)
            self._defect(error)
            self._deliver()
        finally:
            self._agent = None
            if agent is not None:
                await agent.close()

    def _agent_gone(self, end: CallEnd) -> None:
        self._agent = None
        self._conversation.agent_gone(end, self._loop.time())
        self._deliver()

    def _on_message(self, message: messages.ServerMessage) -> None:
        try:
            self._conversation.receive_message(message, self._loop.time())
        except Exception as error:  # noqa: BLE001 (see _defect)
            self._defect(error)
        self._deliver()

    # The caller's side

    def tick(self) -> None:
        """Send the caller the next 20 ms. The ticker calls this; a call has no other clock."""
        conversation, leg = self._conversation, self._leg
        try:
            frames = self._load.batch_frames
            if frames > 1 or conversation.audio_to_agent.batch_frames > 1:
                self._send_batch(frames)
            if not conversation.lifecycle.caller_present:  # the batch just read may have ended the call
                return
            now = self._loop.time()
            if leg.blocked:
                conversation.tick_blocked(now)
            else:
                frame = conversation.tick(now)
                leg.write(frame)
                if self._tap is not None:
                    self._tap.on_frame_sent(frame)
                if conversation.ticks_since_caller > CALLER_GAP_TICKS:
                    conversation.fill_in_silence(now, mid_frame=leg.mid_frame)
                    self.forward_audio()
        except Exception as error:  # noqa: BLE001 (see _defect)
            self._defect(error)
        if conversation.outputs:
            self._deliver()

    def _send_batch(self, frames: int) -> None:
        """If a batch is due, read what the caller has sent (or resume reading as it comes), and send it."""
        batch = self._conversation.audio_to_agent
        if batch.batch_is_due(frames):
            if batch.batch_frames > 1:
                self._leg.collect()
            else:
                self._leg.listen()
            audio = batch.read_batch()
            if audio and self._agent is not None:
                self._agent.send_audio(audio)

    def caller_audio(self, frame: Audio) -> None:
        """Receive a frame of the caller's audio; `forward_audio` follows."""
        conversation = self._conversation
        recorded = conversation.receive_frame(frame, self._loop.time())
        if conversation.outputs:
            self._deliver()
        if self._tap is not None and recorded is not None:
            self._tap.on_frame_received(recorded)

    def forward_audio(self) -> None:
        """Send the agent the frames that arrived together; nothing is awaited."""
        audio = self._conversation.audio_to_agent.read()
        if audio and self._agent is not None:
            self._agent.send_audio(audio)

    def count_frame(self, size: int) -> None:
        """Count an ignored frame of ``size`` bytes: a peer that sends too much ends the call."""
        self._conversation.count_frame(size, self._loop.time())

    def caller_digit(self, digit: str) -> None:
        """Receive a DTMF key."""
        may_act = self._conversation.receive_digit(digit, self._loop.time())
        self._deliver()
        if may_act and self.actions is not None:
            self.actions.dtmf.receive(digit)

    def caller_gone(self, reason: EndReason, cause: Cause) -> None:
        """Record that the connection to Asterisk has ended, and end the call."""
        self._conversation.caller_gone(CallEnd(reason, cause), self._loop.time())
        self._deliver()

    # Output of the conversation

    def _deliver(self) -> None:
        """Deliver the conversation's output."""
        conversation = self._conversation
        while conversation.outputs:
            for output in conversation.events():
                try:
                    self._handle(output)
                except Exception as error:  # noqa: BLE001 (see _defect)
                    self._defect(error)
        try:
            if self._agent is not None:
                for message in conversation.messages_to_send():
                    self._agent.send(message)
        except Exception as error:  # noqa: BLE001 (see _defect)
            self._defect(error)

    def _handle(self, output: Output) -> None:
        match output:
            case events.CallEvent():
                self.emit(output)
            case messages.ClientToolCall() if self.actions is not None:
                self.actions.tool_calls.receive(output)
            case messages.McpToolCall() if self.actions is not None:
                self.actions.tool_calls.receive_mcp(output)
            case CallerAudioBegan():
                self._screening.hear_caller()
            case CallerFormatChanged():
                self._caller_format.report()
            case LastWordsOver(interrupted):
                log_notice(self.uuid, output)
                if self._last_words is not None and not self._last_words.done():
                    self._last_words.set_result(not interrupted)
            case EndDecided(end):
                self._end_decided.set_result(end)
            case Drained():
                log_notice(self.uuid, output)
                self._drained.set_result(None)
            case _:
                log_notice(self.uuid, output)

    def _defect(self, error: Exception) -> None:
        """Log an unexpected exception and end this call only: a callback shared by calls must not raise."""
        logger.error("call %s: internal error, this call ends; please report it", self.uuid, exc_info=error)
        end = CallEnd(EndReason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")
        # Not `end`: where the clock itself fails, an end that waits for the queue would wait for ever.
        self._conversation.lifecycle.cut(end, self._loop.time())
