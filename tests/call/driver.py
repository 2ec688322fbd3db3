"""Drives a `Conversation` on a clock of its own: no loop, no sockets, no waiting."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.call.conversation import CALLER_GAP_TICKS, Conversation, ConversationOptions
from audiosocket_gw.call.notices import Drained, EndDecided, LastWordsOver, Output
from audiosocket_gw.call.progress import State
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.events import AgentConnected, CallEnd, CallEvent, CallStarted, EndReason
from audiosocket_gw.protocol.audiosocket import Audio, Decoder, Kind

CALL = UUID("11111111-2222-3333-4444-555555555555")
HUNG_UP = CallEnd(EndReason.CALLER_HANGUP, "hung up")
SILENCE = bytes(320)

T = TypeVar("T", bound=Output)


class Driver:
    """One conversation, and all that came of it."""

    def __init__(self, batch_frames: int = 1, *, measures_rate: bool = True, **options: Any) -> None:
        """``measures_rate``: notice audio of another rate than its label says by how fast it comes."""
        self.now = 100.0
        self.conversation = Conversation(
            CallStarted(CALL, self.now, "asterisk:1"),
            ConversationOptions(**options),
            clock=(lambda: self.now) if measures_rate else None,
            batch_frames=batch_frames,
        )
        self.outputs: list[Output] = []
        self.messages: list[bytes] = []
        self.to_agent: list[bytes] = []
        self.frames: list[Audio] = []
        self._decoder = Decoder(identified=True)
        self._frames_due = 0.0
        self.collect()

    @property
    def state(self) -> State:
        return self.conversation.progress.state

    def is_in(self, state: State) -> bool:
        return self.state is state

    def collect(self) -> None:
        """Take all that the conversation has for others."""
        self.outputs += self.conversation.events()
        self.messages += self.conversation.messages_to_send()
        audio = self.conversation.audio_to_agent.read()
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

    # Time

    def tick(self, count: int = 1, *, blocked: bool = False, mid_frame: bool = False) -> None:
        conversation = self.conversation
        for _ in range(count):
            self.now += FRAME_MS / 1000
            if blocked:
                conversation.tick_blocked(self.now)
            elif frame := conversation.tick(self.now):
                self.frames.extend(f for f in self._decoder.receive(frame) if isinstance(f, Audio))
                if conversation.ticks_since_caller > CALLER_GAP_TICKS:
                    conversation.fill_in_silence(self.now, mid_frame=mid_frame)
            self.collect()

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

    def receive(self, message: messages.ServerMessage) -> None:
        self.conversation.receive_message(message, self.now)
        self.collect()

    def connect(self, agent_output: str = "pcm_8000", user_input: str = "pcm_8000") -> None:
        """Have the agent answer."""
        self.receive(messages.Metadata("conv_1", agent_output, user_input))
        self.to_agent += self.conversation.agent_ready()
        self.collect()

    def agent_says(self, audio: bytes, event_id: int | None = 1, *, is_final: bool = False) -> None:
        self.receive(messages.Audio(audio, event_id, (), is_final))

    def interrupt(self, event_id: int | None = 1) -> None:
        self.receive(messages.Interruption(event_id))

    def agent_gone(self, reason: EndReason = EndReason.AGENT_HANGUP) -> None:
        self.conversation.agent_gone(CallEnd(reason, "the agent is gone"), self.now)
        self.collect()

    def hang_up(self) -> None:
        self.conversation.caller_gone(HUNG_UP, self.now)
        self.collect()

    def close(self, end: CallEnd | None = None) -> None:
        """Do what `Call` does when nothing more is to be heard."""
        ending = end or self.conversation.progress.ending
        assert ending is not None, self.conversation
        self.conversation.progress.close(ending, self.now)
        self.collect()

    @property
    def is_drained(self) -> bool:
        return bool(self.of(Drained)) and bool(self.of(EndDecided))

    @property
    def last_words(self) -> LastWordsOver | None:
        return next(iter(self.of(LastWordsOver)), None)


def connected(**options: Any) -> Driver:
    """Return a driver whose agent is there."""
    driver = Driver(**options)
    driver.connect()
    assert driver.of(AgentConnected)
    return driver
