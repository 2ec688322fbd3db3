"""One call: the only place where caller, agent and playout meet.

Everything per frame happens in three short methods, called by others on the event loop: `Call.tick` every
20 ms, `Call.caller_audio` for what the caller says, and the handler of the agent's messages. `Call.run` is
the life of the call; when it returns, nothing of it is left.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from traceback import clear_frames
from typing import Protocol
from uuid import UUID

from audiosocket_gw import events
from audiosocket_gw.ami.call_control import CallControl, CallerData
from audiosocket_gw.ami.pbx_pool import PbxPool
from audiosocket_gw.ami.result import CallResult
from audiosocket_gw.audio import FRAME_MS, TELEPHONE_RATE, AudioFormat
from audiosocket_gw.audio.endpointing import Endpointer
from audiosocket_gw.audio.hold_audio import HoldAudio, HoldAudioFile
from audiosocket_gw.call.agent_turn import Turn
from audiosocket_gw.call.barge_in import LocalBargeIn
from audiosocket_gw.call.caller_data import caller_headers, caller_variables
from audiosocket_gw.call.codec_warning import correction, mislabelled_rate_warning, passthrough_warning
from audiosocket_gw.call.media import Media, agent_format
from audiosocket_gw.call.replies import HeardReply, Replies, interruption_notice
from audiosocket_gw.call.settings import BargeInMode, CallSettings
from audiosocket_gw.call.stale_audio import StaleAudioFilter
from audiosocket_gw.causes import Cause, Stalled, TooFast, UnfinishedFrame
from audiosocket_gw.control.actions import Actions, Services
from audiosocket_gw.elevenlabs import client_messages, messages
from audiosocket_gw.elevenlabs.agent import AgentAddress, AgentLocator
from audiosocket_gw.elevenlabs.connection import AgentConnection, connect
from audiosocket_gw.errors import AgentError, ControlError
from audiosocket_gw.events import CallEnd, EndReason
from audiosocket_gw.log.text import Sentence
from audiosocket_gw.protocol.audiosocket import Audio
from audiosocket_gw.runtime.load import Load
from audiosocket_gw.runtime.ticker import Ticker
from audiosocket_gw.tap import OpenTap, Tap, Taps

logger = logging.getLogger("audiosocket_gw.call")

CALLER_GAP_TICKS = 200 // FRAME_MS
"""After so long without audio from the caller (hold, mute, silence suppression), silence is filled in:
an agent never ends a turn, and hangs up after 60 s, when nothing arrives."""

PRE_ROLL_FRAMES = 10_000 // FRAME_MS
"""What the caller says while the agent is being connected is kept and sent first."""

PRE_ROLL_PIECE_FRAMES = 12
"""240 ms: about the size of chunk that ElevenLabs' documentation recommends."""

STALL_S = 5
"""A peer that takes no audio for so long, or leaves a frame unfinished for so long, has gone wrong."""

STALL_TICKS = STALL_S * 1000 // FRAME_MS

MAX_AHEAD_FRAMES = 30_000 // FRAME_MS
"""A caller can't speak faster than real time; a peer that is so far ahead is not a telephone."""

MIN_FRAMES_COUNTED = 1 / 16
"""1.25 ms, half of the shortest packet: empty frames count as much, or there might be any number of them."""

MAX_QUEUED_MS = 30 * 60_000
"""An agent that is half an hour ahead (29 MB) has gone wrong; unbounded, it would take all calls with it."""


LOCATE_AGAIN_S = 5.0
"""When an Asterisk that could not tell the caller's channel is asked for the second time."""

LAST_REPLY_S = 20.0
"""What the agent is saying when a call has reached its longest may take so long to end."""


class CallerLeg(Protocol):
    """The connection to Asterisk, as the call sees it."""

    @property
    def host(self) -> str:
        """Asterisk's address."""
        ...

    @property
    def peer(self) -> str:
        """Asterisk's address and port."""
        ...

    @property
    def blocked(self) -> bool:
        """Whether audio waits to be sent: another frame might be cut in two, which ends the call."""
        ...

    @property
    def mid_frame(self) -> bool:
        """Whether a frame from Asterisk has begun and not ended."""
        ...

    def write(self, frame: bytes) -> None:
        """Send one whole frame with one write."""
        ...

    def collect(self) -> None:
        """Take in what has arrived, and from now on only when asked to: that is cheaper."""
        ...

    def listen(self) -> None:
        """Take in what arrives at once, again."""
        ...

    def hang_up(self) -> None:
        """End the connection the way that lets the dialplan go on."""
        ...


@dataclass(frozen=True, slots=True)
class CallContext:
    """What all calls share."""

    settings: CallSettings
    locator: AgentLocator
    ssl_context: ssl.SSLContext
    ticker: Ticker
    load: Load
    hold_audio_file: HoldAudioFile | None
    services: Services
    pbxs: PbxPool
    observe: events.Observer
    taps: tuple[OpenTap, ...] = ()


class _Over(Exception):
    """Ends the task group of a call."""


class Call:
    """A caller and an agent in conversation, from the UUID frame to the last frame."""

    # Beyond 30 attributes Python 3.11 gives each object a dictionary of its own: 2 KB, and slower.
    __slots__ = (
        "_actions",
        "_agent",
        "_barge_in",
        "_batch_frames",
        "_blocked_ticks",
        "_caller_ahead",
        "_caller_data",
        "_caller_present",
        "_cap_timer",
        "_codec_is_reported",
        "_context",
        "_control",
        "_ending",
        "_endpointer",
        "_late_report",
        "_leg",
        "_looked_up",
        "_loop",
        "_media",
        "_pre_roll",
        "_pre_roll_bytes",
        "_replies",
        "_reported_codec",
        "_result",
        "_stale_audio",
        "_started",
        "_started_at",
        "_tap",
        "_ticks",
        "_ticks_since_caller",
        "_ticks_since_frame",
        "_turn",
        "_unfinished_ticks",
        "_unsent",
        "playout",
        "uuid",
    )

    def __init__(self, uuid: UUID, leg: CallerLeg, context: CallContext) -> None:
        self.uuid = uuid
        self._media = Media(_hold_audio(context), asyncio.get_running_loop().time)
        self.playout = self._media.playout
        self._leg = leg
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._ending: asyncio.Future[CallEnd] = self._loop.create_future()
        self._agent: AgentConnection | None = None
        self._pre_roll: list[bytes] = []
        self._pre_roll_bytes = 0
        self._control = context.pbxs.find(leg.host)
        self._result = CallResult(self._control, uuid) if self._control is not None else None
        self._late_report: asyncio.Task[None] | None = None
        self._actions: Actions | None = None
        self._cap_timer: asyncio.TimerHandle | None = None
        self._caller_data: CallerData | None = None
        self._looked_up = False
        self._codec_is_reported = False
        self._reported_codec: AudioFormat | None = None
        self._unsent: list[bytes] = []
        self._started = events.CallStarted(uuid, self._started_at, leg.peer)
        self._tap: Tap | None = Taps(context.taps, self._started) if context.taps else None
        self._barge_in: LocalBargeIn | None = None
        if context.settings.barge_in is BargeInMode.LOCAL:
            self._barge_in = LocalBargeIn(self._media, context.settings.barge_in_deadline)
        self._stale_audio = StaleAudioFilter()
        self._replies = Replies()
        self._turn = Turn(uuid, self.playout)
        self._endpointer = Endpointer()
        self._caller_present = True
        self._blocked_ticks = 0
        self._ticks_since_caller = self._ticks_since_frame = 0
        self._unfinished_ticks = 0
        self._caller_ahead = 0.0  # in frames of 20 ms
        self._ticks = 0
        self._batch_frames = context.load.batch_frames

    # Life

    async def run(self) -> None:
        """Hold the conversation until it ends, and leave nothing of it behind."""
        self.emit(self._started)
        ended = CallEnd(EndReason.INTERNAL_ERROR, "the call was cancelled")
        try:
            with self._context.ticker.attach(self.tick):
                ended = await self._live()
        except asyncio.CancelledError:
            if self._ending.done() and not self._ending.cancelled():
                ended = self._ending.result()
            raise
        finally:
            self._hang_up_caller()
            if self._cap_timer is not None:
                self._cap_timer.cancel()
            self._actions = None
            if self._result is not None:
                self._result.close()
            self._report_heard(self._replies.close(self.playout.heard_ms))
            now = self._loop.time()
            duration_ms = round((now - self._started_at) * 1000)
            self.emit(events.CallEnded(self.uuid, now, ended, duration_ms, self.playout.heard_ms))

    def end(self, reason: EndReason, cause: Cause) -> None:
        """End the call soon; the first reason given counts."""
        if not self._ending.done():
            self._ending.set_result(CallEnd(reason, cause))

    def cut(self, detail: str) -> None:
        """End the call for the gateway's stop; what is still queued won't be heard."""
        self.end(EndReason.DRAINED, detail)
        self._turn.played_out()

    def supersede(self) -> None:
        """Leave the caller's channel alone: a new call with this UUID has it, while this one still ends."""
        if self._result is not None:
            self._result.supersede()

    async def _live(self) -> CallEnd:
        try:
            async with asyncio.TaskGroup() as tasks:
                actions = self._actions = Actions(
                    self, self._control, self._result, self._context.services, tasks
                )
                self._cap(tasks, actions)
                caller = tasks.create_task(self._look_up_caller(tasks))
                tasks.create_task(self._converse(tasks, caller))
                ended = await self._ending
                actions.close()
                if ended.reason is EndReason.CALLER_HANGUP:
                    ended = await actions.handover.released() or ended
                await self._drain(ended)
                self._hang_up_caller()  # a tool may take its time to stop
                raise _Over
        except* _Over as over:
            # Python 3.11's TaskGroup ties frame and exception into a circle, which would hold the whole call.
            clear_frames(over.__traceback__)
        except* Exception as group:  # noqa: BLE001 (see _defect)
            self._defect(group)
            ended = self._ending.result()
            await self._report(ended)
        if self._late_report is not None:
            await self._late_report
        return ended

    def _cap(self, tasks: asyncio.TaskGroup, actions: Actions) -> None:
        """End the call after ``MAX_CALL_SECONDS``."""
        seconds = self._context.settings.max_call_seconds
        if seconds:
            self._cap_timer = self._loop.call_later(seconds, self._reach_cap, tasks, actions)

    def _reach_cap(self, tasks: asyncio.TaskGroup, actions: Actions) -> None:
        tasks.create_task(self._end_for_its_length(actions))

    async def _end_for_its_length(self, actions: Actions) -> None:
        """End the call; but a transfer or hang-up that has begun goes first."""
        await actions.handover.finish()
        seconds = self._context.settings.max_call_seconds
        self.end(EndReason.MAX_DURATION, f"the call lasted {seconds:g} s (MAX_CALL_SECONDS)")

    async def _drain(self, ended: CallEnd) -> None:
        """Let the caller hear what the agent has said, and the dialplan know how it ended."""
        if ended.reason in events.AGENT_ENDS:
            self._stale_audio.close()  # an agent that hung up by our tool is still there, and might never end
            await self._turn.play_out()
        elif ended.reason is EndReason.MAX_DURATION:
            self._stale_audio.allow_no_more(but_one=False)
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_REPLY_S):
                    await self._turn.play_out()
        if self._caller_present:
            await self._report(ended)
        else:  # nobody waits for it, and meanwhile the agent can be told
            self._late_report = self._loop.create_task(self._report(ended))

    async def _report(self, ended: CallEnd) -> None:
        if self._result is not None:
            await self._result.report(ended.reason, caller_present=self._caller_present)

    def _hang_up_caller(self) -> None:
        if self._caller_present:
            self._caller_present = False
            self._leg.hang_up()

    async def _look_up_caller(self, tasks: asyncio.TaskGroup) -> dict[str, str]:
        """Ask Asterisk who is calling; never for longer than ``CALLER_DATA_TIMEOUT``."""
        settings = self._context.settings
        data = None
        if self._result is not None:
            tasks.create_task(self._result.preset())
            asking = tasks.create_task(self._ask_asterisk(tasks))
            await asyncio.wait([asking], timeout=settings.caller_data_timeout)
            if asking.done():
                data = asking.result()
            else:  # it goes on: `CallResult` must know the channel
                reason = f"no answer in {settings.caller_data_timeout:g} s (CALLER_DATA_TIMEOUT)"
                logger.warning("call %s: no caller data: %s", self.uuid, reason)
        self._caller_data = data
        self._looked_up = True
        if data is not None and data.codec and self._media.expect(data.codec):
            self._news_of_caller()
        self._warn_of_codec()
        return caller_variables(self.uuid, data, settings.call_variables)

    async def _ask_asterisk(self, tasks: asyncio.TaskGroup) -> CallerData | None:
        """Return who is calling, or None when Asterisk can't say; then find the channel when it can."""
        assert self._control is not None and self._result is not None
        try:
            data = await self._control.describe(self.uuid, list(self._context.settings.call_variables))
        except ControlError as error:
            logger.warning("call %s: no caller data: %s", self.uuid, error)
            tasks.create_task(self._locate_later(self._control, self._result))
            return None
        self._result.locate(data)
        return data

    async def _locate_later(self, control: CallControl, result: CallResult) -> None:
        if control.connected:  # it was too slow, or Asterisk has not told of the channel yet
            await asyncio.sleep(LOCATE_AGAIN_S)
        await control.wait_until_connected()
        try:
            result.locate(await control.describe(self.uuid))
        except ControlError as error:
            logger.info("call %s: its channel could not be found: %s", self.uuid, error)

    async def _converse(self, tasks: asyncio.TaskGroup, caller: asyncio.Task[dict[str, str]]) -> None:
        """Connect the agent, and stay until either side ends the conversation."""
        context = self._context
        agent: AgentConnection | None = None
        try:
            address = await context.locator.locate(lambda: _headers(caller))
            agent = await connect(
                address.url,
                tasks.create_task(self._initiation(caller, address)),
                self._on_message,
                ssl_context=context.ssl_context,
                timeout_s=context.settings.agent_connect_timeout,
                queue_timeout_s=context.settings.agent_queue_timeout,
                tap=self._tap,
            )
            self._begin(agent)
            await self._agent_left(await asyncio.shield(agent.closed))
        except AgentError as error:
            await self._agent_left(error.end)
        except Exception as error:  # noqa: BLE001 (see _defect)
            self._defect(error)
        finally:
            self._agent = None
            if agent is not None:
                await agent.close()

    async def _agent_left(self, ended: CallEnd) -> None:
        """End the call; but a transfer that the caller was promised needs no agent."""
        if self._barge_in is not None:
            self._barge_in = None  # nobody is there to confirm it
            self._media.resume()
        assert self._actions is not None
        await self._actions.handover.finish()
        self.end(ended.reason, ended.cause)

    async def _initiation(self, caller: asyncio.Task[dict[str, str]], address: AgentAddress) -> bytes:
        variables = await caller
        assert self._actions is not None
        self._actions.tool_calls.caller = variables
        return client_messages.initiation({**variables, **address.dynamic_variables}, address.config_override)

    def _announced(self, metadata: messages.Metadata) -> None:
        """Agree on the audio. Comes before `_begin`: the first audio may be in the same segment."""
        try:
            self._media.agree(
                agent_format(metadata.input_format, "user_input_audio_format"),
                agent_format(metadata.output_format, "agent_output_audio_format"),
            )
        except ValueError as error:
            self.end(EndReason.AGENT_FORMAT, str(error))
            return
        now = self._loop.time()
        setup_ms = (now - self._started_at) * 1000
        self.emit(events.AgentConnected(self.uuid, now, metadata.conversation_id, setup_ms))

    def _begin(self, agent: AgentConnection) -> None:
        """Send what the caller has said so far, and from now on what the caller says."""
        said = [self._media.understood(payload) for payload in self._pre_roll]
        self._pre_roll = []
        self._agent = agent
        for start in range(0, len(said), PRE_ROLL_PIECE_FRAMES):
            self._forward(self._media.to_agent(b"".join(said[start : start + PRE_ROLL_PIECE_FRAMES])))
        for message in self._unsent:
            agent.send(message)

    # What `Actions` asks of the call

    async def last_words(self) -> bool:
        """Wait until the caller has heard what the agent says before it leaves; False: the caller cut in."""
        return await self._turn.last_words()

    def refuse_new_replies(self) -> None:
        """Let the agent finish its goodbye, or say one, and begin no second one."""
        self._stale_audio.allow_no_more(but_one=not self._turn.agent_spoke)

    def accept_replies(self) -> None:
        """Undo `refuse_new_replies` and `silence_agent`."""
        self._stale_audio.reopen()

    def silence_agent(self) -> None:
        """Stop what the agent is saying, until `accept_replies`."""
        _, heard = self._fall_silent()
        self._report_heard(heard)
        self._stale_audio.close()

    def send_to_agent(self, message: bytes) -> None:
        """Send the agent a message, when it is there; or nothing when it is gone."""
        if self._agent is not None:
            self._agent.send(message)
        else:
            self._unsent.append(message)

    # The caller's side

    def tick(self) -> None:
        """Send the caller the next 20 ms. Called every 20 ms, and nothing else is this call's clock."""
        try:
            if self._caller_present:
                self._take_in()
            if not self._caller_present:  # any more: what was taken in may have ended it
                return
            if self._leg.blocked:
                self._stall()
                return
            self._blocked_ticks = 0
            frame = self._media.next_frame()
            self._leg.write(frame)
            if self._tap is not None:
                self._tap.on_frame_sent(frame)
            if not self._turn.is_over:
                self._watch_reply()
            if self._barge_in is not None:
                self._await_verdict(self._barge_in)
            self._watch_caller()
        except Exception as error:  # noqa: BLE001 (see _defect)
            self._defect(error)

    def _take_in(self) -> None:
        """Where audio is batched, and so delayed, anyway: read all that has come since the last batch."""
        self._ticks += 1
        frames = self._context.load.batch_frames
        # A change comes to each call in a turn of its own, or all of them would send in the same tick.
        if frames != self._batch_frames and self._ticks % frames == 0:
            self._batch_frames = frames
            if frames == 1:
                self._leg.listen()
                self._forward(self._media.take_batch())
        if self._batch_frames > 1 and self._ticks % self._batch_frames == 0:
            self._leg.collect()
            self._forward(self._media.take_batch())

    def caller_audio(self, frame: Audio) -> None:
        """Take a frame of the caller's audio: forwarded at once, never awaited."""
        media, audio = self._media, frame.payload
        size = len(audio)
        frames = size / media.frame_bytes  # as in count_frame, for which there is no time here
        self._caller_ahead += frames if frames > MIN_FRAMES_COUNTED else MIN_FRAMES_COUNTED
        if self._ticks_since_frame > CALLER_GAP_TICKS:
            media.look_again()
        self._ticks_since_frame = 0
        if size != media.settled_bytes or frame.kind is not media.kind:
            if media.look_at(frame):
                self._news_of_caller()
            audio = media.understood(audio)
            if not audio:  # silence is filled in for it, in real time, as if nothing had come
                self._note_unheard(frame)
                return
            if audio is not frame.payload:
                frame = Audio(frame.kind, audio)
        self._ticks_since_caller = 0
        if self._tap is not None:
            self._tap.on_frame_received(frame)
        if self._barge_in is not None and self._barge_in.caller_said(audio):
            self.emit(events.ReplyHeld(self.uuid, self._loop.time()))
        if self._agent is not None:
            self._say_to_agent(self._media.to_agent(audio))
        else:
            self._keep(frame.payload)

    def _note_unheard(self, frame: Audio) -> None:
        """Let a recording have what nobody can decode; what is no audio at all is in none."""
        if self._tap is not None and frame.payload and not self._media.understands_caller:
            self._tap.on_frame_received(frame)
        if self._agent is None and not self._media.understands_caller:
            self._keep(frame.payload)

    def _keep(self, payload: bytes) -> None:
        self._pre_roll.append(payload)
        self._pre_roll_bytes += len(payload)
        while self._pre_roll_bytes > PRE_ROLL_FRAMES * self._media.frame_bytes:
            self._pre_roll_bytes -= len(self._pre_roll.pop(0))

    def count_frame(self, size: int) -> None:
        """Count a frame of ``size`` bytes against real time, by its bytes: packets last 2.5 to 120 ms."""
        frames = size / self._media.frame_bytes
        self._caller_ahead += frames if frames > MIN_FRAMES_COUNTED else MIN_FRAMES_COUNTED

    def _news_of_caller(self) -> None:
        heard = self._media.caller_format if self._media.understands_caller else None
        if self._tap is not None:
            self._tap.on_caller_format(heard)
        logger.debug("call %s: Asterisk sends %s", self.uuid, heard or "what can't be decoded")
        self._warn_of_codec()

    def _warn_of_codec(self) -> None:
        """Show, once, what to change where a label is wrong, when all is known; then each change of it."""
        if not (self._looked_up and self._media.codec_is_certain):
            return
        heard = self._media.caller_format if self._media.understands_caller else None
        before, self._reported_codec = self._reported_codec, heard
        if not self._codec_is_reported:
            warning = self._advice(heard)
            self._codec_is_reported = warning is not None
        else:
            warning = correction(before, heard) if heard != before else None
        if warning is not None:
            logger.warning("call %s: %s", self.uuid, Sentence(warning))

    def _advice(self, heard: AudioFormat | None) -> str | None:
        if self._media.codec_passes_through:
            return passthrough_warning(self.uuid, self._caller_data, heard)
        if heard is not None and self._media.rate_is_mislabelled:
            return mislabelled_rate_warning(heard)
        return None

    def caller_digit(self, digit: str) -> None:
        """Take a key that the caller pressed; as long as audio of 100 ms: nobody presses faster."""
        self._caller_ahead += 5
        self.emit(events.DigitPressed(self.uuid, self._loop.time(), digit))
        if self._actions is not None:
            self._actions.dtmf.receive(digit)

    def caller_gone(self, reason: EndReason, cause: Cause) -> None:
        """Take the end of the connection to Asterisk: nothing more will be heard."""
        self._caller_present = False
        self.playout.clear()
        self._turn.played_out()
        self.end(reason, cause)

    def _say_to_agent(self, audio: bytes) -> None:
        """Take audio in the agent's format: send it, or have it sent with the next batch."""
        if self._batch_frames > 1:
            self._media.add_to_batch(audio)
        else:
            self._forward(audio)

    def _forward(self, audio: bytes) -> None:
        if audio and self._agent is not None:
            self._agent.send_audio(audio)

    def _watch_caller(self) -> None:
        """Fill in silence for a caller who sends none; notice one who can't be a telephone."""
        self._ticks_since_caller += 1
        self._ticks_since_frame += 1
        # Two frames a tick are forgiven: clocks differ, and a late network catches up.
        ahead = self._caller_ahead - 2
        self._caller_ahead = ahead if ahead > 0 else 0.0
        if self._ticks_since_caller > CALLER_GAP_TICKS:
            self._say_to_agent(self._media.agent_silence)
            self._unfinished_ticks = self._unfinished_ticks + 1 if self._leg.mid_frame else 0
            if self._unfinished_ticks >= STALL_TICKS:
                self.end(EndReason.CALLER_PROTOCOL, UnfinishedFrame(STALL_S))
        if self._caller_ahead > MAX_AHEAD_FRAMES:
            self.end(EndReason.CALLER_PROTOCOL, TooFast())

    def _stall(self) -> None:
        self._blocked_ticks += 1
        if self._blocked_ticks >= STALL_TICKS:
            self.end(EndReason.CALLER_STALLED, Stalled(STALL_S))

    # The agent's side

    def _on_message(self, message: messages.ServerMessage) -> None:
        try:
            self._handle_message(message)
        except Exception as error:  # noqa: BLE001 (see _defect)
            self._defect(error)

    def _handle_message(self, message: messages.ServerMessage) -> None:
        now = self._loop.time()
        match message:
            case messages.Audio():
                self._agent_audio(message)
            case messages.Interruption():
                self._interrupted(message)
            case messages.Metadata():
                self._announced(message)
            case messages.UserTranscript():
                self._turn.caller_spoke()
                if self._turn.is_over:
                    self._report_heard(self._replies.close(self.playout.heard_ms))
                self.emit(events.CallerSaid(self.uuid, now, message.text))
            case messages.AgentResponse():
                self._stale_audio.named(message.event_id)
                self._warn_of_new_ids()
                self._replies.words(message.event_id, message.text)
                self.emit(events.AgentSaid(self.uuid, now, message.text, corrected=False))
            case messages.AgentResponseCorrection():
                self.emit(events.AgentSaid(self.uuid, now, message.text, corrected=True))
            case messages.ClientToolCall() if self._actions is not None:
                self._actions.tool_calls.receive(message)
            case messages.McpToolCall() if self._actions is not None:
                self._actions.tool_calls.receive_mcp(message)
            case messages.GuardrailTriggered():
                logger.warning("call %s: a guardrail of the agent's was triggered", self.uuid)
            case messages.QueueStatus():
                logger.warning("call %s: ElevenLabs queues the call: %.32r", self.uuid, message.status)
            case messages.ServerError():
                logger.warning("call %s: the agent reports: %.200r", self.uuid, message.message)
            case _:
                logger.debug("call %s: agent message %r is of no use here", self.uuid, message)

    def _agent_audio(self, message: messages.Audio) -> None:
        if message.audio and self._is_wanted(message):
            self._queue(message)
        if message.is_final and message.event_id in (None, self._stale_audio.last_event_id):
            self._endpointer.final_piece()

    def _queue(self, message: messages.Audio) -> None:
        start_ms = self.playout.end_ms
        speaks = self._endpointer.take(
            self._media.from_agent(message.audio),
            self.playout.frame_bytes,
            self.playout.heard_ms,
            self.playout.end_ms,
            aligned_ms=message.alignment[-1][0] if message.alignment else 0,
        )
        if self.playout.queued_ms > MAX_QUEUED_MS:
            self._media.interrupt()
            self.end(EndReason.AGENT_PROTOCOL, "the agent is half an hour ahead of what the caller hears")
        if speaks or not self._turn.is_over:
            self._replies.audio(
                self._stale_audio.last_event_id, start_ms, self.playout.end_ms, message.alignment
            )
        if not speaks or not self._caller_present:
            return
        if self._turn.is_over:
            self._report_heard(self._replies.close_earlier(self.playout.heard_ms))
            self.emit(events.ReplyStarted(self.uuid, self._loop.time()))
        self._media.agent_speaks = True
        self._turn.audio_came(is_speech=not self._endpointer.in_doubt)
        if not self._endpointer.in_doubt:
            self._stale_audio.spoke()

    def _is_wanted(self, message: messages.Audio) -> bool:
        before = self._stale_audio.last_event_id
        if not self._stale_audio.accepts(message.event_id, self._loop.time()):
            logger.debug("call %s: audio of event %s dropped", self.uuid, message.event_id)
            return False
        if self._stale_audio.last_event_id != before:
            self._media.begin_reply()
            self._endpointer.reply_began()
            self._warn_of_new_ids()
        return True

    def _warn_of_new_ids(self) -> None:
        if self._stale_audio.restarted_from is not None:
            logger.warning(
                "call %s: the agent's event ids began anew at %d, after %d: its audio is not taken for stale",
                self.uuid,
                self._stale_audio.last_event_id,
                self._stale_audio.restarted_from,
            )
            self._stale_audio.restarted_from = None

    def _interrupted(self, message: messages.Interruption) -> None:
        """Fall silent at once. Audio that follows plays: only what is older is stale."""
        # An older id than the reply's ends the audio of a tool: nobody cut in.
        cuts_in = message.event_id is None or message.event_id >= self._stale_audio.last_event_id
        settings = self._context.settings
        if cuts_in and settings.barge_in is BargeInMode.OFF:
            return
        spoke = self._media.agent_speaks
        discarded_ms, heard = self._fall_silent()
        if message.event_id is not None:
            self._stale_audio.interrupted(message.event_id, drop_own=settings.drop_interrupted_audio)
        self.emit(events.Interrupted(self.uuid, self._loop.time(), discarded_ms))
        self._report_heard(heard)
        if cuts_in and discarded_ms and spoke:
            self._turn.caller_cut_in()
            if settings.report_heard and heard:
                self.send_to_agent(client_messages.contextual_update(interruption_notice(heard)))

    def _fall_silent(self) -> tuple[int, list[HeardReply]]:
        """Return how many milliseconds nobody will hear, and the replies that end with that."""
        discarded_ms = self._media.interrupt()
        self._endpointer.cut_off(self.playout.end_ms)
        return discarded_ms, self._replies.close(self.playout.end_ms)

    def _await_verdict(self, barge_in: LocalBargeIn) -> None:
        held_ms = barge_in.tick()
        if held_ms is not None:
            self.emit(events.ReplyResumed(self.uuid, self._loop.time(), held_ms))

    def _watch_reply(self) -> None:
        if not self._media.agent_is_heard:
            self._endpointer.ran_dry()
            self._reply_finished()
        elif self._endpointer.over_at_ms is not None and self.playout.heard_ms >= self._endpointer.over_at_ms:
            self._reply_finished()

    def _reply_finished(self) -> None:
        self._media.agent_speaks = False
        self._turn.played_out()
        self._report_heard(self._replies.close_earlier(self.playout.heard_ms))
        self.emit(events.ReplyFinished(self.uuid, self._loop.time(), self.playout.heard_ms))

    # Reporting

    def emit(self, event: events.CallEvent) -> None:
        """Tell the observers."""
        self._context.observe(event)
        if self._tap is not None:
            self._tap.on_event(event)

    def _report_heard(self, replies: Iterable[HeardReply]) -> None:
        for reply in replies:
            self.emit(
                events.ReplyHeard(
                    self.uuid,
                    self._loop.time(),
                    reply.event_id,
                    reply.text,
                    reply.heard,
                    reply.heard_ms,
                    reply.length_ms,
                    reply.interrupted,
                )
            )

    def _defect(self, error: Exception) -> None:
        """End this call for a defect of ours. What runs on a shared clock or socket must never raise."""
        logger.error("call %s: internal error", self.uuid, exc_info=error)
        self.end(EndReason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")


def _hold_audio(context: CallContext) -> HoldAudio | None:
    if context.hold_audio_file is None:
        return None
    return HoldAudio(context.hold_audio_file, context.settings.hold_audio_mode, TELEPHONE_RATE)


async def _headers(caller: Awaitable[dict[str, str]]) -> dict[str, str]:
    return caller_headers(await caller)
