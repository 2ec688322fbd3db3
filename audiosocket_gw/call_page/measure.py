"""Measures in the audio of a call what its events don't say: answers, barge-ins, silence. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from audiosocket_gw import events
from audiosocket_gw.call_page.direction import Direction, Span
from audiosocket_gw.call_page.model import Answer, BargeIn
from audiosocket_gw.ledger.record import CallRecord, Interruption

MAX_STOP_S = 2.0
"""Audio that goes on for longer after an interruption isn't the old reply: it is hold or background audio."""

NEVER = float("inf")


def agent_speech(agent: Direction | None, happened: Sequence[events.CallEvent]) -> tuple[Span, ...]:
    """Return when the agent spoke: where its audio has the level of speech, but only within its replies.

    Outside of them the caller hears hold audio. Without events of replies, the level alone decides.
    """
    replies = reply_spans(happened)
    if agent is None:
        return replies
    speech = agent.speech()
    if not replies:
        return speech
    return _overlap(replies, speech)


def _overlap(one: Sequence[Span], other: Sequence[Span]) -> tuple[Span, ...]:
    """Return what is in a span of each; the spans of each are in order and don't overlap."""
    found: list[Span] = []
    first = second = 0
    while first < len(one) and second < len(other):
        start = max(one[first].start, other[second].start)
        end = min(one[first].end, other[second].end)
        if start < end:
            found.append(Span(start, end))
        if one[first].end < other[second].end:
            first += 1
        else:
            second += 1
    return tuple(found)


def reply_spans(happened: Sequence[events.CallEvent]) -> tuple[Span, ...]:
    """Return when replies were played, as the events have it."""
    found: list[Span] = []
    start: float | None = None
    for event in happened:
        if isinstance(event, events.ReplyStarted):
            start = event.at if start is None else start
        elif start is not None and isinstance(
            event, events.ReplyFinished | events.Interrupted | events.CallEnded
        ):
            found.append(Span(start, max(start, event.at)))
            start = None
    if start is not None:
        found.append(Span(start, max(start, happened[-1].at)))
    return tuple(found)


def reported_answers(record: CallRecord) -> tuple[Answer, ...]:
    """Return the answers that the gateway measured."""
    return tuple(
        Answer(max(0, turn.at_ms - turn.latency_ms) / 1000, turn.at_ms / 1000) for turn in record.turns
    )


def measured_answers(caller: Sequence[Span], agent: Sequence[Span]) -> tuple[Answer, ...]:
    """Return the answers: the agent's first utterance after one of the caller, before its next one."""
    starts = [reply.start for reply in agent]
    found = []
    for place, asked in enumerate(caller):
        next_start = caller[place + 1].start if place + 1 < len(caller) else NEVER
        reply = bisect_right(starts, asked.end - 1e-9)
        if reply < len(starts) and starts[reply] < next_start:
            found.append(Answer(asked.end, starts[reply]))
    return tuple(found)


def barge_ins(
    record: CallRecord,
    happened: Sequence[events.CallEvent],
    caller: Sequence[Span],
    agent: Direction | None,
) -> tuple[BargeIn, ...]:
    """Return the interruptions, with what the audio says of each."""
    replies = [event.at for event in happened if isinstance(event, events.ReplyStarted)]
    return tuple(_barge_in(interruption, replies, caller, agent) for interruption in record.interruptions)


def _barge_in(
    interruption: Interruption, replies: Sequence[float], caller: Sequence[Span], agent: Direction | None
) -> BargeIn:
    at = interruption.at_ms / 1000
    silent_at: float | None = None
    if agent is not None:
        place = bisect_right(replies, at)
        silent_at = agent.silent_after(at, replies[place] if place < len(replies) else NEVER)
        if silent_at > at + MAX_STOP_S:
            silent_at = None
    silence_ms: float | None = interruption.silence_ms
    spoken_at: float | None
    if silence_ms is not None:
        spoken_at = (at if silent_at is None else silent_at) - silence_ms / 1000
    else:
        spoken_at = _last_before(caller, at)
        if spoken_at is not None and silent_at is not None:
            silence_ms = (silent_at - spoken_at) * 1000
    return BargeIn(
        at=at,
        spoken_at=spoken_at,
        stop_ms=None if silent_at is None else (silent_at - at) * 1000,
        silence_ms=silence_ms,
        discarded_ms=interruption.discarded_ms,
    )


def _last_before(caller: Sequence[Span], at: float) -> float | None:
    """Return when the utterance began with which the caller interrupts; None if it wasn't heard here."""
    return max((span.start for span in caller if span.start <= at < span.end + 1), default=None)
