"""The conversation between a caller and an agent, without I/O: no loop, no clock, no socket, no log.

Its owner (`Call`) feeds it input (`receive_frame`, `receive_digit`, `receive_message`, `agent_ready`,
`agent_gone`, `caller_gone`), asks it every 20 ms for the caller's next frame (`tick`), and takes its output:
the caller's audio for the agent (`audio_to_agent`), other messages to the agent (`messages_to_send`), and
events, notices and messages for others (`events`). All times are seconds of one clock, passed as ``now``.

`Lifecycle` has the state of the conversation and its end; `repr` shows it. The limits of its watchdogs are in
`limits`; `Turns` watches for a silent or slow agent.
"""

from __future__ import annotations

from collections.abc import Iterator

from audiosocket_gw import events
from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.audio.hold_audio import HoldAudio
from audiosocket_gw.audio.speech_times import SENT_TICKS
from audiosocket_gw.call.agent_audio import AgentAudio, agent_format
from audiosocket_gw.call.agent_speech import AgentSpeech
from audiosocket_gw.call.audio_to_agent import AudioToAgent
from audiosocket_gw.call.barge_in import LocalBargeIn
from audiosocket_gw.call.caller_audio import MIN_AUDIO_BYTES, CallerAudio, Clock
from audiosocket_gw.call.lifecycle import Lifecycle, State
from audiosocket_gw.call.limits import (
    DIGIT_FRAMES,
    MAX_AHEAD_FRAMES,
    MAX_QUEUED_BYTES,
    MIN_FRAMES_COUNTED,
    RATE_CHANGE_FRAMES,
    STALL_S,
    STALL_TICKS,
)
from audiosocket_gw.call.options import ConversationOptions
from audiosocket_gw.call.outputs import CallerAudioBegan, CallerFormatChanged, Output
from audiosocket_gw.call.replies import interruption_notice
from audiosocket_gw.call.turns import LOOK_TICKS, Turns
from audiosocket_gw.causes import Flooding, NoInput, NothingSaid, Stalled, TooFast, UnfinishedFrame
from audiosocket_gw.elevenlabs import client_messages, messages
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.protocol.audiosocket import Audio

CALLER_GAP_TICKS = 200 // FRAME_MS
"""After this long without audio from the caller (hold, mute, silence suppression), the agent gets silence:
without audio it never ends a turn, and hangs up after 60 s."""


class Conversation:
    """A caller and an agent, from the first frame to the last."""

    # With more than 30 attributes, each object has its own dictionary on Python 3.11: 2 KB, and slower.
    __slots__ = (
        "_ahead",
        "_barge_in",
        "_blocked_ticks",
        "_has_heard_caller",
        "_is_over",
        "_messages",
        "_options",
        "_started_at",
        "_ticks_since_frame",
        "_ticks_to_look",
        "_turns",
        "_unfinished_ticks",
        "_uuid",
        "agent_audio",
        "audio_to_agent",
        "caller_audio",
        "lifecycle",
        "outputs",
        "speech",
        "ticks_since_caller",
    )

    def __init__(
        self,
        started: events.CallStarted,
        options: ConversationOptions,
        hold_audio: HoldAudio | None = None,
        clock: Clock | None = None,
        batch_frames: int = 1,
    ) -> None:
        """``clock`` returns ``now``, to measure the caller's byte rate."""
        self.outputs: list[Output] = [started]
        """What `events` will return. It is read every 20 ms, so it isn't a property."""
        self.caller_audio = CallerAudio(clock)
        self.agent_audio = AgentAudio(hold_audio)
        self.speech = AgentSpeech(started.uuid, self.agent_audio, self.outputs)
        self.lifecycle = Lifecycle(started, self.speech, self.agent_audio.playout, self.outputs)
        self.audio_to_agent = AudioToAgent(self.caller_audio, batch_frames, phase=started.uuid.int % 60)
        """The caller's audio: send what its ``read`` returns."""
        self.ticks_since_caller = 0
        """Ticks since the last audio from the caller."""
        self._uuid = started.uuid
        self._started_at = started.at
        self._options = options
        self._barge_in: LocalBargeIn | None = None
        if options.barge_in_deadline_s is not None:
            self._barge_in = LocalBargeIn(self.caller_audio, self.agent_audio, options.barge_in_deadline_s)
        self._turns = Turns(started, options, self.caller_audio, self.agent_audio, self.speech, self.outputs)
        self._ticks_to_look = LOOK_TICKS
        self._messages: list[bytes] = []
        self._has_heard_caller = False
        self._is_over = False  # `events.CallEnded` is out
        self._ahead = 0.0  # of real time, in frames of 20 ms
        self._ticks_since_frame = self._blocked_ticks = self._unfinished_ticks = 0

    def __repr__(self) -> str:
        lifecycle = self.lifecycle
        caller = "caller" if lifecycle.caller_present else "no caller"
        agent = "agent" if self.audio_to_agent.is_open else "no agent"
        queued_ms = self.agent_audio.playout.queued_ms
        return f"<{lifecycle.state.name}: {caller}, {agent}, {queued_ms} ms queued, end: {lifecycle.ending}>"

    # Output

    def events(self) -> list[Output]:
        """Return and clear the output since the last call. Nothing follows `events.CallEnded`."""
        outputs = self.outputs[:]
        self.outputs.clear()
        if self._is_over:
            return []
        self._is_over = self.lifecycle.state is State.CLOSED
        return outputs

    def messages_to_send(self) -> list[bytes]:
        """Return the messages for the agent, except audio: none before it has connected."""
        if not self.audio_to_agent.is_open:
            return []
        ready, self._messages = self._messages, []
        return ready

    # The clock

    def tick(self, now: float) -> bytes:
        """Return the caller's next frame (20 ms), to send now; nothing if the caller has gone."""
        if not self.lifecycle.caller_present:
            return b""
        frame = self.agent_audio.next_frame()
        if not self.speech.is_over and self.speech.tick(now):
            self._turns.reply_ended(now)
        if self._barge_in is not None:
            self._tick_barge_in(self._barge_in, now)
        if self.lifecycle.is_waiting:
            self.lifecycle.tick(now)
        self._blocked_ticks = 0
        self.ticks_since_caller += 1
        self._ticks_since_frame += 1
        ticks = self._ticks_to_look = self._ticks_to_look - 1
        if not ticks % SENT_TICKS:
            self._turns.audio_sent(self.agent_audio.audio)
            if not ticks:
                self._look_back(now)
        # Two frames per tick are allowed: clocks differ, and a late network catches up.
        ahead = self._ahead - 2
        self._ahead = ahead if ahead > 0 else 0.0
        return frame

    def _look_back(self, now: float) -> None:
        self._ticks_to_look = LOOK_TICKS
        talking = self.lifecycle.state is State.TALKING
        silent_s = self._turns.look(now, self.ticks_since_caller, talking=talking)
        if silent_s is not None and self._options.end_silent_agent:
            self.lifecycle.end(CallEnd(EndReason.SILENT_AGENT, NothingSaid(silent_s)), now)

    def tick_blocked(self, now: float) -> None:
        """Count a tick in which Asterisk accepted no audio: the socket is full."""
        self._blocked_ticks += 1
        if self._blocked_ticks >= STALL_TICKS:
            self.lifecycle.end(CallEnd(EndReason.CALLER_STALLED, Stalled(STALL_S)), now)
        self.lifecycle.tick(now)

    def fill_in_silence(self, now: float, *, mid_frame: bool) -> None:
        """Add 20 ms of silence for the agent; call this if ``ticks_since_caller > CALLER_GAP_TICKS``.

        ``mid_frame``: a frame from the caller is unfinished.
        """
        begins = self.ticks_since_caller == CALLER_GAP_TICKS + 1
        self.audio_to_agent.write_silence(self.ticks_since_caller if begins else 1)
        self._unfinished_ticks = self._unfinished_ticks + 1 if mid_frame else 0
        if self._unfinished_ticks >= STALL_TICKS:
            self.lifecycle.end(CallEnd(EndReason.CALLER_PROTOCOL, UnfinishedFrame(STALL_S)), now)
        no_input_s = self._options.no_input_s
        if no_input_s is not None and self._ticks_since_frame * FRAME_MS >= no_input_s * 1000:
            self.lifecycle.end_after_handover(CallEnd(EndReason.CALLER_SILENT, NoInput(no_input_s)), now)

    # The caller

    def receive_frame(self, frame: Audio, now: float) -> Audio | None:
        """Take a frame of the caller's audio; return the payload to record, if any."""
        caller, audio = self.caller_audio, frame.payload
        size = len(audio)
        frames = size / caller.frame_bytes  # `count_frame`, inlined: a function call costs too much here
        self._ahead += frames if frames > MIN_FRAMES_COUNTED else MIN_FRAMES_COUNTED
        if self._ahead > MAX_AHEAD_FRAMES:
            self._end_flood(now)
            return None
        if self._ticks_since_frame > CALLER_GAP_TICKS:
            caller.look_again()
        self._ticks_since_frame = 0
        if size != caller.settled_bytes or frame.kind is not caller.kind:
            if not self._has_heard_caller and size >= MIN_AUDIO_BYTES:
                self._has_heard_caller = True
                self.outputs.append(CallerAudioBegan())
            if caller.look_at(frame):
                self.outputs.append(CallerFormatChanged())
            if caller.kind is not self.agent_audio.kind:
                self.agent_audio.set_kind(caller.kind)
                self._ahead += RATE_CHANGE_FRAMES
            audio = caller.understood(audio)
            if not audio:  # the agent gets silence for it, in real time, as if nothing had arrived
                return self._keep_undecoded(frame)
            if audio is not frame.payload:
                frame = Audio(frame.kind, audio)
        self.ticks_since_caller = 0
        self._turns.frames.append(audio)
        if self._barge_in is not None and self._barge_in.caller_said(audio):
            self._turns.held_at = now
            self.outputs.append(events.ReplyHeld(self._uuid, now))
        self.audio_to_agent.write(audio)
        return frame

    def _keep_undecoded(self, frame: Audio) -> Audio | None:
        """Buffer audio that can't be decoded (yet); drop what isn't audio. Return what to record."""
        if self.caller_audio.is_understood or not frame.payload:
            return None
        self.audio_to_agent.keep(frame.payload)
        return frame

    def count_frame(self, size: int, now: float) -> None:
        """Count a frame of ``size`` bytes against real time, by its length: packets last 2.5 to 120 ms."""
        self._ahead += max(size / self.caller_audio.frame_bytes, MIN_FRAMES_COUNTED)
        if self._ahead > MAX_AHEAD_FRAMES:
            self._end_flood(now)

    def receive_digit(self, digit: str, now: float) -> bool:
        """Take a DTMF key; return whether it may act: not if keys come too fast."""
        self._ahead += DIGIT_FRAMES
        if self._ahead > MAX_AHEAD_FRAMES:
            self._end_flood(now)
            return False
        self.outputs.append(events.DigitPressed(self._uuid, now, digit))
        return True

    def _end_flood(self, now: float) -> None:
        """End the call at the frame that is too much: frames that follow it cost nothing."""
        self.lifecycle.end(CallEnd(EndReason.CALLER_PROTOCOL, TooFast()), now)

    def caller_gone(self, end: CallEnd, now: float) -> None:
        """Record that the connection to Asterisk has ended: discard what is queued, and end the call."""
        self.lifecycle.hang_up()
        self.agent_audio.playout.clear()
        self.lifecycle.cut(end, now)

    # The agent

    def agent_ready(self) -> Iterator[bytes]:
        """Yield the buffered caller audio, in chunks of the agent's format; then send to it what comes.

        A pause between two chunks lets other calls work.
        """
        yield from self.audio_to_agent.open()
        self.lifecycle.agent_ready()

    def send(self, message: bytes) -> None:
        """Send the agent a message as soon as it has connected."""
        self._messages.append(message)

    def receive_message(self, message: messages.ServerMessage, now: float) -> None:
        """Take a message from the agent. What others need (tools, the log) is among the `events`."""
        match message:
            case messages.Audio():
                if self.lifecycle.caller_present:  # else it would change what was heard
                    self._receive_audio(message, now)
                if self.agent_audio.playout.kept_bytes > MAX_QUEUED_BYTES:
                    self.speech.silence(now)
                    why = f"the agent is {MAX_QUEUED_BYTES >> 20} MiB of audio ahead of what the caller hears"
                    self.lifecycle.end(CallEnd(EndReason.AGENT_PROTOCOL, why), now)
            case messages.Interruption():
                self._interrupt(message, now)
            case messages.Metadata():
                self._set_formats(message, now)
            case messages.UserTranscript():
                self.speech.caller_spoke(now)
                self.outputs.append(events.CallerSaid(self._uuid, now, message.text))
            case messages.AgentResponse():
                self.speech.receive_text(message.event_id, message.text)
                self.outputs.append(events.AgentSaid(self._uuid, now, message.text, corrected=False))
            case messages.AgentResponseCorrection():
                self.outputs.append(events.AgentSaid(self._uuid, now, message.text, corrected=True))
            case messages.Ping(_, rtt_ms) if rtt_ms is not None:
                self.outputs.append(events.AgentPinged(self._uuid, now, rtt_ms))
            case messages.QueueStatus(status):
                self._turns.agent_queued(status, now)
                self.outputs += (message, events.AgentQueued(self._uuid, now, status))
            case _:
                self.outputs.append(message)

    def _receive_audio(self, message: messages.Audio, now: float) -> None:
        was_over, queued_ms = self.speech.is_over, self.agent_audio.playout.queued_ms
        self.speech.receive_audio(message, now)
        if was_over and not self.speech.is_over:
            self._turns.reply_began(now, self.ticks_since_caller, queued_ms)

    def agent_gone(self, end: CallEnd, now: float) -> None:
        """Record the end of the agent's connection: it ends the call, unless a hand-over is in progress."""
        self.audio_to_agent.close()
        if self._barge_in is not None:
            self._barge_in = None  # no agent is left to confirm an interruption
            self.agent_audio.resume()
        if isinstance(end.cause, Flooding):
            self.speech.silence(now)  # many minutes of audio may be queued
        self.lifecycle.end_after_handover(end, now)

    def _set_formats(self, metadata: messages.Metadata, now: float) -> None:
        """Set both formats. Don't wait for `agent_ready`: the first audio may be in the same TCP segment."""
        try:
            agent_input = agent_format(metadata.input_format, "user_input_audio_format")
            agent_output = agent_format(metadata.output_format, "agent_output_audio_format")
        except ValueError as error:
            self.lifecycle.end(CallEnd(EndReason.AGENT_FORMAT, str(error)), now)
            return
        self.caller_audio.set_agent_format(agent_input)
        self.agent_audio.set_format(agent_output)
        self._turns.agent_connected(now)
        setup_ms = (now - self._started_at) * 1000
        self.outputs.append(events.AgentConnected(self._uuid, now, metadata.conversation_id, setup_ms))

    def _interrupt(self, message: messages.Interruption, now: float) -> None:
        options = self._options
        if not options.interruptible and self.speech.is_cut_by(message.event_id):
            return
        silence_ms = self._turns.silence_ms(message.event_id, now, self.ticks_since_caller)
        heard = self.speech.interrupt(
            message.event_id, now, drop_own=options.drop_interrupted_audio, silence_ms=silence_ms
        )
        if heard is None:
            return
        self.lifecycle.caller_interrupted()
        if heard and options.report_heard:
            self.send(client_messages.contextual_update(interruption_notice(heard)))

    def _tick_barge_in(self, barge_in: LocalBargeIn, now: float) -> None:
        held_ms = barge_in.tick()
        if held_ms is not None:
            self.outputs.append(events.ReplyResumed(self._uuid, now, held_ms))
