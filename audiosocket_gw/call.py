"""One call: the only place where caller, agent and playout meet.

Everything per frame happens in three short methods, called by others on the event loop: `Call.tick` every
20 ms, `Call.caller_audio` for what the caller says, and the handler of the agent's messages. `Call.run` is
the life of the call; when it returns, nothing of it is left.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from audiosocket_gw import events
from audiosocket_gw.actions import Actions, Services, report_result
from audiosocket_gw.ami.control import CallControl
from audiosocket_gw.ami.directory import PbxDirectory
from audiosocket_gw.audio import FRAME_MS, Encoding
from audiosocket_gw.caller_data import caller_headers, caller_variables
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.elevenlabs.agent import AgentAddress, AgentLocator
from audiosocket_gw.elevenlabs.connection import AgentConnection, Closing, connect
from audiosocket_gw.errors import AgentError, ControlError
from audiosocket_gw.events import EndReason
from audiosocket_gw.media import Media, agent_format
from audiosocket_gw.protocol.audiosocket import Audio
from audiosocket_gw.settings import Settings
from audiosocket_gw.ticker import Ticker

logger = logging.getLogger("audiosocket_gw.call")

CALLER_GAP_TICKS = 200 // FRAME_MS
"""After so long without sound from the caller (hold, mute, silence suppression), silence is filled in:
an agent never ends a turn, and hangs up after 60 s, when nothing arrives."""

PRE_ROLL_FRAMES = 10_000 // FRAME_MS
"""What the caller says while the agent is being connected is kept and sent first."""

PRE_ROLL_PIECE_FRAMES = 12
"""240 ms: about the size of chunk that ElevenLabs' documentation recommends."""

STALL_TICKS = 5_000 // FRAME_MS
"""A peer that takes no sound for so long, or leaves a frame unfinished for so long, has gone wrong."""

MAX_AHEAD_FRAMES = 30_000 // FRAME_MS
"""A caller can't speak faster than real time; a peer that is so far ahead is not a telephone."""

PLAY_OUT_GRACE_S = 1.0
"""After so long without a frame being played out, the rest is given up."""

MAX_QUEUED_MS = 30 * 60_000
"""An agent that is half an hour ahead (29 MB) has gone wrong; unbounded, it would take all calls with it."""

LAST_WORDS_S = 30.0
"""How long an agent that wants to leave may go on speaking."""

SPEAKS_ON_S = 0.5
"""After a pause of this length the agent has finished what it was saying."""

BEGINS_TO_SPEAK_S = 2.0
"""So long after a tool's result an agent that has not spoken yet may take to begin: it must think first."""


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
        """Whether sound waits to be sent: another frame might be cut in two, which ends the call."""
        ...

    @property
    def mid_frame(self) -> bool:
        """Whether a frame from Asterisk has begun and not ended."""
        ...

    def write(self, frame: bytes) -> None:
        """Send one whole frame with one write."""
        ...

    def hang_up(self) -> None:
        """End the connection the way that lets the dialplan go on."""
        ...


@dataclass(frozen=True, slots=True)
class CallContext:
    """What all calls share."""

    settings: Settings
    locator: AgentLocator
    ssl_context: ssl.SSLContext
    ticker: Ticker
    services: Services
    pbxs: PbxDirectory
    observe: events.Observer


class _Over(Exception):
    """Ends the task group of a call."""


class Call:
    """A caller and an agent in conversation, from the UUID frame to the last frame."""

    def __init__(self, uuid: UUID, leg: CallerLeg, context: CallContext) -> None:
        self.uuid = uuid
        self._media = Media()
        self.playout = self._media.playout
        self._leg = leg
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._ending: asyncio.Future[Closing] = self._loop.create_future()
        self._agent: AgentConnection | None = None
        self._pre_roll: deque[bytes] = deque(maxlen=PRE_ROLL_FRAMES)
        self._control = control_of(context.pbxs, leg.host)
        self._actions: Actions | None = None
        self._unsent: list[bytes] = []
        self._stale_below = 0
        self._last_event_id = -1
        self._last_event_id_allowed: int | None = None
        self._one_reply_allowed = False
        self._agent_spoke = False
        self._speaks = asyncio.Event()
        self._cuts_in = 0
        self._caller_present = True
        self._played_out = asyncio.Event()
        self._played_out.set()
        self._blocked_ticks = 0
        self._ticks_since_caller = 0
        self._caller_ahead = 0

    # Life

    async def run(self) -> None:
        """Hold the conversation until it ends, and leave nothing of it behind."""
        self.emit(events.CallStarted(self.uuid, self._started_at, self._leg.peer))
        closing = Closing(EndReason.INTERNAL_ERROR, "the call was cancelled")
        try:
            with self._context.ticker.attach(self.tick):
                closing = await self._live()
        finally:
            self._let_go()
            if self._control is not None:
                self._control.forget(self.uuid)
            now = self._loop.time()
            duration_ms = round((now - self._started_at) * 1000)
            self.emit(
                events.CallEnded(
                    self.uuid, now, closing.reason, closing.detail, duration_ms, self.playout.heard_ms
                )
            )

    def end(self, reason: EndReason, detail: str) -> None:
        """End the call soon; the first reason given counts."""
        if not self._ending.done():
            self._ending.set_result(Closing(reason, detail))

    async def _live(self) -> Closing:
        try:
            async with asyncio.TaskGroup() as tasks:
                actions = self._actions = Actions(self, self._control, self._context.services, tasks)
                caller = tasks.create_task(self._look_up_caller())
                tasks.create_task(self._converse(tasks, caller))
                closing = await self._ending
                actions.close()
                if closing.reason is EndReason.CALLER_HANGUP:
                    closing = await actions.released() or closing
                await self._take_leave(closing)
                self._let_go()  # a tool may take its time to stop
                raise _Over
        except* _Over:
            pass
        except* Exception as group:  # noqa: BLE001 (see _defect)
            self._defect(group)
            closing = self._ending.result()
        return closing

    async def _take_leave(self, closing: Closing) -> None:
        """Let the caller hear what the agent has said, and the dialplan know how it ended."""
        if closing.reason in events.AGENT_ENDS:
            await self.play_out()
        if self._caller_present and self._control is not None:
            await report_result(self._control, self.uuid, closing.reason)

    def _let_go(self) -> None:
        if self._caller_present:
            self._caller_present = False
            self._leg.hang_up()

    async def _look_up_caller(self) -> dict[str, str]:
        """Ask Asterisk who is calling; never for longer than ``CALLER_DATA_TIMEOUT``."""
        settings = self._context.settings
        data = None
        if self._control is not None:
            try:
                async with asyncio.timeout(settings.caller_data_timeout):
                    data = await self._control.describe(self.uuid, list(settings.call_variables))
            except (ControlError, TimeoutError) as error:
                logger.warning("call %s: no caller data: %s", self.uuid, error or "CALLER_DATA_TIMEOUT")
        return caller_variables(self.uuid, data, settings.call_variables)

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
            )
            self._begin(agent)
            await self._agent_left(await asyncio.shield(agent.closed))
        except AgentError as error:
            await self._agent_left(Closing(error.reason, str(error)))
        except Exception as error:  # noqa: BLE001 (see _defect)
            self._defect(error)
        finally:
            self._agent = None
            if agent is not None:
                await agent.close()

    async def _agent_left(self, closing: Closing) -> None:
        """End the call; but a transfer that the caller was promised needs no agent."""
        assert self._actions is not None
        await self._actions.departed()
        self.end(closing.reason, closing.detail)

    async def _initiation(self, caller: asyncio.Task[dict[str, str]], address: AgentAddress) -> bytes:
        variables = await caller
        assert self._actions is not None
        self._actions.caller = variables
        return messages.initiation({**variables, **address.dynamic_variables}, address.config_override)

    def _announced(self, metadata: messages.Metadata) -> None:
        """Agree on the sound. Comes before `_begin`: the first audio may be in the same segment."""
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
        said = list(self._pre_roll)
        self._pre_roll.clear()
        self._agent = agent
        for start in range(0, len(said), PRE_ROLL_PIECE_FRAMES):
            self._say_to_agent(b"".join(said[start : start + PRE_ROLL_PIECE_FRAMES]))
        for message in self._unsent:
            agent.send(message)

    async def play_out(self) -> None:
        """Wait until the caller has heard all that is queued, or the queue no longer gets any shorter."""
        before_ms = None
        while not self._played_out.is_set():
            queued_ms = self.playout.queued_ms
            if queued_ms == before_ms:
                logger.warning("call %s: %d ms could not be played out", self.uuid, queued_ms)
                return
            before_ms = queued_ms
            with suppress(TimeoutError):
                async with asyncio.timeout(PLAY_OUT_GRACE_S):
                    await self._played_out.wait()

    # What `Actions` asks of the call

    async def last_words(self) -> bool:
        """Wait until the caller has heard what the agent says before it leaves.

        False: the caller cut in. Bounded by the length of what is queued and `LAST_WORDS_S`.
        """
        before = self._cuts_in
        try:
            async with asyncio.timeout(self.playout.queued_ms / 1000 + LAST_WORDS_S):
                await self._played_out.wait()
                while self._cuts_in == before and await self._speaks_on():
                    await self._played_out.wait()
        except TimeoutError:
            logger.warning("call %s: the agent would not stop speaking", self.uuid)
        return self._cuts_in == before

    async def _speaks_on(self) -> bool:
        if not self._played_out.is_set():
            return True
        self._speaks.clear()
        try:
            async with asyncio.timeout(SPEAKS_ON_S if self._agent_spoke else BEGINS_TO_SPEAK_S):
                await self._speaks.wait()
        except TimeoutError:
            return False
        return True

    def refuse_new_replies(self) -> None:
        """Let the agent finish its goodbye, or say one, and begin no second one."""
        if self._last_event_id_allowed is None:
            self._one_reply_allowed = not self._agent_spoke
            self._last_event_id_allowed = self._last_event_id

    def accept_replies(self) -> None:
        """Undo `refuse_new_replies` and `silence_agent`."""
        self._last_event_id_allowed = None
        self._one_reply_allowed = False

    def silence_agent(self) -> None:
        """Stop what the agent is saying, until `accept_replies`."""
        self._media.interrupt()
        self._last_event_id_allowed = -1
        self._one_reply_allowed = False

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
            if not self._caller_present:
                return
            if self._leg.blocked:
                self._stall()
                return
            self._blocked_ticks = 0
            frame = self._media.next_frame()
            if frame is not None:
                self._leg.write(frame)
            else:
                self._leg.write(self._media.silence_frame)
                if not self._played_out.is_set():
                    self._reply_finished()
            self._watch_caller()
        except Exception as error:  # noqa: BLE001 (see _defect)
            self._defect(error)

    def caller_audio(self, frame: Audio) -> None:
        """Take a frame of the caller's sound: forwarded at once, never awaited."""
        self._ticks_since_caller = 0
        self._caller_ahead += max(1, len(frame.payload) // self._media.frame_bytes)
        if self._media.look_at(frame):
            self._report_caller_format(frame)
        if self._agent is not None:
            self._say_to_agent(frame.payload)
        else:
            self._pre_roll.append(frame.payload)

    def _report_caller_format(self, frame: Audio) -> None:
        heard = self._media.caller_format
        logger.info("call %s: Asterisk sends %s under kind 0x%02x", self.uuid, heard, frame.kind)
        if heard.encoding is not Encoding.PCM:
            logger.warning(
                "call %s: Asterisk passes the telephone's codec through under the label of linear sound; the "
                "gateway decodes it, but name the codec: Dial(AudioSocket/HOST:PORT/UUID/c(slin))",
                self.uuid,
            )

    def caller_digit(self, digit: str) -> None:
        """Take a key that the caller pressed; as long as sound of 100 ms: nobody presses faster."""
        self._caller_ahead += 5
        self.emit(events.DigitPressed(self.uuid, self._loop.time(), digit))
        if self._actions is not None:
            self._actions.digit_pressed(digit)

    def caller_gone(self, reason: EndReason, detail: str) -> None:
        """Take the end of the connection to Asterisk: nothing more will be heard."""
        self._caller_present = False
        self.playout.flush()
        self._played_out.set()
        self.end(reason, detail)

    def _say_to_agent(self, sound: bytes) -> None:
        assert self._agent is not None
        converted = self._media.to_agent(sound)
        if converted:
            self._agent.send_audio(converted)

    def _watch_caller(self) -> None:
        """Fill in silence for a caller who sends none; notice one who can't be a telephone."""
        self._ticks_since_caller += 1
        # Two frames a tick are forgiven: clocks differ, and a late network catches up.
        self._caller_ahead = max(0, self._caller_ahead - 2)
        if self._ticks_since_caller > CALLER_GAP_TICKS:
            if self._agent is not None:
                self._agent.send_audio(self._media.agent_silence)
            if self._ticks_since_caller % STALL_TICKS == 0 and self._leg.mid_frame:
                self.end(EndReason.CALLER_PROTOCOL, "Asterisk's side left a frame unfinished for 5 s")
        if self._caller_ahead > MAX_AHEAD_FRAMES:
            self.end(EndReason.CALLER_PROTOCOL, "the peer sends sound or keys faster than real time")

    def _stall(self) -> None:
        self._blocked_ticks += 1
        if self._blocked_ticks >= STALL_TICKS:
            self.end(EndReason.CALLER_STALLED, "Asterisk has taken no sound for 5 s")

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
                self._agent_spoke = False
                self.emit(events.CallerSaid(self.uuid, now, message.text))
            case messages.AgentResponse():
                self.emit(events.AgentSaid(self.uuid, now, message.text, corrected=False))
            case messages.AgentResponseCorrection():
                self.emit(events.AgentSaid(self.uuid, now, message.text, corrected=True))
            case messages.ClientToolCall() if self._actions is not None:
                self._actions.tool_called(message)
            case messages.QueueStatus():
                logger.warning("call %s: ElevenLabs queues the call: %.32r", self.uuid, message.status)
            case messages.ServerError():
                logger.warning("call %s: the agent reports: %.200r", self.uuid, message.message)
            case _:
                logger.debug("call %s: agent message %r is of no use here", self.uuid, message)

    def _agent_audio(self, message: messages.Audio) -> None:
        if not message.audio or (message.event_id is not None and not self._is_wanted(message.event_id)):
            return
        self._media.from_agent(message.audio)
        if self.playout.queued_ms > MAX_QUEUED_MS:
            self._media.interrupt()
            self.end(EndReason.AGENT_PROTOCOL, "the agent is half an hour ahead of what the caller hears")
        self._agent_spoke = True
        self._speaks.set()
        if self._played_out.is_set() and self._caller_present:
            self._played_out.clear()
            self.emit(events.ReplyStarted(self.uuid, self._loop.time()))

    def _is_wanted(self, event_id: int) -> bool:
        stale = event_id < self._stale_below
        if self._one_reply_allowed and not stale:
            self._one_reply_allowed = False
            self._last_event_id_allowed = event_id
        surplus = self._last_event_id_allowed is not None and event_id > self._last_event_id_allowed
        if stale or surplus:
            logger.debug("call %s: audio of event %d dropped", self.uuid, event_id)
            return False
        if event_id != self._last_event_id:
            self.playout.begin_reply()
            self._last_event_id = event_id
        return True

    def _interrupted(self, message: messages.Interruption) -> None:
        """Fall silent at once. Audio that follows plays: only what is older than the interruption is stale.

        Whether audio with the interruption's own id is stale is disputed between ElevenLabs' clients:
        `Settings.drop_interrupted_audio`.
        """
        discarded_ms = self._media.interrupt()
        if message.event_id is not None:
            fence = message.event_id + self._context.settings.drop_interrupted_audio
            self._stale_below = max(self._stale_below, fence)
        # An older id than the reply's ends the sound of a tool: nobody cut in.
        if discarded_ms and (message.event_id is None or message.event_id >= self._last_event_id):
            self._cuts_in += 1
        self.emit(events.Interrupted(self.uuid, self._loop.time(), discarded_ms))

    def _reply_finished(self) -> None:
        self._played_out.set()
        self.emit(events.ReplyFinished(self.uuid, self._loop.time(), self.playout.heard_ms))

    # Reporting

    def emit(self, event: events.CallEvent) -> None:
        """Tell the observers."""
        self._context.observe(event)

    def _defect(self, error: Exception) -> None:
        """End this call for a defect of ours. What runs on a shared clock or socket must never raise."""
        logger.error("call %s: internal error", self.uuid, exc_info=error)
        self.end(EndReason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")


def control_of(pbxs: PbxDirectory, host: str) -> CallControl | None:
    """Return the control of the PBX at ``host``, or None when it has no manager interface for us."""
    try:
        return pbxs.for_peer(host)
    except ControlError as error:
        logger.debug("%s", error)
        return None


async def _headers(caller: Awaitable[dict[str, str]]) -> dict[str, str]:
    return caller_headers(await caller)
