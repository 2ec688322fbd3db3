"""What is wrong with a call: the one definition for commands, HTTP surface, dashboard and history. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from audiosocket_gw.events import SLOW_TOOL_S, TransferOutcome
from audiosocket_gw.ledger.record import CallRecord, ToolOutcome, ToolRun, Transfer

TRANSFER_TOOL = "avr_transfer"
"""Its error is the transfer's, which says why."""


class TroubleKind(StrEnum):
    """What is wrong, the worst first."""

    END = "end"
    """The call didn't end normally."""
    SILENT = "silent"
    """The agent's first word came late, or never."""
    UNDECODABLE = "undecodable"
    """The caller's audio can't be decoded: the agent gets silence."""
    TRANSFER = "transfer"
    """A transfer failed or was refused."""
    LATE = "late"
    """Answers came late."""
    TOOL_FAILED = "tool failed"
    TOOL_SLOW = "tool slow"


MINOR = frozenset({TroubleKind.TOOL_FAILED, TroubleKind.TOOL_SLOW})
"""What may explain a complaint, but doesn't make a call a bad one by itself."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """``text``: a few words, unmasked, with texts of others as they came."""

    kind: TroubleKind
    text: str

    @property
    def is_bad(self) -> bool:
        """Whether it makes the call one that somebody should look at."""
        return self.kind not in MINOR


def troubles(record: CallRecord, age_ms: int | None = None) -> tuple[Trouble, ...]:
    """Return what is wrong with a call, the worst first; ``age_ms``: of a call that is up, if it is known."""
    return tuple(_troubles(record, age_ms))


def is_bad(record: CallRecord) -> bool:
    """Return whether somebody should look at the call."""
    return any(trouble.is_bad for trouble in _troubles(record, None))


def is_silent(record: CallRecord) -> bool:
    """Return whether the caller has been waiting for the agent's first word for too long, until now."""
    return record.silent_ms is not None and record.first_audio_ms is None


def silence_ms(record: CallRecord, age_ms: int | None) -> int:
    """Return how long the caller waited for the first word, as far as it is known: 0, it didn't wait long."""
    if record.silent_ms is None:
        return 0
    until = next((at for at in (record.first_audio_ms, record.duration_ms, age_ms) if at is not None), 0)
    return max(record.silent_ms, until - (record.setup_ms or 0))


def ended_badly(transfer: Transfer) -> bool:
    """Return whether the caller didn't get to where it should have been transferred."""
    return transfer.outcome in (TransferOutcome.FAILED, TransferOutcome.REFUSED)


def failed(tool: ToolRun) -> bool:
    """Return whether the tool gave no result."""
    return tool.outcome is ToolOutcome.ERROR and tool.name != TRANSFER_TOOL


def running_ms(tool: ToolRun, age_ms: int | None) -> int:
    """Return how long the tool took, or has been running, as far as that is known."""
    if tool.ms is not None:
        return tool.ms
    return 0 if age_ms is None else max(0, age_ms - tool.at_ms)


def counted(count: int, noun: str) -> str:
    """Return a number of things in words: ``1 call``, ``2 calls``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def times(count: int) -> str:
    """Return how often something was, if more than once."""
    return f" {count} times" if count > 1 else ""


def _troubles(record: CallRecord, age_ms: int | None) -> Iterator[Trouble]:
    if record.end is not None and record.end.is_bad:
        yield Trouble(TroubleKind.END, record.end.reason)
    if record.silent_ms is not None:
        # While it lasts the words stay true: a reader may keep them for longer than a second.
        over = "over " if is_silent(record) and record.end is None else ""
        seconds = silence_ms(record, age_ms) // 1000
        yield Trouble(TroubleKind.SILENT, f"agent silent for {over}{seconds} s")
    if record.undecodable:
        yield Trouble(TroubleKind.UNDECODABLE, "agent hears nothing (wrong codec?)")
    yield from _of_transfers(filter(ended_badly, record.transfers))
    if record.late_answers:
        yield Trouble(TroubleKind.LATE, counted(record.late_answers, "late answer"))
    if record.tools:
        yield from _of_tools(record.tools, record.duration_ms if age_ms is None else age_ms)


def _of_transfers(transfers: Iterable[Transfer]) -> Iterator[Trouble]:
    alike: dict[tuple[str, str], list[Transfer]] = {}
    for each in transfers:
        alike.setdefault((each.target, str(each.outcome)), []).append(each)
    for (where, outcome), found in alike.items():
        why = found[-1].why
        text = f"transfer to {where} {outcome}{times(len(found))}{': ' if why else ''}{why}"
        yield Trouble(TroubleKind.TRANSFER, text)


def _of_tools(tools: Iterable[ToolRun], age_ms: int | None) -> Iterator[Trouble]:
    failures: dict[str, int] = {}
    slow: dict[str, int] = {}
    for tool in tools:
        if failed(tool):
            failures[tool.name] = failures.get(tool.name, 0) + 1
        if (ms := running_ms(tool, age_ms)) > 1000 * SLOW_TOOL_S:
            slow[tool.name] = max(ms, slow.get(tool.name, 0))
    for name, count in failures.items():
        yield Trouble(TroubleKind.TOOL_FAILED, f"tool {name} failed{times(count)}")
    for name, ms in slow.items():
        yield Trouble(TroubleKind.TOOL_SLOW, f"tool {name} {ms / 1000:.1f} s")
