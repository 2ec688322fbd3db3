"""What a call page shows of a call. Pure data: nothing here knows of coordinates or HTML.

All times are seconds since the start of the call.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from audiosocket_gw.audio.frame_timing import FrameTiming
from audiosocket_gw.call_page.direction import Direction, Span
from audiosocket_gw.ledger.record import CallRecord


class Source(StrEnum):
    """What the page is made of."""

    FLIGHT = "flight recording"
    RECORDING = "recording"
    RECORD = "call record"
    CALLER = "caller's end"
    """The frames as the softphone sent and received them, with the gateway's events."""


class Speaker(StrEnum):
    CALLER = "Caller"
    AGENT = "Agent"


@dataclass(frozen=True, slots=True)
class Words:
    """A line of the transcript. ``unheard`` is what an interruption cut off."""

    at: float
    speaker: Speaker
    text: str
    unheard: str = ""


class MarkKind(StrEnum):
    """What a mark on the time line stands for, in words."""

    SETUP = "set-up"
    ANSWER = "answer"
    NO_ANSWER = "no answer"
    SILENT = "silent agent"
    UNDECODABLE = "not decoded"
    BARGE_IN = "barge-in"
    HOLD = "reply held"
    TOOL = "tool"
    TRANSFER = "transfer"
    QUEUE = "queue"
    KEY = "key"
    GAP = "gap"
    END = "end"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened from ``start`` to ``end``, which may be the same.

    ``label``: a few characters beside the mark; ``text``: a sentence, for the table. ``is_fault``: somebody
    should look at it.
    """

    kind: MarkKind
    start: float
    end: float
    label: str
    text: str
    is_fault: bool = False


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The caller interrupted at ``at``; ``discarded_ms`` of queued audio were discarded.

    ``spoken_at``: when its speech began, if it was heard here. ``stop_ms``: from the interruption to silence,
    the gateway's own share; ``silence_ms``: from the caller's first audio to silence, which the caller
    notices. Each is None if it isn't known.
    """

    at: float
    spoken_at: float | None
    stop_ms: float | None
    silence_ms: float | None
    discarded_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The caller stopped speaking at ``asked_at``, and heard the agent from ``answered_at`` on."""

    asked_at: float
    answered_at: float

    @property
    def latency_ms(self) -> float:
        return (self.answered_at - self.asked_at) * 1000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CallModel:
    """A call, ready to be laid out. What the source doesn't have is None or empty.

    ``record`` has the caller masked. ``gateway``: the version that recorded it. ``answers_measured``: the
    answers were measured in the audio, since the gateway that recorded it reported none.
    """

    source: Source
    record: CallRecord
    gateway: str
    duration: float
    caller: Direction | None
    agent: Direction | None
    caller_speech: tuple[Span, ...]
    agent_speech: tuple[Span, ...]
    words: tuple[Words, ...]
    answers: tuple[Answer, ...]
    answers_measured: bool
    barge_ins: tuple[BargeIn, ...]
    marks: tuple[Mark, ...]
    is_up: bool
    """The call hasn't ended; otherwise, what there is of it breaks off."""
    round_trips_ms: tuple[float, ...]
    """Between the agent and the gateway, as the agent measures them."""
    to_caller: FrameTiming | None
    from_caller: FrameTiming | None
