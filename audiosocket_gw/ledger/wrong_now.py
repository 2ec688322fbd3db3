"""What is wrong now: the faults of the last ten minutes, one line each, the worst first. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import takewhile

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.events import SLOW_TOOL_S, TransferOutcome
from audiosocket_gw.ledger import advice
from audiosocket_gw.ledger.figures import median
from audiosocket_gw.ledger.record import CallRecord, ToolRun
from audiosocket_gw.ledger.trouble import (
    counted,
    ended_badly,
    failed,
    is_silent,
    running_ms,
    times,
)

WINDOW_S = 600.0
"""How long ago a call may have ended, and a transfer or a tool call may have begun, that counts."""

MANY = 3
SHARE = 0.2
"""A fault of fewer calls than these, and of a smaller share of them, is the call's own, and not listed."""

MAX_FAULTS = 8
"""What else there is is less bad, and would hide the calls."""


class Harm(IntEnum):
    """What a fault does to callers, the worst first."""

    CALLS = 0
    """They have no call, or none with a voice."""
    MANAGER = 1
    TRANSFERS = 2
    ANSWERS = 3
    TOOLS = 4
    STRANGERS = 5


@dataclass(frozen=True, slots=True)
class Fault:
    """``what``, ``why`` (may be empty) and ``to_do`` are unmasked, with texts of others as they came.

    ``id`` tells it from others, and stays the same while it lasts.

    ``since`` and ``last``: when it was first and last seen, in seconds since the epoch. ``count``: of calls,
    or of what else it is counted in.
    """

    harm: Harm
    id: str
    what: str
    since: float
    last: float
    count: int
    to_do: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Calls or connections that were refused for one reason, without a pause of ten minutes."""

    count: int
    since: float
    last: float
    reason: EndReason
    why: str
    by_strangers: bool = False
    """Whether they may have come from others than the PBXs of this gateway."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Where faults are looked for.

    ``live``: the calls that are up, each with its age in ms. ``ended``: those that ended last. ``managers``:
    the PBXs whose manager interface isn't connected, and since when. ``now``: seconds since the epoch.
    """

    live: Sequence[tuple[CallRecord, int]]
    ended: Sequence[CallRecord]
    refused: Sequence[Refused]
    managers: Mapping[str, float]
    now: float


def wrong_now(seen: Seen) -> tuple[Fault, ...]:
    """Return the faults, the worst first."""
    begin = seen.now - WINDOW_S
    ended = [record for record in seen.ended if _end(record) >= begin]
    calls = [*seen.live, *((record, record.duration_ms or 0) for record in ended)]
    found = [
        *map(_refusal, filter(_counts, seen.refused)),
        *_ends(ended),
        *_silences(calls, seen.now),
        *_undecodable(calls, seen.now),
        *_late_answers(calls, seen.now),
        *_managers(seen),
        *_transfers(calls, begin),
        *_tools(calls, begin),
    ]
    return tuple(sorted(found, key=lambda fault: (fault.harm, -fault.count))[:MAX_FAULTS])


@dataclass(slots=True)
class _Group:
    """What is alike: how often it was, when first and last, and of the last one why."""

    count: int = 0
    since: float = float("inf")
    last: float = 0.0
    why: str = ""
    ms: list[int] = field(default_factory=list)

    def add(self, at: float, why: str = "") -> None:
        self.count += 1
        self.since = min(self.since, at)
        if at >= self.last:
            self.last, self.why = at, why

    def add_call(self, record: CallRecord, now: float) -> None:
        """Add a call that has the fault from its start to its end, or until now."""
        self.add(record.started_at)
        self.last = max(self.last, now if record.end is None else _end(record))

    def fault(self, harm: Harm, id_: str, what: str, to_do: str) -> Fault:
        return Fault(harm, id_, what, self.since, self.last, self.count, to_do, self.why)


def _end(record: CallRecord) -> float:
    return record.started_at + (record.duration_ms or 0) / 1000


def _is_common(count: int, total: int) -> bool:
    return count >= MANY or count >= SHARE * total > 0


def _counts(refused: Refused) -> bool:
    return not refused.by_strangers or refused.count >= MANY


def _refusal(refused: Refused) -> Fault:
    harm = Harm.STRANGERS if refused.by_strangers else Harm.CALLS
    noun = "connection" if refused.by_strangers else "call"
    what = f"{counted(refused.count, noun)} refused"
    to_do = advice.plain(refused.reason)
    id_ = f"refused {refused.reason}"
    return Fault(harm, id_, what, refused.since, refused.last, refused.count, to_do, refused.why)


def _ends(ended: Sequence[CallRecord]) -> Iterator[Fault]:
    groups: dict[EndReason, _Group] = {}
    for record in ended:
        if record.end is not None and record.end.is_bad and record.end.reason is not EndReason.SILENT_AGENT:
            groups.setdefault(record.end.reason, _Group()).add(_end(record), record.end.detail)
    for reason, group in groups.items():
        if _is_common(group.count, len(ended)):
            what = f"{reason}: {_of(group.count, len(ended), 'ended call')}"
            yield group.fault(Harm.CALLS, reason, what, advice.plain(reason))


def _silences(calls: Sequence[tuple[CallRecord, int]], now: float) -> Iterator[Fault]:
    never, late = _Group(), _Group()
    connected = 0
    for record, _ in calls:
        if record.setup_ms is None:
            continue
        connected += 1
        if record.silent_ms is not None:
            group = never if is_silent(record) else late
            group.add(record.started_at + record.setup_ms / 1000)
            if record.end is None and group is never:
                group.last = now
    if _is_common(never.count, connected):
        what = f"{_of(never.count, connected, 'call')}: the agent says nothing"
        yield never.fault(Harm.CALLS, "silent", what, advice.plain(EndReason.SILENT_AGENT))
    if _is_common(late.count, connected):
        what = f"{_of(late.count, connected, 'call')}: the agent's first word came late"
        yield late.fault(Harm.ANSWERS, "late first word", what, advice.LATE_ANSWERS)


def _undecodable(calls: Sequence[tuple[CallRecord, int]], now: float) -> Iterator[Fault]:
    group = _Group()
    for record, _ in calls:
        if record.undecodable:
            group.add_call(record, now)
    if _is_common(group.count, len(calls)):
        what = f"{_of(group.count, len(calls), 'call')}: the agent hears nothing (wrong codec?)"
        yield group.fault(Harm.CALLS, "undecodable", what, advice.UNDECODABLE.replace("`", ""))


def _late_answers(calls: Sequence[tuple[CallRecord, int]], now: float) -> Iterator[Fault]:
    group = _Group()
    answers = connected = 0
    for record, _ in calls:
        connected += record.setup_ms is not None
        if record.late_answers:
            answers += record.late_answers
            group.add_call(record, now)
    if _is_common(group.count, connected):
        what = f"{_of(group.count, connected, 'call')}: late answers ({answers} in all)"
        yield group.fault(Harm.ANSWERS, "late answers", what, advice.LATE_ANSWERS)


def _managers(seen: Seen) -> Iterator[Fault]:
    for address, since in seen.managers.items():
        what = f"no connection to the manager interface of {address}"
        why = "no transfers and no caller data for its calls"
        yield Fault(Harm.MANAGER, f"manager {address}", what, since, seen.now, 1, advice.MANAGER, why)


def _transfers(calls: Sequence[tuple[CallRecord, int]], begin: float) -> Iterator[Fault]:
    groups: dict[tuple[str, TransferOutcome], _Group] = {}
    for record, _ in calls:
        for transfer in record.transfers:
            at = record.started_at + transfer.at_ms / 1000
            if at >= begin and ended_badly(transfer) and transfer.outcome is not None:
                key = transfer.target, transfer.outcome
                groups.setdefault(key, _Group()).add(at, transfer.why)
    for (where, outcome), group in groups.items():
        what = f"transfer to {where} {outcome}{times(group.count)}"
        yield group.fault(Harm.TRANSFERS, f"transfer {where} {outcome}", what, advice.TRANSFERS[outcome])


def _tools(calls: Sequence[tuple[CallRecord, int]], begin: float) -> Iterator[Fault]:
    runs: Counter[str] = Counter()
    failures: dict[str, _Group] = {}
    slow: dict[str, _Group] = {}
    for record, age_ms in calls:
        for tool in _recent_tools(record, begin):
            at = record.started_at + tool.at_ms / 1000
            runs[tool.name] += 1
            if failed(tool):
                failures.setdefault(tool.name, _Group()).add(at)
            if (ms := running_ms(tool, age_ms)) > 1000 * SLOW_TOOL_S:
                group = slow.setdefault(tool.name, _Group())
                group.add(at)
                group.ms.append(ms)
    for name, group in failures.items():
        if _is_common(group.count, runs[name]):
            what = f"tool {name} failed in {_of(group.count, runs[name], 'run')}"
            yield group.fault(Harm.TOOLS, f"tool {name} failed", what, advice.FAILED_TOOL)
    for name, group in slow.items():
        if _is_common(group.count, runs[name]):
            seconds = (median(group.ms) or 0) / 1000
            what = f"tool {name} takes {seconds:.1f} s ({_of(group.count, runs[name], 'run')})"
            yield group.fault(Harm.TOOLS, f"tool {name} slow", what, advice.SLOW_TOOL)


def _recent_tools(record: CallRecord, begin: float) -> Iterable[ToolRun]:
    earliest_ms = (begin - record.started_at) * 1000
    return takewhile(lambda tool: tool.at_ms >= earliest_ms, reversed(record.tools))


def _of(count: int, total: int, noun: str) -> str:
    return f"{count} of {counted(total, noun)}"
