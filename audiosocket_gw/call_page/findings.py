"""The head of a call page: how the call ended, what that means, what to do, what to look at. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from audiosocket_gw.call_page.figures import Verdict, figures
from audiosocket_gw.call_page.marks import duration_in_words, name_in_words
from audiosocket_gw.call_page.model import CallModel, Mark, MarkKind
from audiosocket_gw.ledger.advice import ADVICE, LATE_ANSWERS, SILENT_AGENT, UNDECODABLE, Advice
from audiosocket_gw.ledger.record import ToolRun
from audiosocket_gw.ledger.trouble import is_bad, running_ms

MAX_LISTED = 12
"""Findings that the head lists; the rest is counted."""


_WAITS = (MarkKind.ANSWER, MarkKind.NO_ANSWER)

HINTS = {
    MarkKind.SILENT: f" {SILENT_AGENT}",
    MarkKind.UNDECODABLE: f" {UNDECODABLE}",
    MarkKind.ANSWER: f" {LATE_ANSWERS}",
    MarkKind.NO_ANSWER: f" {LATE_ANSWERS}",
    MarkKind.GAP: " The gateway was held up: see `overloaded` in its log, and what else runs on its core.",
}
"""What to do about a fault, by its kind."""


class Outcome(StrEnum):
    """The call in one word or two."""

    NORMAL = "Normal call"
    LOOK = "Look at this call"
    BAD = "Bad end"
    UP = "Still up"
    BROKEN_OFF = "Breaks off"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to look at, and when it was, in seconds; None: the whole call."""

    text: str
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """``happened`` and ``to_do`` are in plain text with names in backticks; each may be empty."""

    outcome: Outcome
    reason: str
    detail: str
    happened: str
    to_do: str
    findings: tuple[Finding, ...]
    unlisted: int


def head(model: CallModel) -> Head:
    """Return what to say of a call before anything else."""
    found = [*_faults(model), *_bad_figures(model)]
    end = model.record.end
    if end is None:
        reason, detail, advice = "", _why_no_end(model), None
    else:
        reason, detail, advice = end.reason.value, end.detail, ADVICE.get(end.reason)
    outcome = _outcome(model, found)
    return Head(
        outcome=outcome,
        reason=reason,
        detail=detail,
        happened=advice.happened if advice else "",
        to_do=_to_do(advice, outcome),
        findings=tuple(found[:MAX_LISTED]),
        unlisted=max(0, len(found) - MAX_LISTED),
    )


def _to_do(advice: Advice | None, outcome: Outcome) -> str:
    if outcome is Outcome.LOOK:
        return "The end is normal; what is listed below isn't."
    return advice.to_do if advice else ""


def _outcome(model: CallModel, found: list[Finding]) -> Outcome:
    end = model.record.end
    if end is None:
        return Outcome.UP if model.is_up else Outcome.BROKEN_OFF
    if end.is_bad:
        return Outcome.BAD
    return Outcome.LOOK if found or is_bad(model.record) else Outcome.NORMAL


def _why_no_end(model: CallModel) -> str:
    if model.is_up:
        return "The call is up; this is what is known of it so far."
    return "The recording breaks off: the gateway died, its disk failed, or the call is still up."


def _faults(model: CallModel) -> Iterator[Finding]:
    """Yield the faults of the time line; of those of one sort the longest, and how many there were.

    Late answers are sorted by the tool that the agent waited for, if there was one.
    """
    alike: dict[tuple[MarkKind, str], list[Mark]] = {}
    for mark in model.marks:
        if mark.is_fault and mark.kind is not MarkKind.END:
            name = mark.label if mark.kind in (MarkKind.TOOL, MarkKind.TRANSFER) else ""
            if mark.kind in _WAITS and (tool := _tool_during(mark, model)):
                name = tool.name
            alike.setdefault((mark.kind, name), []).append(mark)
    for (kind, _), faults in alike.items():
        longest = max(faults, key=lambda mark: mark.end - mark.start)
        many = f"{len(faults)} times; the longest: " if len(faults) > 1 else ""
        tool = _tool_during(longest, model) if kind in _WAITS else None
        hint = HINTS.get(kind, "") if tool is None else _tools_wait(tool, model)
        yield Finding(many + longest.text + hint, longest.start)


def _tool_during(wait: Mark, model: CallModel) -> ToolRun | None:
    """Return the tool that ran for most of a wait, if one ran for half of it."""

    def share(tool: ToolRun) -> float:
        start = tool.at_ms / 1000
        return min(wait.end, start + _ran_s(tool, model)) - max(wait.start, start)

    longest = max(model.record.tools, key=share, default=None)
    if longest is None or share(longest) < (wait.end - wait.start) / 2:
        return None
    return longest


def _tools_wait(tool: ToolRun, model: CallModel) -> str:
    ran = duration_in_words(_ran_s(tool, model))
    return f" During it your tool {name_in_words(tool.name, 64)} ran {ran}: look at it before the agent."


def _ran_s(tool: ToolRun, model: CallModel) -> float:
    """Return how long a tool ran; one that wasn't answered ran until the end."""
    return running_ms(tool, round(model.duration * 1000)) / 1000


def _bad_figures(model: CallModel) -> Iterator[Finding]:
    """Yield bad figures that no fault on the time line stands for."""
    shown_as_faults = ("Slowest answer", "Gaps to the caller")
    for figure in figures(model):
        if figure.verdict is Verdict.BAD and figure.name not in shown_as_faults:
            yield Finding(f"{figure.name}: {figure.value} {figure.unit}, {figure.target}.")
