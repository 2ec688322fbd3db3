"""The marks of a call's time line: set-up, answers, interruptions, tools, transfers, gaps, faults. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from audiosocket_gw import events
from audiosocket_gw.call_page.direction import Direction, Span
from audiosocket_gw.call_page.model import Answer, BargeIn, Mark, MarkKind
from audiosocket_gw.events import SLOW_TOOL_S
from audiosocket_gw.ledger.record import CallRecord, ToolOutcome, ToolRun
from audiosocket_gw.ledger.trouble import ended_badly
from audiosocket_gw.redaction import mask_text

SILENT_S = 5.0
"""A call in which nothing is heard of the agent for that long has a fault (``SILENT_AGENT_SECONDS``)."""

LATE_S = 3.0
"""A later answer is a fault (``LATE_ANSWER_SECONDS``)."""

MAX_GAPS = 200
"""Gaps of one direction that are shown, the longest."""

LEAST_FROM_CALLER_S = 0.2
"""Shorter pauses in the caller's frames are a network's jitter."""

MAX_NAME = 20
"""Characters of a name in a label."""

MAX_DETAIL = 300

_SAME_S = 0.5
"""A report of a late answer and the answer itself agree on when the caller stopped, within this time."""


def name_in_words(text: str, limit: int = MAX_NAME) -> str:
    """Return somebody else's text, masked, and cut to ``limit`` characters."""
    shown = mask_text(text[: 2 * limit])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def duration_in_words(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def setup_marks(record: CallRecord, happened: Sequence[events.CallEvent]) -> Iterator[Mark]:
    """Yield the steps of the set-up; if only their lengths are known, one after the other."""
    steps = [event for event in happened if isinstance(event, events.SetupStepDone)]
    spans = [(event.step, max(0.0, event.at - event.ms / 1000), event.at) for event in steps]
    if not spans:
        at = 0.0
        for step, ms in record.setup_steps.items():
            spans.append((step, at, at + ms / 1000))
            at += ms / 1000
    for step, start, end in spans:
        name = step.replace("_", " ")
        label = f"{name} {duration_in_words(end - start)}"
        yield Mark(MarkKind.SETUP, start, end, label, f"Set-up, {name}: {duration_in_words(end - start)}.")
    if record.setup_ms is not None:
        end = record.setup_ms / 1000
        label = f"agent connected {duration_in_words(end)}"
        yield Mark(MarkKind.SETUP, 0.0, end, label, f"The agent connected after {duration_in_words(end)}.")


def answer_marks(
    answers: Sequence[Answer], happened: Sequence[events.CallEvent], duration: float
) -> Iterator[Mark]:
    """Yield the answers, and what was reported late and was never answered."""
    late = [event.at - event.waited_ms / 1000 for event in happened if isinstance(event, events.AnswerLate)]
    for answer in answers:
        seconds = answer.latency_ms / 1000
        is_late = seconds > LATE_S or any(abs(answer.asked_at - asked_at) < _SAME_S for asked_at in late)
        took = f"{answer.latency_ms:,.0f} ms" if seconds < 10 else duration_in_words(seconds)
        yield Mark(
            MarkKind.ANSWER,
            answer.asked_at,
            answer.answered_at,
            f"late: {took}" if is_late else took,
            f"The agent answered {took} after the caller stopped speaking{', late' if is_late else ''}.",
            is_fault=is_late,
        )
    for asked_at in late:
        if not any(abs(answer.asked_at - asked_at) < _SAME_S for answer in answers):
            spoken = [e.at for e in happened if isinstance(e, events.ReplyStarted) and e.at > asked_at]
            yield no_answer(asked_at, min(spoken, default=duration))


def no_answer(start: float, end: float) -> Mark:
    waited = duration_in_words(end - start)
    text = f"The caller waited {waited} for an answer that didn't come."
    return Mark(MarkKind.NO_ANSWER, start, end, f"no answer for {waited}", text, is_fault=True)


def silent_marks(
    record: CallRecord,
    happened: Sequence[events.CallEvent],
    speech: Sequence[Span],
    duration: float,
    *,
    is_audio_known: bool,
) -> Iterator[Mark]:
    """Yield the time in which nothing was heard of the agent, if that was long, reported or not."""
    reported = [e.at - e.waited_ms / 1000 for e in happened if isinstance(e, events.AgentSilent)]
    connected = None if record.setup_ms is None else record.setup_ms / 1000
    start = min(reported, default=connected or 0.0)
    heard = [span.start for span in speech if span.start >= start]
    if record.first_audio_ms is not None and not is_audio_known:
        heard.append(max(start, record.first_audio_ms / 1000))
    end = min(heard, default=duration)
    is_reported = bool(reported) or record.silent_ms is not None
    is_measured = is_audio_known and connected is not None and end - start > SILENT_S
    if (is_reported or is_measured) and end > start:
        text = f"Nothing was heard of the agent for {duration_in_words(end - start)}."
        label = f"silent agent {duration_in_words(end - start)}"
        yield Mark(MarkKind.SILENT, start, end, label, text, is_fault=True)


def undecodable_marks(record: CallRecord, happened: Sequence[events.CallEvent]) -> Iterator[Mark]:
    """Yield when it became certain that the caller's audio can't be decoded."""
    if record.undecodable:
        reports = [(e.at, e.codec) for e in happened if isinstance(e, events.CallerUndecodable)]
        at, codec = reports[0] if reports else (0.0, "")
        named = f" ({name_in_words(codec)})" if codec else ""
        text = f"The caller's audio couldn't be decoded{named}: the agent got silence instead."
        yield Mark(MarkKind.UNDECODABLE, at, at, "not decoded", text, is_fault=True)


def barge_in_marks(barge_ins: Iterable[BargeIn]) -> Iterator[Mark]:
    for barge_in in barge_ins:
        silent_at = barge_in.at + (barge_in.stop_ms or 0) / 1000
        shown = barge_in.silence_ms if barge_in.silence_ms is not None else barge_in.stop_ms
        label = "barge-in" if shown is None else f"barge-in {shown:.0f} ms"
        parts = [f"The caller interrupted; {barge_in.discarded_ms / 1000:.1f} s of the reply were discarded."]
        if barge_in.silence_ms is not None:
            parts.append(f"Silence {barge_in.silence_ms:.0f} ms after the caller's first audio.")
        if barge_in.stop_ms is not None:
            parts.append(f"Silence {barge_in.stop_ms:.0f} ms after the interruption.")
        start = barge_in.at if barge_in.spoken_at is None else min(barge_in.at, barge_in.spoken_at)
        yield Mark(MarkKind.BARGE_IN, max(0.0, start), silent_at, label, " ".join(parts))


def hold_marks(happened: Sequence[events.CallEvent]) -> Iterator[Mark]:
    """Yield the times in which a reply was held since the caller seemed to speak."""
    held: float | None = None
    for event in happened:
        match event:
            case events.ReplyHeld(at=at):
                held = at
            case events.ReplyResumed() | events.Interrupted() if held is not None:
                went_on = isinstance(event, events.ReplyResumed)
                outcome = "resumed: no interruption followed" if went_on else "then it was interrupted"
                took = duration_in_words(event.at - held)
                text = f"The reply was held for {took}; {outcome}."
                yield Mark(MarkKind.HOLD, held, event.at, f"held {took}", text)
                held = None


def tool_marks(record: CallRecord, duration: float) -> Iterator[Mark]:
    for tool in record.tools:
        start = tool.at_ms / 1000
        end = start + tool.ms / 1000 if tool.ms is not None else max(start, duration)
        yield _tool_mark(tool, start, end)


def _tool_mark(tool: ToolRun, start: float, end: float) -> Mark:
    took = duration_in_words(end - start)
    short, name = name_in_words(tool.name), name_in_words(tool.name, 64)
    match tool.outcome:
        case ToolOutcome.OK if end - start > SLOW_TOOL_S:
            text = f"Tool {name} answered only after {took}."
            return Mark(MarkKind.TOOL, start, end, f"{short} slow", text, is_fault=True)
        case ToolOutcome.OK:
            return Mark(MarkKind.TOOL, start, end, f"{short} {took}", f"Tool {name} answered after {took}.")
        case ToolOutcome.ERROR:
            text = f"Tool {name} failed after {took}."
            return Mark(MarkKind.TOOL, start, end, f"{short} failed", text, is_fault=True)
        case ToolOutcome.RUNNING:
            text = f"Tool {name} didn't answer in {took}."
            return Mark(MarkKind.TOOL, start, end, f"{short}, no answer", text, is_fault=True)


def transfer_marks(record: CallRecord, happened: Sequence[events.CallEvent]) -> Iterator[Mark]:
    decided = [event.at for event in happened if isinstance(event, events.TransferDecided)]
    for transfer in record.transfers:
        start = transfer.at_ms / 1000
        end = min((at for at in decided if at >= start), default=start)
        where = name_in_words(transfer.target)
        outcome = transfer.outcome or "not decided"
        detail = f": {name_in_words(transfer.detail, MAX_DETAIL)}" if transfer.detail else ""
        yield Mark(
            MarkKind.TRANSFER,
            start,
            end,
            f"transfer {outcome}",
            f"Transfer to {where}: {outcome}{detail}.",
            is_fault=ended_badly(transfer),
        )


def queue_marks(happened: Sequence[events.CallEvent]) -> Iterator[Mark]:
    for event in happened:
        if isinstance(event, events.AgentQueued):
            status = name_in_words(event.status)
            text = f"In ElevenLabs' queue: {status}."
            yield Mark(MarkKind.QUEUE, event.at, event.at, f"queue: {status}", text)


def key_marks(happened: Sequence[events.CallEvent]) -> Iterator[Mark]:
    """Yield the keys, without which they were: that may be a PIN."""
    for event in happened:
        if isinstance(event, events.DigitPressed):
            yield Mark(MarkKind.KEY, event.at, event.at, "key", "The caller pressed a key.")


def gap_marks(to_caller: Direction | None, from_caller: Direction | None) -> Iterator[Mark]:
    """Yield the pauses between frames; a telephone on hold or on mute may send none, which is no fault."""
    for direction, where, least in ((to_caller, "to", 0.0), (from_caller, "from", LEAST_FROM_CALLER_S)):
        gaps = [gap for gap in (direction.gaps() if direction else ()) if gap.seconds >= least]
        for gap in sorted(gaps, key=lambda gap: -gap.seconds)[:MAX_GAPS]:
            took = duration_in_words(gap.seconds)
            label = f"gap {took}" if where == "to" else f"no frames {took}"
            text = f"{took} without a frame {where} the caller."
            yield Mark(MarkKind.GAP, gap.start, gap.end, label, text, is_fault=where == "to")
