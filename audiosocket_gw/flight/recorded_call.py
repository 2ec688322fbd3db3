"""The call record of a recorded call, by the same reducer as while it was up."""

from __future__ import annotations

from datetime import UTC

from audiosocket_gw.events import CallStarted
from audiosocket_gw.flight.call_trace import CallTrace
from audiosocket_gw.flight.recorded_event import read_event
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.ledger.reducer import begin, reduce


def record_of(trace: CallTrace) -> CallRecord:
    """Return what was known of the call at its end, or where the recording breaks off.

    What was masked in the recording stays so. Events that this gateway doesn't know are skipped; what older
    gateways didn't record isn't known.
    """
    start = trace.start
    started_at = start.started_at if start.started_at.tzinfo else start.started_at.replace(tzinfo=UTC)
    record = begin(CallStarted(start.uuid, 0.0, start.peer), started_at.timestamp())
    for recorded in trace.events:
        event = read_event(recorded, start.uuid)
        if event is not None:
            record = reduce(record, event, 0.0)
    return record


def has_turns(trace: CallTrace) -> bool:
    """Return whether the gateway that recorded the call measured turns and frames: older ones didn't."""
    return any(event.name in ("TurnTaken", "FrameFigures") for event in trace.events)
