"""The few figures that tell how a call went. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from audiosocket_gw.events import TransferOutcome
from audiosocket_gw.ledger.record import CallRecord, ToolOutcome


def figures(record: CallRecord) -> dict[str, int]:
    """Return the figures of a call by their names; one that isn't known, or says nothing, is missing.

    Turns, interruptions and tool calls are counted once an agent has connected.
    """
    found = {
        "setup_ms": record.setup_ms,
        "first_audio_ms": record.first_audio_ms,
        "silent_ms": record.silent_ms,
        "late_answers": record.late_answers or None,
        "undecodable": 1 if record.undecodable else None,
    }
    if record.setup_ms is not None:
        latencies = [turn.latency_ms for turn in record.turns]
        found |= {
            "turns": len(latencies),
            "turn_ms_p50": median(latencies),
            "turn_ms_max": max(latencies, default=None),
            "interruptions": len(record.interruptions),
            "tools": len(record.tools),
        }
    outcomes = [transfer.outcome for transfer in record.transfers]
    found |= {
        "tool_errors": sum(tool.outcome is ToolOutcome.ERROR for tool in record.tools) or None,
        "transfers_refused": outcomes.count(TransferOutcome.REFUSED) or None,
        "transfers_failed": outcomes.count(TransferOutcome.FAILED) or None,
    }
    found["late_frames"] = record.frames.late
    return {name: value for name, value in found.items() if value is not None}


def median(values: Sequence[int]) -> int | None:
    """Return the median, the lower one of two, or None if there are no values."""
    return sorted(values)[(len(values) - 1) // 2] if values else None
