"""Logs a call: a line for each event that an operator needs, without anything that was said.

At the level ``debug`` the transcript is logged too.
"""

from __future__ import annotations

import logging
from uuid import UUID

from audiosocket_gw import events
from audiosocket_gw.call.outputs import (
    Drained,
    EventIdsRestarted,
    LastWordsOver,
    Notice,
    StaleAudioDropped,
)
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.elevenlabs.messages import ServerMessage
from audiosocket_gw.log.limit import ONCE, at_most

logger = logging.getLogger("audiosocket_gw.call")

FEW = at_most(5)
"""The ``extra`` of lines whose values differ."""


def log_event(event: events.CallEvent) -> None:
    """Write ``event`` to the log."""
    match event:
        case events.CallEnded():
            pass  # the ledger logs it, with the figures of the call: see `ledger/ended_line.py`
        case events.CallerUndecodable():
            pass  # `CallerFormatReport` logs it, with what to change
        # Each event has its own template: the rate limit counts the lines of a template, and shows it.
        case events.CallStarted():
            logger.info("call %s: started by %s", event.uuid, event.peer)
        case events.AgentConnected():
            logger.info(
                "call %s: agent connected in %.0f ms, conversation %s",
                event.uuid,
                event.setup_ms,
                event.conversation_id,
            )
        case events.Interrupted():
            logger.info("call %s: interrupted, %d ms discarded", event.uuid, event.discarded_ms, extra=FEW)
        case events.ToolCalled():
            logger.info("call %s: agent calls tool %.64s", event.uuid, event.name)
        case events.DigitPressed():
            logger.info("call %s: key pressed", event.uuid, extra=ONCE)
        case events.AgentSilent():
            logger.warning(
                "call %s: the agent has said nothing for %.1f s, the caller waits (SILENT_AGENT_SECONDS)",
                event.uuid,
                event.waited_ms / 1000,
            )
        case events.AnswerLate():
            logger.warning(
                "call %s: no answer for %.1f s after the caller spoke (LATE_ANSWER_SECONDS)",
                event.uuid,
                event.waited_ms / 1000,
            )
        case events.CallerIdentified():
            logger.debug("call %s: caller identified by %s", event.uuid, event.pbx)  # the ledger has who
        case _:
            logger.debug("%s", event)


def log_notice(uuid: UUID, notice: Notice | ServerMessage) -> None:
    """Log a notice about the agent for the operator."""
    match notice:
        case LastWordsOver():
            if notice.timed_out:
                logger.warning("call %s: agent still speaking; transfer or hang-up proceeds", uuid)
        case Drained():
            if notice.left_ms:
                logger.warning("call %s: playback was stuck; the last %d ms are lost", uuid, notice.left_ms)
        case EventIdsRestarted(first, stale_below):
            logger.warning(
                "call %s: the agent's event ids restarted at %d, after %d: its audio does not count as stale",
                uuid,
                first,
                stale_below,
                extra=ONCE,
            )
        case StaleAudioDropped(event_id):
            logger.debug("call %s: audio of event %s dropped", uuid, event_id)
        case messages.GuardrailTriggered():
            logger.warning("call %s: a guardrail of the agent was triggered", uuid, extra=ONCE)
        case messages.QueueStatus(status):
            logger.warning("call %s: ElevenLabs queues the call: %.32r", uuid, status, extra=ONCE)
        case messages.ServerError():
            logger.warning("call %s: the agent reports: %.200r", uuid, notice.message, extra=FEW)
        case _:
            logger.debug("call %s: agent message %r ignored", uuid, notice)
