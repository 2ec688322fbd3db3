"""Builds the time line of a call from the records of caller and gateway: who spoke when, and how long each
waited.

Pure: no clock, no input or output. All times are seconds since the start of the call, when the UUID frame
left, as measured at the caller's end of the line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from audiosocket_gw import events
from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.audio.frame_timing import TimedFrame, due_times, lateness_ms
from audiosocket_gw.testing.softphone import CallRecord, is_speech

FRAME_S = FRAME_MS / 1000

PAUSE_S = 0.4
"""Shorter silence is a pause within one utterance."""

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Segment:
    """Somebody's utterance."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Response:
    """The caller stopped speaking at ``asked_at``, and heard the agent from ``answered_at`` on."""

    asked_at: float
    answered_at: float

    @property
    def latency_ms(self) -> float:
        return (self.answered_at - self.asked_at) * 1000


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The caller interrupted at ``spoken_at``; the agent's message came at ``interrupted_at``."""

    spoken_at: float
    interrupted_at: float
    silent_at: float
    """The end of the last audio of the interrupted reply at the caller's end."""
    discarded_ms: int
    """Queued audio that the caller never heard."""

    @property
    def message_to_silence_ms(self) -> float:
        return (self.silent_at - self.interrupted_at) * 1000

    @property
    def speech_to_silence_ms(self) -> float:
        return (self.silent_at - self.spoken_at) * 1000


@dataclass(frozen=True, slots=True)
class Utterance:
    """A line of the transcript. ``unheard`` is the part of ``text`` that an interruption cut off."""

    at: float
    by_agent: bool
    text: str
    unheard: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A call, ready to be drawn: ``duration`` seconds of both sides."""

    record: CallRecord
    duration: float
    caller_speech: tuple[Segment, ...]
    agent_speech: tuple[Segment, ...]
    responses: tuple[Response, ...]
    barge_ins: tuple[BargeIn, ...]
    transcript: tuple[Utterance, ...]
    events: tuple[events.CallEvent, ...]
    setup_ms: float | None
    """From the start of the call to the agent's metadata; None: it never came."""
    caller_samples: Samples
    agent_samples: Samples
    lateness: tuple[tuple[float, float], ...]
    """For each frame received: its arrival, and its lateness in milliseconds."""

    @property
    def first_speech_ms(self) -> float | None:
        """From the start of the call to the agent's first word at the caller's end."""
        return self.agent_speech[0].start * 1000 if self.agent_speech else None


def build_timeline(
    record: CallRecord, happened: Iterable[events.CallEvent], interrupted_at: Sequence[float] | None = None
) -> Timeline:
    """Build the time line of a call.

    ``happened`` are the gateway's events of this call. ``interrupted_at``: the loop times at which the agent
    sent its interruptions, if known; otherwise the times at which the gateway acted on them are used.
    """
    call_events = tuple(replace(event, at=event.at - record.started_at) for event in happened)
    caller_speech = segments(record.sent, record.started_at + FRAME_S)
    agent_speech = segments(record.heard, record.started_at)
    lateness = lateness_ms(record.heard, record.rate).tolist() if record.heard else []
    caller_samples = _lay_out(record.sent, record, lead_s=FRAME_S)
    agent_samples = _lay_out(record.heard, record)
    size = max(caller_samples.size, agent_samples.size, round(record.duration_ms / 1000 * record.rate))
    return Timeline(
        record=record,
        duration=size / record.rate,
        caller_speech=caller_speech,
        agent_speech=agent_speech,
        responses=_responses(caller_speech, agent_speech),
        barge_ins=_barge_ins(record, call_events, caller_speech, interrupted_at),
        transcript=_transcript(call_events, caller_speech),
        events=call_events,
        setup_ms=next((e.setup_ms for e in call_events if isinstance(e, events.AgentConnected)), None),
        caller_samples=np.pad(caller_samples, (0, size - caller_samples.size)),
        agent_samples=np.pad(agent_samples, (0, size - agent_samples.size)),
        lateness=tuple(
            (frame.at - record.started_at, late) for frame, late in zip(record.heard, lateness, strict=True)
        ),
    )


def segments(frames: Sequence[TimedFrame], origin: float) -> tuple[Segment, ...]:
    """Find the utterances in ``frames``; ``origin`` is the loop time to count from.

    A received frame plays for 20 ms from its arrival. A sent frame was spoken in the 20 ms before, so pass an
    ``origin`` 20 ms later for those.
    """
    found: list[Segment] = []
    for frame in frames:
        if is_speech(frame.payload):
            start = frame.at - origin
            if found and start - found[-1].end < PAUSE_S:
                found[-1] = replace(found[-1], end=start + FRAME_S)
            else:
                found.append(Segment(start, start + FRAME_S))
    return tuple(found)


def _responses(caller: Sequence[Segment], agent: Sequence[Segment]) -> tuple[Response, ...]:
    """Return the answers: the first utterance of the agent directly after one of the caller."""
    found = []
    for number, asked in enumerate(caller):
        next_start = caller[number + 1].start if number + 1 < len(caller) else float("inf")
        answered_at = next((reply.start for reply in agent if reply.start >= asked.end), float("inf"))
        if answered_at < next_start:
            found.append(Response(asked.end, answered_at))
    return tuple(found)


def _barge_ins(
    record: CallRecord,
    happened: Sequence[events.CallEvent],
    caller: Sequence[Segment],
    interrupted_at: Sequence[float] | None,
) -> tuple[BargeIn, ...]:
    acted = [event for event in happened if isinstance(event, events.Interrupted)]
    if interrupted_at is None or len(interrupted_at) != len(acted):
        sent = [event.at for event in acted]
    else:
        sent = [at - record.started_at for at in interrupted_at]
    return tuple(
        BargeIn(
            spoken_at=max((speech.start for speech in caller if speech.start <= at), default=at),
            interrupted_at=at,
            silent_at=_silent_at(record, at, _next_reply(happened, event.at)),
            discarded_ms=event.discarded_ms,
        )
        for event, at in zip(acted, sent, strict=True)
    )


def _next_reply(happened: Sequence[events.CallEvent], after: float) -> float:
    starts = (e.at for e in happened if isinstance(e, events.ReplyStarted) and e.at > after)
    return next(starts, float("inf"))


def _silent_at(record: CallRecord, interrupted_at: float, next_reply_at: float) -> float:
    """Return when the reply was silent; any sample that isn't 0 is audio, even after a pause, until the next
    reply.
    """
    playing = [
        frame.at - record.started_at + FRAME_S
        for frame in record.heard
        if frame.at - record.started_at < next_reply_at and any(frame.payload)
    ]
    return max(interrupted_at, max(playing, default=interrupted_at))


def _transcript(happened: Sequence[events.CallEvent], caller: Sequence[Segment]) -> tuple[Utterance, ...]:
    replies = [event.at for event in happened if isinstance(event, events.ReplyStarted)]
    found: list[Utterance] = []
    for event in happened:
        match event:
            case events.CallerSaid(text=text):
                at = max((speech.start for speech in caller if speech.start <= event.at), default=event.at)
                found.append(Utterance(at, by_agent=False, text=text))
            case events.AgentSaid(text=text, corrected=False):
                # A reply's text comes shortly before or after its first audio.
                at = min(replies, key=lambda start: abs(start - event.at), default=event.at)
                found.append(Utterance(at, by_agent=True, text=text))
            case events.AgentSaid(text=text):
                _correct(found, text)
    return tuple(sorted(found, key=lambda utterance: utterance.at))


def _correct(transcript: list[Utterance], heard: str) -> None:
    """Split the agent's last reply into what was spoken and what the interruption cut off."""
    for number in reversed(range(len(transcript))):
        reply = transcript[number]
        if reply.by_agent:
            spoken = heard.rstrip(".… ")
            unheard = reply.text[len(spoken) :] if reply.text.startswith(spoken) else ""
            transcript[number] = replace(reply, text=spoken if unheard else heard, unheard=unheard)
            return


def _lay_out(frames: Sequence[TimedFrame], record: CallRecord, *, lead_s: float = 0.0) -> Samples:
    """Join the audio of all frames, after the silence before the first was due."""
    if not frames:
        return np.zeros(0, np.int16)
    earliest = min(frame.at - due for frame, due in zip(frames, due_times(frames, record.rate), strict=True))
    lead = max(0, round((earliest - lead_s - record.started_at) * record.rate))
    audio = np.frombuffer(b"".join(frame.payload for frame in frames), "<i2")
    return np.concatenate((np.zeros(lead, np.int16), audio))


def stereo(timeline: Timeline) -> bytes:
    """Return the call's audio, interleaved: the caller left, the agent, as the caller heard it, right."""
    both = np.stack((timeline.caller_samples, timeline.agent_samples), axis=1)
    return both.astype("<i2").tobytes()
