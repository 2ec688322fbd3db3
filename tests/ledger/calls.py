"""The events of a call that has seen everything, for tests of what reads its record."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from audiosocket_gw import events
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.events import SetupStep, TransferOutcome
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.ledger.reducer import begin, reduce
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.gateway_process import gateway_process
from tests.harness.waiting import until

CALL = UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
STARTED_AT = 1_764_072_000.25
NUMBER = "+49301234567"
ELSEWHERE = "0301112222"

WHOLE_CALL: tuple[events.CallEvent, ...] = (
    events.CallStarted(CALL, 100.0, "192.0.2.1:40000"),
    events.CallerIdentified(CALL, 100.01, "pbx-1", NUMBER, "Ann Example", "5001", f"PJSIP/{NUMBER}-0000000a"),
    events.SetupStepDone(CALL, 100.02, SetupStep.CALLER_DATA, 12.4),
    events.SetupStepDone(CALL, 100.1, SetupStep.CONNECT, 80.4, "agent_1"),
    events.AgentConnected(CALL, 100.2, "conv_1", 200.4),
    events.ReplyStarted(CALL, 100.5),
    events.AgentSilent(CALL, 105.0, 5_000),
    events.TurnTaken(CALL, 104.0, 900),
    events.TurnTaken(CALL, 105.0, 2_100),
    events.AnswerLate(CALL, 105.0, 3_000),
    events.CallerUndecodable(CALL, 105.0, "g722"),
    events.ReplyHeld(CALL, 105.0),
    events.ReplyResumed(CALL, 105.5, 500),
    events.Interrupted(CALL, 105.0, 1_500, 240),
    events.Interrupted(CALL, 105.5, 100),
    events.DigitPressed(CALL, 105.6, "7"),
    events.ToolCalled(CALL, 106.0, "order_status", "t1"),
    events.ToolAnswered(CALL, 106.25, "order_status", "t1", is_error=False),
    events.ToolCalled(CALL, 106.5, "slow", "t2"),
    events.TransferDecided(
        CALL, 106.6, f"{ELSEWHERE}@out", "", TransferOutcome.REFUSED, f"{ELSEWHERE}@out isn't allowed"
    ),
    events.TransferRequested(CALL, 107.0, "600@queues", "sales"),
    events.TransferDecided(CALL, 108.0, "600@queues", "sales", TransferOutcome.DONE),
    events.FrameFigures(CALL, 109.0, 3, 0, 12),
    events.CallEnded(CALL, 109.0, CallEnd(EndReason.TRANSFERRED, f"{NUMBER} put through"), 9_000, 4_000),
)


def record_of(
    happened: Sequence[events.CallEvent] = WHOLE_CALL, started_at: float = STARTED_AT
) -> CallRecord:
    """Return the record of a call from its events, the first of which is its start."""
    started, *others = happened
    assert isinstance(started, events.CallStarted)
    record = begin(started, started_at)
    for event in others:
        record = reduce(record, event, started.at)
    return record


def ended_call(uuid: UUID, reason: EndReason = EndReason.CALLER_HANGUP, **known: object) -> CallRecord:
    """Return the record of a short call; ``known`` replaces some of its fields."""
    record = record_of(
        (
            events.CallStarted(uuid, 1.0, "192.0.2.1:40000"),
            events.CallEnded(uuid, 2.0, CallEnd(reason, "why"), 1_000, 500),
        )
    )
    return replace(record, **known)  # type: ignore[arg-type]


async def calls_of_a_killed_gateway(kept: Callable[[], Sequence[str]], **settings: str) -> set[str]:
    """Kill a gateway with a call in progress when ``kept`` has the three that ended; return their UUIDs."""
    async with gateway_process("--agent", "simulator", prefix=(), **settings) as gateway:
        calls = [await AsteriskPeer.open(gateway.address) for _ in range(4)]
        for line in calls:
            line.identify()
        await gateway.logs("agent connected", 4)
        for line in calls[:3]:
            await line.__aexit__()
        await until(kept, lambda found: len(found) == 3)
        gateway.send(signal.SIGKILL)
        assert await gateway.status() == -signal.SIGKILL
        await calls[3].__aexit__()
    return {str(line.uuid) for line in calls[:3]}
