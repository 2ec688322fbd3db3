"""The figures of the process that metrics show, as they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.log.setup import dropped_lines
from audiosocket_gw.metrics.process import ProcessFigures
from audiosocket_gw.runtime.ticker import PERIOD_S
from audiosocket_gw.server.listener import AudioSocketServer


def figures_of(
    server: AudioSocketServer,
    calls: Sequence[CallRecord],
    recorder_failures: Mapping[str, int],
    plan_concurrency: int | None,
) -> ProcessFigures:
    """Return the figures; ``calls``: those that are up."""
    context = server.context
    return ProcessFigures(
        calls=calls,
        calls_max=server.max_calls,
        plan_concurrency=plan_concurrency,
        ready=not server.is_stopping and server.calls.rejection_reason is None,
        draining=server.is_stopping,
        pbxs=context.pbxs.connected_by_host,
        load=context.load.figures(),
        lateness=context.load.lateness,
        queued_ms=server.calls.queued_ms,
        stalls=context.ticker.stalls,
        stall_silence_s=context.ticker.skipped * PERIOD_S,
        refused=server.refusals.counts,
        recorder_failures=recorder_failures,
        log_lines_dropped=dropped_lines(),
    )
