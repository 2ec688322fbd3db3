"""SIGUSR1: logs a line for each call in progress."""

from __future__ import annotations

import asyncio
import logging

from audiosocket_gw.call.call import Call
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.log.text import Sentence

logger = logging.getLogger("audiosocket_gw.gateway")

AT_ONCE = 8
"""Lines in an iteration of the event loop: half a millisecond."""


async def log_calls(gateway: Gateway) -> None:
    """Log how many calls are up, the load, and each call."""
    calls = gateway.calls_up()
    logger.info("SIGUSR1: calls=%d: %s", len(calls), gateway.load_figures())
    for number, call in enumerate(calls, 1):
        record = gateway.ledger.find(call.uuid)
        if record is not None:
            _log(call, record, gateway.ledger.age_ms(call.uuid))
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)


def _log(call: Call, record: CallRecord, age_ms: int | None) -> None:
    logger.info(
        "call %s: state=%s age_s=%s agent=%s conversation=%s pbx=%s turns=%d last_turn_ms=%s tools=%d: %s",
        call.uuid,
        record.state,
        None if age_ms is None else age_ms // 1000,
        record.agent or None,
        record.conversation_id or None,
        record.pbx or None,
        len(record.turns),
        record.turns[-1].latency_ms if record.turns else None,
        len(record.tools),
        Sentence(repr(call).removeprefix(f"<call {call.uuid}: <").removesuffix(">>")),
    )
