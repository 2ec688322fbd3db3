"""Builds the model of a call page from the call's record, events and audio, as far as there are. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from audiosocket_gw import events
from audiosocket_gw.call_page import marks, measure
from audiosocket_gw.call_page.direction import Direction, Span
from audiosocket_gw.call_page.model import Answer, BargeIn, CallModel, Mark, MarkKind, Source
from audiosocket_gw.call_page.transcript import transcript
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.ledger.reducer import reduce

MAX_MARKS = 1_000
"""Marks of one kind that are shown."""


def record_of(record: CallRecord, happened: Sequence[events.CallEvent]) -> CallRecord:
    """Return the record after all events, whose times are seconds since the start of the call."""
    for event in happened:
        record = reduce(record, event, 0.0)
    return record


def build_model(
    record: CallRecord,
    happened: Sequence[events.CallEvent] = (),
    *,
    source: Source,
    gateway: str = "",
    caller: Direction | None = None,
    agent: Direction | None = None,
    is_up: bool = False,
) -> CallModel:
    """Build the model. ``record`` has the caller masked; ``happened`` is at seconds since the start."""
    caller_speech = caller.speech() if caller else ()
    agent_speech = measure.agent_speech(agent, happened)
    answers = measure.reported_answers(record)
    measured = measure.measured_answers(caller_speech, agent_speech) if agent and not answers else ()
    barge_ins = measure.barge_ins(record, happened, caller_speech, agent)
    duration = _duration(record, happened, caller, agent)
    found = _marks(record, happened, agent_speech, answers or measured, barge_ins, duration, caller, agent)
    if agent_speech and not answers and not any(isinstance(e, events.AnswerLate) for e in happened):
        found.extend(_unanswered(caller_speech, measured, duration))
    return CallModel(
        source=source,
        record=record,
        gateway=gateway,
        duration=duration,
        caller=caller,
        agent=agent,
        caller_speech=caller_speech,
        agent_speech=agent_speech,
        words=transcript(happened, caller_speech),
        answers=answers or measured,
        answers_measured=bool(measured),
        barge_ins=barge_ins,
        marks=tuple(_clip(mark, duration) for mark in sorted(found, key=lambda mark: mark.start)),
        is_up=is_up and record.end is None,
        round_trips_ms=tuple(event.rtt_ms for event in happened if isinstance(event, events.AgentPinged)),
        to_caller=agent.timing() if agent else None,
        from_caller=caller.timing() if caller else None,
    )


def _duration(
    record: CallRecord,
    happened: Sequence[events.CallEvent],
    caller: Direction | None,
    agent: Direction | None,
) -> float:
    known = [0.0, (record.duration_ms or 0) / 1000]
    known += [direction.end for direction in (caller, agent) if direction]
    known += [event.at for event in happened[-1:]]
    return max(known)


def _marks(
    record: CallRecord,
    happened: Sequence[events.CallEvent],
    agent_speech: Sequence[Span],
    answers: Sequence[Answer],
    barge_ins: Sequence[BargeIn],
    duration: float,
    caller: Direction | None,
    agent: Direction | None,
) -> list[Mark]:
    kinds: tuple[Iterator[Mark], ...] = (
        marks.setup_marks(record, happened),
        marks.silent_marks(record, happened, agent_speech, duration, is_audio_known=agent is not None),
        marks.undecodable_marks(record, happened),
        marks.answer_marks(answers, happened, duration),
        marks.barge_in_marks(barge_ins),
        marks.hold_marks(happened),
        marks.tool_marks(record, duration),
        marks.transfer_marks(record, happened),
        marks.queue_marks(happened),
        marks.key_marks(happened),
        marks.gap_marks(agent, caller),
        _end_marks(record, duration),
    )
    return [mark for kind in kinds for mark in islice(kind, MAX_MARKS)]


def _unanswered(caller: Sequence[Span], answers: Sequence[Answer], duration: float) -> Iterator[Mark]:
    """Yield, for a recording without reports of late answers, how long the caller waited for none."""
    answered = {answer.asked_at for answer in answers}
    for place, asked in enumerate(caller):
        end = caller[place + 1].start if place + 1 < len(caller) else duration
        if asked.end not in answered and end - asked.end > marks.LATE_S:
            yield marks.no_answer(asked.end, end)


def _end_marks(record: CallRecord, duration: float) -> Iterator[Mark]:
    if record.end is not None:
        detail = marks.name_in_words(record.end.detail, marks.MAX_DETAIL)
        text = f"The call ended: {record.end.reason}{': ' if detail else ''}{detail}."
        yield Mark(MarkKind.END, duration, duration, record.end.reason, text, is_fault=record.end.is_bad)


def _clip(mark: Mark, duration: float) -> Mark:
    """Return the mark within the call, whatever times a recording has."""
    start = min(max(0.0, mark.start), duration)
    return replace(mark, start=start, end=min(max(start, mark.end), duration))
