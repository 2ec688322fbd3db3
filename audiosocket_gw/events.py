"""The events of a call: the vocabulary of log, transcript, metrics and all other observers.

A call emits `CallEvent` objects, in order, to its observers. All times are ``asyncio`` loop times
in seconds; all durations are in milliseconds of audio unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from audiosocket_gw.end_reasons import CallEnd, EndReason


class SetupStep(StrEnum):
    """A step between the start of a call and the agent's metadata."""

    CALLER_DATA = "caller_data"
    AGENT_URL = "agent_url"
    SIGNED_URL = "signed_url"
    CONNECT = "connect"
    METADATA = "metadata"


class TransferOutcome(StrEnum):
    """What became of a transfer."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    """The destination isn't allowed or doesn't exist."""
    GIVEN_UP = "given up"
    """The caller interrupted it, or the call ended."""


@dataclass(frozen=True, slots=True)
class CallEvent:
    """Something that happened in the call ``uuid``, at loop time ``at`` (seconds)."""

    uuid: UUID
    at: float


@dataclass(frozen=True, slots=True)
class CallStarted(CallEvent):
    """Asterisk sent the call's UUID; audio flows from now on. ``peer`` is its address, ``host:port``."""

    peer: str


@dataclass(frozen=True, slots=True)
class CallerIdentified(CallEvent):
    """Asterisk has said who calls; a value that it doesn't have is empty.

    ``pbx`` is the host of the manager interface that was asked.
    """

    pbx: str
    caller_number: str
    caller_name: str
    dialled_number: str
    channel: str


@dataclass(frozen=True, slots=True)
class SetupStepDone(CallEvent):
    """A step of the set-up took ``ms`` of clock time. ``agent``: the agent's name or id, once it is known."""

    step: SetupStep
    ms: float
    agent: str = ""


@dataclass(frozen=True, slots=True)
class AgentConnected(CallEvent):
    """The agent has connected, ``setup_ms`` of clock time after the call started."""

    conversation_id: str
    setup_ms: float


@dataclass(frozen=True, slots=True)
class AgentQueued(CallEvent):
    """ElevenLabs queues the call, admits it, or gives up: ``status`` is its own word."""

    status: str


@dataclass(frozen=True, slots=True)
class AgentPinged(CallEvent):
    """The agent has measured the round trip to this gateway: ``rtt_ms``, every other second."""

    rtt_ms: float


@dataclass(frozen=True, slots=True)
class ReplyStarted(CallEvent):
    """The first audio of a reply was sent to the caller."""


@dataclass(frozen=True, slots=True)
class TurnTaken(CallEvent):
    """The agent answered: ``latency_ms`` from the end of the caller's speech, as heard here, to the first
    frame of the reply.
    """

    latency_ms: int


@dataclass(frozen=True, slots=True)
class AgentSilent(CallEvent):
    """The caller has heard nothing of the agent, ``waited_ms`` after it connected or the call started."""

    waited_ms: int


@dataclass(frozen=True, slots=True)
class AnswerLate(CallEvent):
    """The caller has waited ``waited_ms`` for an answer, which hasn't begun."""

    waited_ms: int


@dataclass(frozen=True, slots=True)
class CallerUndecodable(CallEvent):
    """The caller's audio can't be decoded, which is certain: the agent gets silence. At most once a call.

    ``codec`` is its name in Asterisk; empty if Asterisk didn't say.
    """

    codec: str


@dataclass(frozen=True, slots=True)
class ReplyFinished(CallEvent):
    """Everything queued has been sent to the caller; ``heard_ms`` counts the whole call so far."""

    heard_ms: int


@dataclass(frozen=True, slots=True)
class CallerSaid(CallEvent):
    """The agent's transcript of what the caller said."""

    text: str


@dataclass(frozen=True, slots=True)
class AgentSaid(CallEvent):
    """The text of a reply. ``corrected``: it replaces the previous reply, shortened to what was spoken."""

    text: str
    corrected: bool


@dataclass(frozen=True, slots=True)
class ReplyHeard(CallEvent):
    """A reply is over: the caller has heard all of it, or it was ``interrupted``.

    ``heard`` is the beginning of ``text`` up to where the audio ended, by the agent's own alignment of
    characters and audio, or in proportion where it sends none. ``reply`` is its event id.
    """

    reply: int
    text: str
    heard: str
    heard_ms: int
    length_ms: int
    interrupted: bool


@dataclass(frozen=True, slots=True)
class ReplyHeld(CallEvent):
    """The caller seems to speak (``BARGE_IN=local``): the reply is held until ElevenLabs decides."""


@dataclass(frozen=True, slots=True)
class ReplyResumed(CallEvent):
    """No interruption followed: the reply resumes, ``held_ms`` of clock time later."""

    held_ms: int


@dataclass(frozen=True, slots=True)
class Interrupted(CallEvent):
    """The caller interrupted: ``discarded_ms`` of queued audio were discarded.

    ``silence_ms``: from the beginning of the caller's speech, as heard here, until the caller
    heard silence; None if no speech was heard here.
    """

    discarded_ms: int
    silence_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DigitPressed(CallEvent):
    """The caller pressed a key."""

    digit: str


@dataclass(frozen=True, slots=True)
class ToolCalled(CallEvent):
    """The agent called a tool."""

    name: str
    tool_call_id: str


SLOW_TOOL_S = 3.0
"""A tool that takes longer is slow: the caller waits for what the agent does with its result."""


@dataclass(frozen=True, slots=True)
class ToolAnswered(CallEvent):
    """The agent was sent the tool's result."""

    name: str
    tool_call_id: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class TransferRequested(CallEvent):
    """The agent or a key asks for a transfer that is allowed.

    ``name``: the destination's name in ``TRANSFER_DESTINATIONS``, if it has one.
    """

    destination: str
    name: str


@dataclass(frozen=True, slots=True)
class TransferDecided(CallEvent):
    """A transfer is over, in one way or another; ``detail`` says why it was refused or failed."""

    destination: str
    name: str
    outcome: TransferOutcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FrameFigures(CallEvent):
    """How regular the audio was, once, before `CallEnded`.

    ``late``: frames that the caller got more than 10 ms late. ``skipped``: frames that it never got, since
    the process was blocked. ``missing``: frames that didn't come from the caller (hold, mute, silence
    suppression, loss).
    """

    late: int
    skipped: int
    missing: int


@dataclass(frozen=True, slots=True)
class CallEnded(CallEvent):
    """The last event of every call."""

    end: CallEnd
    duration_ms: int
    heard_ms: int

    @property
    def reason(self) -> EndReason:
        return self.end.reason

    @property
    def detail(self) -> str:
        """The cause as a sentence, for people."""
        return self.end.detail


Observer = Callable[[CallEvent], None]
"""Receives each event on the event loop: it must return at once and not raise."""


def describe(event: CallEvent) -> str:
    """Describe an event in a few words, without anything that was said or the key that was pressed."""
    match event:
        case CallStarted():
            return f"started by {event.peer}"
        case AgentConnected():
            return f"agent connected in {event.setup_ms:.0f} ms, conversation {event.conversation_id}"
        case AgentQueued():
            return f"in ElevenLabs' queue: {event.status:.32}"
        case AgentPinged():
            return f"agent pings, round trip {event.rtt_ms:.0f} ms"
        case CallerIdentified():
            return "caller identified"
        case SetupStepDone():
            return f"set-up step {event.step} took {event.ms:.0f} ms"
        case TurnTaken():
            return f"answered after {event.latency_ms} ms"
        case AgentSilent():
            return f"nothing heard of the agent for {event.waited_ms} ms"
        case AnswerLate():
            return f"no answer for {event.waited_ms} ms"
        case CallerUndecodable():
            return f"the caller's audio can't be decoded: {event.codec or 'not G.711':.64}"
        case ReplyStarted():
            return "agent starts to speak"
        case ReplyFinished():
            return f"all has been played, {event.heard_ms / 1000:.1f} s heard so far"
        case CallerSaid():
            return "transcript of the caller"
        case AgentSaid():
            return "text of the reply, cut to what was spoken" if event.corrected else "text of the reply"
        case ReplyHeard():
            return f"{event.heard_ms / 1000:.1f} of {event.length_ms / 1000:.1f} s of the reply heard"
        case ReplyHeld():
            return "reply held: the caller seems to speak"
        case ReplyResumed():
            return f"reply resumed after {event.held_ms} ms: no interruption followed"
        case Interrupted():
            return f"interrupted, {event.discarded_ms} ms discarded"
        case DigitPressed():
            return "key pressed"
        case ToolCalled():
            return f"agent calls tool {event.name:.64}"
        case ToolAnswered():
            return f"tool {event.name:.64} {'failed' if event.is_error else 'answered'}"
        case TransferRequested():
            return f"transfer to {event.name or event.destination} requested"
        case TransferDecided():
            return f"transfer to {event.name or event.destination} {event.outcome}"
        case FrameFigures():
            return f"{event.late} frames late, {event.skipped} skipped, {event.missing} missing"
        case CallEnded():
            return f"ended, {event.reason}: {event.detail}"
        case _:
            return type(event).__name__
