"""The log's view of a call: a line for what an operator must know, no word of what was said.

At the level ``debug`` the transcript is logged too.
"""

from __future__ import annotations

import logging

from audiosocket_gw import events
from audiosocket_gw.log.text import Sentence

logger = logging.getLogger("audiosocket_gw.call")


def log_event(event: events.CallEvent) -> None:
    """Write ``event`` to the log."""
    match event:
        case events.CallEnded():
            level = logging.INFO if event.reason in events.NORMAL_ENDS else logging.WARNING
            logger.log(
                level,
                "call %s: ended, reason=%s duration_s=%.1f heard_s=%.1f: %s",
                event.uuid,
                event.reason,
                event.duration_ms / 1000,
                event.heard_ms / 1000,
                Sentence(event.detail),
            )
        case (
            events.CallStarted()
            | events.AgentConnected()
            | events.Interrupted()
            | events.ToolCalled()
            | events.DigitPressed()
        ):
            logger.info("call %s: %s", event.uuid, Sentence(events.describe(event)))
        case _:
            logger.debug("%s", event)
