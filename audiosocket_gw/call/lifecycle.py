"""The state of a conversation, and its transition table. Pure.

    CONNECTING ──── the agent is ready ───▶ TALKING
        │ ▲                                  │ ▲
        │ └─ it goes on ─┐   ┌─ it goes on ──┼─┘
        │                │   │               │
        └── last words ─▶ HANDING_OVER ◀─────┘

    any of these ── end ──▶ DRAINING ── all is heard ──▶ ENDED ── close ──▶ CLOSED

A step that the table doesn't list for a state leaves it unchanged.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf

from audiosocket_gw import events
from audiosocket_gw.call.agent_speech import AgentSpeech
from audiosocket_gw.call.last_words import Draining, LastWords
from audiosocket_gw.call.outputs import Drained, EndDecided, LastWordsOver, Output
from audiosocket_gw.call.playout import Playout
from audiosocket_gw.end_reasons import AGENT_ENDS, CallEnd, EndReason


class State(Enum):
    """The state of a conversation."""

    CONNECTING = auto()
    """The agent hasn't connected: the caller's audio is buffered, the caller hears silence or hold audio."""
    TALKING = auto()
    """Audio flows in both directions."""
    HANDING_OVER = auto()
    """A hang-up or transfer has begun: the agent says its last words, then Asterisk takes the caller."""
    DRAINING = auto()
    """The end is decided, and the caller still hears what is queued."""
    ENDED = auto()
    """Nothing more will be heard; the caller's side waits to be hung up."""
    CLOSED = auto()
    """`events.CallEnded` is out. It is the last event."""


class Step(Enum):
    """What changes the state."""

    AGENT_READY = auto()
    LAST_WORDS = auto()
    GO_ON_TALKING = auto()
    GO_ON_CONNECTING = auto()
    END = auto()
    HEARD = auto()
    CLOSE = auto()


TRANSITIONS = {
    State.CONNECTING: {
        Step.AGENT_READY: State.TALKING,
        Step.LAST_WORDS: State.HANDING_OVER,
        Step.END: State.DRAINING,
        Step.CLOSE: State.CLOSED,
    },
    State.TALKING: {
        Step.LAST_WORDS: State.HANDING_OVER,
        Step.END: State.DRAINING,
        Step.CLOSE: State.CLOSED,
    },
    State.HANDING_OVER: {
        Step.GO_ON_TALKING: State.TALKING,
        Step.GO_ON_CONNECTING: State.CONNECTING,
        Step.END: State.DRAINING,
        Step.CLOSE: State.CLOSED,
    },
    State.DRAINING: {Step.HEARD: State.ENDED, Step.CLOSE: State.CLOSED},
    State.ENDED: {Step.CLOSE: State.CLOSED},
    State.CLOSED: {},
}

LAST_REPLY_S = 20.0
"""How long a reply may continue when the call has reached ``MAX_CALL_SECONDS``."""


class Lifecycle:
    """The state of one conversation, the waits for the agent to finish, and how the conversation ends."""

    __slots__ = (
        "_draining",
        "_last_words",
        "_outputs",
        "_playout",
        "_postponed",
        "_speech",
        "_started_at",
        "_uuid",
        "caller_present",
        "ending",
        "is_waiting",
        "state",
    )

    def __init__(
        self, started: events.CallStarted, speech: AgentSpeech, playout: Playout, outputs: list[Output]
    ) -> None:
        self.state = State.CONNECTING
        self.ending: CallEnd | None = None
        """How the conversation ends; the first end counts. None: it hasn't been decided."""
        self.caller_present = True
        """Whether frames can be sent to the caller."""
        self.is_waiting = False
        """Whether `tick` has anything to do."""
        self._uuid = started.uuid
        self._started_at = started.at
        self._speech = speech
        self._playout = playout
        self._outputs = outputs
        self._postponed: CallEnd | None = None
        self._last_words: LastWords | None = None
        self._draining: Draining | None = None

    def agent_ready(self) -> None:
        """Record that the agent has connected."""
        self._step(Step.AGENT_READY)

    def hang_up(self) -> None:
        """Record that no more frames can be sent to the caller."""
        self.caller_present = False
        if self._draining is not None:
            self._finish_draining(Drained())

    def tick(self, now: float) -> None:
        """Check the waits. Call it in every tick while `is_waiting`."""
        if self._last_words is not None:
            over = self._last_words.tick(now, self._speech)
            if over is not None:
                self._finish_last_words(over)
        if self._draining is not None:
            drained = self._draining.tick(now, self._speech, self._playout.queued_ms)
            if drained is not None:
                self._finish_draining(drained)
        self.is_waiting = self._last_words is not None or self._draining is not None

    def _finish_draining(self, drained: Drained) -> None:
        self._draining = None
        self._step(Step.HEARD)
        self._outputs.append(drained)

    # Hand-over: a transfer or a hang-up, by a tool or a key

    def await_last_words(self, now: float) -> None:
        """Begin a hand-over: `LastWordsOver` follows when the agent has finished."""
        self._step(Step.LAST_WORDS)
        self._last_words = LastWords(now, self._playout.queued_ms)
        self.is_waiting = True

    def caller_interrupted(self) -> None:
        """Record that the caller interrupted the agent."""
        if self._last_words is not None:
            self._finish_last_words(LastWordsOver(interrupted=True))

    def go_on(self, now: float, *, agent_present: bool) -> None:
        """Cancel the hand-over."""
        self._last_words = None
        if self.ending is not None:
            return  # what the end has refused stays refused
        self._speech.accept_replies()
        self._step(Step.GO_ON_TALKING if agent_present else Step.GO_ON_CONNECTING)
        if self._postponed is not None:
            self.end(self._postponed, now)

    def _finish_last_words(self, over: LastWordsOver) -> None:
        self._last_words = None
        self._outputs.append(over)

    # The end

    def end(self, end: CallEnd, now: float) -> None:
        """End the conversation; the first end counts. `Drained` follows when nothing more will be heard."""
        if self.ending is not None:
            return
        self.ending = end
        self._outputs.append(EndDecided(end))
        self._step(Step.END)
        self._draining = Draining(now, self._playout.queued_ms, self._restrict_speech(end.reason))
        self.tick(now)

    def _restrict_speech(self, reason: EndReason) -> float:
        """Restrict what the agent may still say; return how many seconds the caller may still listen."""
        if not self.caller_present:
            return 0.0
        if reason in AGENT_ENDS:
            self._speech.refuse_all()  # after a hang-up by tool or key it is still connected
            return inf
        if reason is EndReason.MAX_DURATION:
            self._speech.finish_reply()
            return LAST_REPLY_S
        return 0.0

    def end_after_handover(self, end: CallEnd, now: float) -> None:
        """End the conversation, but let a hand-over that has begun finish first: its own end counts."""
        if self.state is State.HANDING_OVER:
            self._postponed = self._postponed or end
        else:
            self.end(end, now)

    def cut(self, end: CallEnd, now: float) -> None:
        """End the conversation at once: the queue is discarded."""
        self._speech.is_over = True
        self.end(end, now)
        self.tick(now)

    def close(self, end: CallEnd, now: float) -> None:
        """Emit the last events. ``end`` replaces `ending`: if Asterisk carried out a transfer or hang-up, the
        call ended by that, not by the closed connection that it caused.
        """
        if self.state is State.CLOSED:
            return
        self._step(Step.CLOSE)
        self.ending = end
        self.caller_present = False
        self._speech.close(now)
        duration_ms = round((now - self._started_at) * 1000)
        self._outputs.append(events.CallEnded(self._uuid, now, end, duration_ms, self._playout.heard_ms))

    def _step(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state].get(step, self.state)
