"""The log line of a call that has ended, with its figures."""

from __future__ import annotations

import logging

from audiosocket_gw.events import CallEnded, CallEvent
from audiosocket_gw.ledger.figures import figures
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.log.text import Sentence

logger = logging.getLogger("audiosocket_gw.call")


def log_ended(event: CallEvent, record: CallRecord) -> None:
    """Log the end of a call: a `Follower`."""
    if not isinstance(event, CallEnded) or record.end is None:
        return
    known = figures(record)
    names = "".join(f" {name}=%d" for name in known)
    logger.log(
        logging.WARNING if record.end.is_bad else logging.INFO,
        f"call %s: ended, reason=%s duration_s=%.1f heard_s=%.1f{names}: %s",
        record.uuid,
        record.end.reason,
        event.duration_ms / 1000,
        event.heard_ms / 1000,
        *known.values(),
        Sentence(record.end.detail),
    )
