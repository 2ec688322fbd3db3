"""Drives a `Conversation` on a clock of its own, as `Call` does: no loop, no sockets, no waiting."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

from audiosocket_gw import events
from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.audio.hold_audio import HoldAudio
from audiosocket_gw.call.conversation import CALLER_GAP_TICKS, Conversation
from audiosocket_gw.call.lifecycle import TRANSITIONS, State
from audiosocket_gw.call.options import ConversationOptions
from audiosocket_gw.call.outputs import Drained, EndDecided, LastWordsOver, Output
from audiosocket_gw.causes import Cause
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.events import AgentConnected, CallEvent, CallStarted
from audiosocket_gw.protocol.audiosocket import HEADER, SAMPLE_RATES, Audio, Kind

CALL = UUID("11111111-2222-3333-4444-555555555555")
HUNG_UP = CallEnd(EndReason.CALLER_HANGUP, "hung up")

T = TypeVar("T", bound=Output)


def _reachable(state: State) -> set[State]:
    found = {state}
    while new := {to for one in found for to in TRANSITIONS[one].values()} - found:
        found |= new
    return found


REACHABLE = {state: _reachable(state) for state in State}


class Rules:
    """What holds in every conversation, whatever happens in it."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._state = conversation.lifecycle.state
        self._at = 0.0
        self._heard_ms = self._end_ms = self._reported_ms = 0
        self._seen: set[type] = set()
        self._speaks = self._holds = False
        self.agent_is_there = False
        self.last_words_awaited = False

    def check_progress(self) -> None:
        """The state goes only where the table leads, and the caller never hears less than before."""
        state = self._conversation.lifecycle.state
        if state is not self._state:
            assert state in REACHABLE[self._state], f"from {self._state} to {state}"
            self._state = state
        heard_ms = self._conversation.agent_audio.playout.heard_ms
        assert heard_ms >= self._heard_ms
        self._heard_ms = heard_ms

    def check_frame(self, frame: bytes) -> None:
        """A caller who is there gets 20 ms each time; nobody else gets anything."""
        if not frame:
            assert not self._conversation.lifecycle.caller_present
            return
        kind, size = HEADER.unpack_from(frame)
        assert size == SAMPLE_RATES[kind] * FRAME_MS // 1000 * 2
        assert len(frame) == HEADER.size + size

    def check_to_agent(self, audio_or_message: bytes) -> None:
        """Only an agent that is there is sent anything."""
        assert self.agent_is_there or not audio_or_message

    def check_output(self, output: Output) -> None:
        assert events.CallEnded not in self._seen, f"{output} after the last event"
        if isinstance(output, CallEvent):
            assert output.uuid == CALL
            assert output.at >= self._at, f"{output} comes too late"
            self._at = output.at
        match output:
            case EndDecided() | Drained() | events.CallEnded():
                assert type(output) not in self._seen, f"a second {output}"
                assert not isinstance(output, Drained) or EndDecided in self._seen
            case LastWordsOver():
                assert self.last_words_awaited
                self.last_words_awaited = False
            case events.ReplyStarted():
                self._speaks = True
            case events.ReplyFinished():
                assert self._speaks
                self._speaks = False
                assert output.heard_ms == self._conversation.agent_audio.playout.heard_ms
            case events.ReplyHeard():
                self._check_heard(output)
            case events.ReplyHeld():
                assert not self._holds
                self._holds = True
            case events.Interrupted():
                self._holds = False
            case events.ReplyResumed():
                assert self._holds
                self._holds = False
        self._seen.add(type(output))

    def _check_heard(self, reply: events.ReplyHeard) -> None:
        assert 0 <= reply.heard_ms <= reply.length_ms
        assert reply.interrupted is (reply.heard_ms < reply.length_ms)
        assert reply.text.startswith(reply.heard)
        self._reported_ms += reply.heard_ms
        # The fading end of an interrupted reply counts as heard, though the caller may hang up just then.
        self._end_ms = max(self._end_ms, self._conversation.agent_audio.playout.end_ms)
        assert self._reported_ms <= self._end_ms, "audio was reported as heard twice"


class Driver:
    """One conversation, and all that came of it. Whatever breaks one of the `Rules` fails the test."""

    def __init__(
        self,
        batch_frames: int = 1,
        *,
        measures_rate: bool = True,
        hold_audio: HoldAudio | None = None,
        **options: Any,
    ) -> None:
        """``measures_rate``: notice audio of another rate than its label says by how fast it comes."""
        self.now = 100.0
        self.batch_frames = batch_frames
        """What the load of the process asks for; it may be changed at any time."""
        self.conversation = Conversation(
            CallStarted(CALL, self.now, "asterisk:1"),
            ConversationOptions(**options),
            hold_audio,
            clock=(lambda: self.now) if measures_rate else None,
            batch_frames=batch_frames,
        )
        self.outputs: list[Output] = []
        self.messages: list[bytes] = []
        self.to_agent: list[bytes] = []
        self.frames: list[Audio] = []
        self._rules = Rules(self.conversation)
        self._frames_due = 0.0
        self.collect()

    @property
    def state(self) -> State:
        return self.conversation.lifecycle.state

    def is_in(self, state: State) -> bool:
        return self.state is state

    def collect(self) -> None:
        """Take all that the conversation has for others."""
        conversation = self.conversation
        if conversation.outputs:
            for output in conversation.events():
                self._rules.check_output(output)
                self.outputs.append(output)
        for message in conversation.messages_to_send():
            self._rules.check_to_agent(message)
            self.messages.append(message)
        self._send(conversation.audio_to_agent.read())
        self._rules.check_progress()

    def _send(self, audio: bytes) -> None:
        self._rules.check_to_agent(audio)
        if audio:
            self.to_agent.append(audio)

    def of(self, kind: type[T]) -> list[T]:
        return [output for output in self.outputs if isinstance(output, kind)]

    @property
    def events(self) -> list[CallEvent]:
        return [output for output in self.outputs if isinstance(output, CallEvent)]

    @property
    def heard(self) -> bytes:
        """All audio that the caller has been sent, silence included."""
        return b"".join(frame.payload for frame in self.frames)

    @property
    def agent_heard(self) -> bytes:
        """All audio that the agent has been sent."""
        return b"".join(self.to_agent)

    # Time

    def tick(self, count: int = 1, *, blocked: bool = False, mid_frame: bool = False) -> None:
        conversation = self.conversation
        for _ in range(count):
            self.now += FRAME_MS / 1000
            if self.batch_frames > 1 or conversation.audio_to_agent.batch_frames > 1:
                self._send_batch()
            if blocked:
                conversation.tick_blocked(self.now)
            else:
                self._next_frame(mid_frame)
            self.collect()

    def _send_batch(self) -> None:
        batch = self.conversation.audio_to_agent
        if batch.batch_is_due(self.batch_frames):
            self._send(batch.read_batch())

    def _next_frame(self, mid_frame: bool) -> None:
        conversation = self.conversation
        frame = conversation.tick(self.now)
        self._rules.check_frame(frame)
        if frame:
            self.frames.append(Audio(Kind(frame[0]), frame[HEADER.size :]))
            if conversation.ticks_since_caller > CALLER_GAP_TICKS:
                conversation.fill_in_silence(self.now, mid_frame=mid_frame)

    def run(self, seconds: float, **how: Any) -> None:
        self.tick(round(seconds * 1000 / FRAME_MS), **how)

    def pass_ms(self, ms: float) -> None:
        """Let time pass that is no multiple of a tick."""
        self._frames_due += ms / FRAME_MS
        whole = int(self._frames_due)
        self._frames_due -= whole
        self.tick(whole)

    # The two sides

    def caller_says(self, audio: bytes, kind: Kind = Kind.SLIN) -> None:
        """Have the caller's frame arrive, and nothing else happen."""
        self.conversation.receive_frame(Audio(kind, audio), self.now)
        self.collect()

    def caller_speaks(self, audio: bytes, kind: Kind = Kind.SLIN, packet_ms: float = FRAME_MS) -> None:
        """Have the caller say something at the pace of a telephone."""
        size = round(SAMPLE_RATES[kind] * packet_ms / 1000) * 2
        for start in range(0, len(audio) - size + 1, size):
            self.caller_says(audio[start : start + size], kind)
            self.pass_ms(packet_ms)

    def receive(self, message: messages.ServerMessage) -> None:
        self.conversation.receive_message(message, self.now)
        self.collect()

    def connect(self, agent_output: str = "pcm_8000", user_input: str = "pcm_8000") -> None:
        """Have the agent answer."""
        self.receive(messages.Metadata("conv_1", agent_output, user_input))
        self.agent_ready()

    def agent_ready(self) -> None:
        self._rules.agent_is_there = True
        self.to_agent += self.conversation.agent_ready()
        self.collect()

    def agent_says(self, audio: bytes, event_id: int | None = 1, *, is_final: bool = False) -> None:
        self.receive(messages.Audio(audio, event_id, (), is_final))

    def interrupt(self, event_id: int | None = 1) -> None:
        self.receive(messages.Interruption(event_id))

    def agent_gone(
        self, reason: EndReason = EndReason.AGENT_HANGUP, cause: Cause = "the agent is gone"
    ) -> None:
        self._rules.agent_is_there = False
        self.conversation.agent_gone(CallEnd(reason, cause), self.now)
        self.collect()

    def hang_up(self) -> None:
        self.conversation.caller_gone(HUNG_UP, self.now)
        self.collect()

    # Hand-over and end, as control asks for them

    def await_last_words(self) -> None:
        self._rules.last_words_awaited = True
        self.conversation.lifecycle.await_last_words(self.now)
        self.collect()

    def go_on(self, *, agent_present: bool = True) -> None:
        self._rules.last_words_awaited = False
        self.conversation.lifecycle.go_on(self.now, agent_present=agent_present)
        self.collect()

    def end(self, reason: EndReason, detail: str = "why") -> None:
        self.conversation.lifecycle.end(CallEnd(reason, detail), self.now)
        self.collect()

    def close(self, end: CallEnd | None = None) -> None:
        """Do what `Call` does when nothing more is to be heard."""
        ending = end or self.ending
        assert ending is not None, self.conversation
        self.conversation.lifecycle.close(ending, self.now)
        self.collect()

    @property
    def ending(self) -> CallEnd | None:
        return self.conversation.lifecycle.ending

    @property
    def is_drained(self) -> bool:
        return bool(self.of(Drained))

    @property
    def last_words(self) -> LastWordsOver | None:
        return next(iter(self.of(LastWordsOver)), None)


def connected(**options: Any) -> Driver:
    """Return a driver whose agent is there."""
    driver = Driver(**options)
    driver.connect()
    assert driver.of(AgentConnected)
    return driver
