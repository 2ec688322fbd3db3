"""Calls and load as text, for a terminal of any width. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from textwrap import wrap
from typing import Any

Json = Mapping[str, Any]

SHORT_UUID = 8
"""Characters that tell calls apart, and that `audiosocket-gw calls` accepts."""

_INDENT = 10 * " "

WIDTHS = {
    "CALL": 8,
    "AGE": 7,
    "STATE": 17,
    "TROUBLE": 30,
    "TURN": 8,
    "UP": 6,
    "CALLER": 16,
    "AGENT": 22,
    "TURNS": 5,
    "PBX": 16,
}
"""The columns, the most important first: a narrow terminal shows those that fit.

TROUBLE is there if a call has any, and takes what the others leave.
"""


def status_text(load: Json, calls: Sequence[Json], bad: Sequence[Json], width: int) -> str:
    """Return all that ``audiosocket-gw status`` shows."""
    wrong = [f"WRONG     {clean(fault['text'])}" for fault in load["wrong_now"]]
    lines = [*_wrapped([*wrong, *_head(load)], width), "", *call_table(calls, width)]
    if bad:
        latest = sorted(bad, key=_ended_at, reverse=True)
        lines += ["", "Ended, to look at (UTC):", *_wrapped(map(_bad_line, latest), width)]
    return "\n".join(lines)


def call_table(calls: Sequence[Json], width: int) -> list[str]:
    """Return a line for each call, under a head."""
    if not calls:
        return ["No call is in progress."]
    cells = [_cells(call) for call in calls]
    sizes = _sizes(width, [each["TROUBLE"] for each in cells])
    rows = [list(sizes), *([each[name] for name in sizes] for each in cells)]
    return [
        "  ".join(cell[:size].ljust(size) for cell, size in zip(row, sizes.values(), strict=True)).rstrip()
        for row in rows
    ]


def _sizes(width: int, trouble: Sequence[str]) -> dict[str, int]:
    """Return the columns that fit, and how wide each is; ``trouble``: the texts of that column."""
    found: dict[str, int] = {}
    left = width + 2
    for name, size in WIDTHS.items():
        if name == "TROUBLE" and not any(trouble):
            continue
        if size + 2 > left:
            break
        found[name] = size
        left -= size + 2
    if "TROUBLE" in found:
        longest = max(map(len, trouble))
        found["TROUBLE"] = min(found["TROUBLE"] + left, max(longest, len("TROUBLE")))
    return found


def _wrapped(lines: Iterable[str], width: int) -> Iterator[str]:
    for line in lines:
        yield from wrap(line, max(width, 2 * len(_INDENT)), subsequent_indent=_INDENT, break_on_hyphens=False)


def clean(text: object) -> str:
    """Return a text without what a terminal would act on: names and words come from others."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


def duration(ms: int | None) -> str:
    """Return a duration as ``3:12`` or ``1:02:03``."""
    if ms is None:
        return ""
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _head(load: Json) -> list[str]:
    figures = load["load"]
    state = "ready" if load["ready"] else "NOT READY: " + "; ".join(map(clean, load["reasons"]))
    plan = f", the plan allows {load['plan_concurrency']}" if load.get("plan_concurrency") else ""
    waiting = f", {figures['waiting']} waiting" if figures["waiting"] else ""
    lines = [
        f"audiosocket-gw {clean(load['version'])}, up {duration(round(load['uptime_s'] * 1000))}: {state}",
        f"Calls     {load['calls']} of {load['max_calls']}{waiting}; about {figures['capacity']} fit{plan}",
        f"Load      {figures['busy']:.0%} of a core, {figures['stolen']:.0%} taken by others, "
        f"{figures['late']:.0%} of ticks late; audio in batches of {figures['batch_ms']} ms",
    ]
    lines += [
        f"AMI       {clean(each['pbx'])}: {'connected' if each['connected'] else 'NOT CONNECTED'}"
        for each in load["ami"]
    ]
    if load["destinations"]:
        lines.append(f"Transfer  {', '.join(map(clean, load['destinations']))}")
    if load["off"]:
        lines.append(f"Off       {clean(', '.join(load['off']))}")
    return lines


def _cells(call: Json) -> dict[str, str]:
    """Return the text of a call in each column."""
    latency = call["last_turn_ms"]
    cells = {
        "CALL": call["uuid"][:SHORT_UUID],
        "AGE": duration(call["duration_ms"]),
        "STATE": _state(call),
        "TROUBLE": "; ".join(call["trouble"]),
        "UP": call["speaker"] or "",
        "TURN": "" if latency is None else f"{latency} ms",
        "CALLER": call["caller_number"],
        "AGENT": call["agent"],
        "TURNS": str(call["turn_count"]),
        "PBX": call["pbx"],
    }
    return {name: clean(text) for name, text in cells.items()}


def _state(call: Json) -> str:
    if call["state"] != "talking" or call["silent_ms"] is None or call["first_audio_ms"] is not None:
        return str(call["state"])
    seconds = ((call["duration_ms"] or 0) - (call["setup_ms"] or 0)) // 1000
    return f"agent silent {seconds} s"


def _ended_at(call: Json) -> datetime:
    return datetime.fromisoformat(call["started_at"]) + timedelta(milliseconds=call["duration_ms"] or 0)


def _bad_line(call: Json) -> str:
    end = call["end"] or {"reason": "", "detail": ""}
    faults = [text for text in call.get("trouble", ()) if text != end["reason"]]  # not in older records
    words = "; ".join([*faults, end["detail"]])
    return clean(
        f"{_ended_at(call):%Y-%m-%d %H:%M:%S}  {call['uuid'][:SHORT_UUID]}  {end['reason']}: {words}"
    )
