"""A call in a list: what fits into a line of a table. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import shown

COUNTED = ("turns", "interruptions", "tools")
"""Lists of a record; a summary has their lengths, as ``turn_count``."""


def summary(record: CallRecord, numbers: CallerNumbers, *, age_ms: int | None = None) -> dict[str, Any]:
    """Return the members of a record (`shown`) that are no list, the last turn and the last transfer."""
    short = replace(record, turns=(), interruptions=(), tools=(), transfers=record.transfers[-1:])
    members = shown(short, numbers, age_ms=age_ms)
    for name in (*COUNTED, "setup_steps"):
        del members[name]
    transfers = members.pop("transfers")
    return members | {
        "turn_count": len(record.turns),
        "last_turn_ms": record.turns[-1].latency_ms if record.turns else None,
        "interruption_count": len(record.interruptions),
        "tool_count": len(record.tools),
        "transfer_count": len(record.transfers),
        "last_transfer": transfers[0] if transfers else None,
    }
