"""The line of a minute: counted from events, on a clock of its own."""

from __future__ import annotations

import asyncio
import logging
from uuid import uuid4

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.ledger.minute import PERIOD_S, MinuteLines
from audiosocket_gw.ledger.reducer import begin

pytestmark = pytest.mark.virtual_time


class Calls:
    """Calls as the ledger tells of them."""

    def __init__(self) -> None:
        self.up = 0
        self.minutes = MinuteLines(lambda: self.up, lambda: "2% of a core used")

    def tell(self, event: events.CallEvent) -> None:
        self.minutes.follow(event, begin(events.CallStarted(event.uuid, 0.0, "peer"), 0.0))

    def start(self) -> None:
        self.up += 1
        self.tell(events.CallStarted(uuid4(), 0.0, "peer"))

    def turn(self, ms: int) -> None:
        self.tell(events.TurnTaken(uuid4(), 0.0, ms))

    def end(self, reason: EndReason) -> None:
        self.up -= 1
        self.tell(events.CallEnded(uuid4(), 0.0, CallEnd(reason, "why"), duration_ms=1, heard_ms=1))


async def test_a_line_a_minute_while_calls_are_up_and_none_when_idle(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="audiosocket_gw.ledger")
    calls = Calls()
    await asyncio.sleep(10 * PERIOD_S)
    assert caplog.messages == []
    for _ in range(4):
        calls.start()
    for ms in (700, 900, 2_300):
        calls.turn(ms)
    for reason in (EndReason.AGENT_FAILED, EndReason.CALLER_HANGUP, EndReason.CALLER_HANGUP):
        calls.end(reason)
    await asyncio.sleep(PERIOD_S + 1)
    assert caplog.messages == [
        "last 60 s: calls=1 started=4 ended=3 turns=3 turn_ms_p50=900 turn_ms_max=2300; "
        "ended: caller-hangup 2, agent-failed 1; 2% of a core used"
    ]
    await asyncio.sleep(2 * PERIOD_S)
    assert len(caplog.messages) == 3
    assert (
        "calls=1 started=0 ended=0 turns=0 turn_ms_p50=None turn_ms_max=None; ended: none"
        in (caplog.messages[-1])
    )
    calls.end(EndReason.TRANSFERRED)
    await asyncio.sleep(10 * PERIOD_S)
    assert len(caplog.messages) == 4
    assert "calls=0 started=0 ended=1" in caplog.messages[-1]


async def test_calls_within_a_minute_are_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="audiosocket_gw.ledger")
    calls = Calls()
    for _ in range(1_000):
        calls.start()
        calls.end(EndReason.CALLER_HANGUP)
    await asyncio.sleep(10 * PERIOD_S)
    (line,) = caplog.messages
    assert "calls=0 started=1000 ended=1000" in line


async def test_nothing_is_said_after_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="audiosocket_gw.ledger")
    calls = Calls()
    calls.start()
    calls.minutes.close()
    await asyncio.sleep(2 * PERIOD_S)
    assert caplog.messages == []
