"""What is wrong now: one line a fault, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.events import TransferOutcome
from audiosocket_gw.ledger.advice import ADVICE, plain
from audiosocket_gw.ledger.record import CallRecord, CallState, ToolOutcome, ToolRun, Transfer
from audiosocket_gw.ledger.wrong_now import MAX_FAULTS, Fault, Harm, Refused, Seen, wrong_now
from tests.ledger.calls import ended_call

NOW = 10_000.0


def ended(reason: EndReason = EndReason.CALLER_HANGUP, ago_s: float = 60.0, **known: Any) -> CallRecord:
    """Return a call of a second that ended ``ago_s`` before now."""
    return ended_call(uuid4(), reason, **{"started_at": NOW - ago_s - 1, "setup_ms": 200, **known})


def up(age_s: float = 30.0, **known: Any) -> tuple[CallRecord, int]:
    record = ended(ago_s=age_s - 1, **known)
    return replace(record, end=None, duration_ms=None, state=CallState.TALKING), round(age_s * 1000)


def found(
    live: Sequence[tuple[CallRecord, int]] = (),
    ended: Sequence[CallRecord] = (),
    refused: Sequence[Refused] = (),
    managers: Mapping[str, float] | None = None,
) -> list[Fault]:
    return list(wrong_now(Seen(live, ended, refused, managers or {}, NOW)))


def whats(faults: Sequence[Fault]) -> list[str]:
    return [fault.what for fault in faults]


def test_nothing_is_wrong() -> None:
    assert found() == []
    assert found([up()], [ended() for _ in range(50)]) == []


def test_ends_that_are_not_normal() -> None:
    quota = [ended(EndReason.AGENT_QUOTA, ago_s) for ago_s in (10, 20, 30)]
    (fault,) = found(ended=[*quota, ended()])
    assert (fault.what, fault.why) == ("agent-quota: 3 of 4 ended calls", "why")
    assert (fault.since, fault.last) == (NOW - 30, NOW - 10)
    assert fault.to_do == plain(EndReason.AGENT_QUOTA) == ADVICE[EndReason.AGENT_QUOTA].to_do


def test_one_bad_call_among_many_is_its_own() -> None:
    good = [ended() for _ in range(20)]
    assert found(ended=[ended(EndReason.CALLER_STALLED), *good]) == []
    assert len(found(ended=[ended(EndReason.CALLER_STALLED), *good[:4]])) == 1
    assert len(found(ended=[ended(EndReason.CALLER_STALLED)])) == 1


def test_what_ended_long_ago_does_not_count() -> None:
    assert found(ended=[ended(EndReason.AGENT_QUOTA, 601) for _ in range(9)]) == []


def test_agents_that_say_nothing() -> None:
    silent: dict[str, Any] = {"silent_ms": 5_000, "first_audio_ms": None}
    connecting = up(setup_ms=None)
    (fault,) = found([up(**silent), up(20, **silent), connecting], [ended(**silent)])
    assert fault.what == "3 of 3 calls: the agent says nothing"
    assert (fault.since, fault.last) == (NOW - 61 + 0.2, NOW)
    assert fault.to_do == plain(EndReason.SILENT_AGENT)
    ended_for_it = [ended(EndReason.SILENT_AGENT, **silent) for _ in range(3)]
    assert whats(found(ended=ended_for_it)) == ["3 of 3 calls: the agent says nothing"]
    late = up(silent_ms=5_000, first_audio_ms=7_000)
    assert whats(found([late])) == ["1 of 1 call: the agent's first word came late"]


def test_callers_that_cannot_be_understood() -> None:
    (fault,) = found([up(undecodable=True)], [ended()])
    assert fault.what == "1 of 2 calls: the agent hears nothing (wrong codec?)"


def test_late_answers() -> None:
    (fault,) = found([up(late_answers=2), up()], [ended(late_answers=1)])
    assert (fault.what, fault.last) == ("2 of 3 calls: late answers (3 in all)", NOW)


def test_refused_calls() -> None:
    full = Refused(58, NOW - 90, NOW - 1, EndReason.GATEWAY_FULL, "MAX_CALLS=5 is reached")
    stranger = Refused(2, NOW, NOW, EndReason.PEER_LIMIT, "", by_strangers=True)
    (fault,) = found(refused=[full, stranger])
    assert (fault.what, fault.why, fault.since) == ("58 calls refused", "MAX_CALLS=5 is reached", NOW - 90)
    assert "`" not in fault.to_do
    assert whats(found(refused=[replace(stranger, count=3)])) == ["3 connections refused"]


def test_a_manager_interface_that_is_not_connected() -> None:
    (fault,) = found(managers={"pbx:5038": NOW - 300})
    assert (fault.what, fault.since) == ("no connection to the manager interface of pbx:5038", NOW - 300)


def test_transfers_of_one_sort_are_one_fault() -> None:
    refused = Transfer("700", "", 2_000, TransferOutcome.REFUSED, "That is not allowed. Offer sales.")
    old = up(5_000, transfers=(refused,))
    (fault,) = found([up(30, transfers=(refused, refused)), old], [ended(transfers=(refused,))])
    assert (fault.what, fault.why) == ("transfer to 700 refused 3 times", "That is not allowed")
    failed = replace(refused, outcome=TransferOutcome.FAILED)
    assert whats(found([up(transfers=(failed,))])) == ["transfer to 700 failed"]


def test_tools() -> None:
    def run(outcome: ToolOutcome, ms: int | None) -> ToolRun:
        return ToolRun("price_list", "t1", 1_000, outcome, ms)

    slow = up(tools=(run(ToolOutcome.OK, 9_000), run(ToolOutcome.OK, 100)))
    running = up(11, tools=(run(ToolOutcome.RUNNING, None),))
    assert whats(found([slow, running])) == ["tool price_list takes 9.0 s (2 of 3 runs)"]
    failed = ended(tools=(run(ToolOutcome.ERROR, 50),))
    assert whats(found(ended=[failed])) == ["tool price_list failed in 1 of 1 run"]
    assert found([up(5_000, tools=(run(ToolOutcome.ERROR, 9_000),))]) == []


def test_the_worst_comes_first_and_there_is_an_end() -> None:
    slow = ToolRun("price_list", "t1", 1_000, ToolOutcome.OK, 9_000)
    silent = up(silent_ms=5_000, first_audio_ms=None)
    calls = [up(late_answers=1, tools=(slow,)), silent, silent]
    faults = found(
        calls,
        [ended(EndReason.AGENT_QUOTA) for _ in range(5)],
        [Refused(9, NOW, NOW, EndReason.GATEWAY_FULL, "")],
        {"pbx": NOW},
    )
    harms = [fault.harm for fault in faults]
    assert harms == sorted(harms) == [*[Harm.CALLS] * 3, Harm.MANAGER, Harm.TOOLS]
    assert whats(faults)[:2] == ["9 calls refused", "agent-quota: 5 of 5 ended calls"]
    tools = tuple(replace(slow, name=f"tool_{number}") for number in range(MAX_FAULTS + 5))
    assert len(found([up(tools=tools)])) == MAX_FAULTS
