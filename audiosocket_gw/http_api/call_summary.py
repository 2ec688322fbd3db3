"""A call in a list: what fits into a line of a table. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from audiosocket_gw.ledger.record import CallRecord, ToolOutcome
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import shown, shown_troubles

COUNTED = ("turns", "interruptions", "tools")
"""Lists of a record; a summary has their lengths, as ``turn_count``."""


def summary(record: CallRecord, numbers: CallerNumbers, *, age_ms: int | None = None) -> dict[str, Any]:
    """Return the members of a record (`shown`) that are no list, and of its lists the figures."""
    short = replace(record, turns=(), interruptions=(), tools=(), transfers=record.transfers[-1:])
    members = shown(short, numbers, age_ms=age_ms)
    for name in (*COUNTED, "setup_steps"):
        del members[name]
    transfers = members.pop("transfers")
    latencies = sorted(turn.latency_ms for turn in record.turns)
    return members | {
        **shown_troubles(record, numbers, age_ms=age_ms),
        "turn_count": len(latencies),
        "last_turn_ms": record.turns[-1].latency_ms if latencies else None,
        "median_turn_ms": latencies[len(latencies) // 2] if latencies else None,
        "slowest_turn_ms": latencies[-1] if latencies else None,
        "interruption_count": len(record.interruptions),
        "tool_count": len(record.tools),
        "tool_error_count": sum(tool.outcome is ToolOutcome.ERROR for tool in record.tools),
        "transfer_count": len(record.transfers),
        "last_transfer": transfers[0] if transfers else None,
    }
