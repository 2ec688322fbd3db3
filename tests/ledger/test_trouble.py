"""What is wrong with a call, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.events import TransferOutcome
from audiosocket_gw.ledger.record import CallRecord, ToolOutcome, ToolRun, Transfer
from audiosocket_gw.ledger.trouble import MINOR, TroubleKind, is_bad, troubles
from tests.ledger.calls import CALL, WHOLE_CALL, record_of

UP = record_of(WHOLE_CALL[:5])
"""A call that is up: its agent connected after 200 ms, and has said nothing."""


def texts(record: CallRecord, age_ms: int | None = None) -> list[str]:
    return [trouble.text for trouble in troubles(record, age_ms)]


def transfer(outcome: TransferOutcome | None, detail: str = "", name: str = "") -> Transfer:
    return Transfer("700@out", name, 1_000, outcome, detail)


def test_a_good_call_has_none() -> None:
    good = replace(
        UP,
        tools=(ToolRun("hours", "t1", 0, ToolOutcome.OK, 3_000),),
        transfers=(transfer(TransferOutcome.GIVEN_UP), transfer(None), transfer(TransferOutcome.DONE)),
    )
    assert troubles(good) == ()
    assert not is_bad(good)


def test_an_end_that_is_not_normal() -> None:
    ended = events.CallEnded(CALL, 101.0, CallEnd(EndReason.AGENT_QUOTA, "no credits"), 1_000, 0)
    assert texts(record_of((*WHOLE_CALL[:5], ended))) == ["agent-quota"]


@pytest.mark.parametrize(
    ("first_audio_ms", "duration_ms", "age_ms", "text"),
    [
        (None, None, None, "agent silent for over 5 s"),
        (None, None, 24_900, "agent silent for over 24 s"),
        (7_300, None, 24_900, "agent silent for 7 s"),
        (7_300, 60_000, None, "agent silent for 7 s"),
    ],
)
def test_a_silent_agent(
    first_audio_ms: int | None, duration_ms: int | None, age_ms: int | None, text: str
) -> None:
    record = replace(UP, silent_ms=5_000, first_audio_ms=first_audio_ms, duration_ms=duration_ms)
    assert texts(record, age_ms) == [text]
    assert is_bad(record)


def test_an_agent_that_was_silent_until_the_end() -> None:
    ended = events.CallEnded(CALL, 130.0, CallEnd(EndReason.CALLER_HANGUP, ""), 30_300, 0)
    record = record_of((*WHOLE_CALL[:5], events.AgentSilent(CALL, 105.2, 5_000), ended))
    assert texts(record) == ["agent silent for 30 s"]


def test_a_caller_that_cannot_be_understood() -> None:
    assert texts(replace(UP, undecodable=True)) == ["agent hears nothing (wrong codec?)"]
    assert is_bad(replace(UP, undecodable=True))


def test_late_answers() -> None:
    assert texts(replace(UP, late_answers=1)) == ["1 late answer"]
    assert texts(replace(UP, late_answers=2)) == ["2 late answers"]
    assert is_bad(replace(UP, late_answers=1))


def test_transfers_that_led_nowhere() -> None:
    refused = transfer(TransferOutcome.REFUSED, "A transfer to that extension is not allowed. Offer sales.")
    failed = transfer(TransferOutcome.FAILED, "", "sales")
    assert texts(replace(UP, transfers=(refused, failed, refused))) == [
        "transfer to 700@out refused 2 times: A transfer to that extension is not allowed",
        "transfer to sales failed",
    ]
    assert is_bad(replace(UP, transfers=(failed,)))


def test_tools_are_trouble_but_do_not_make_a_call_bad() -> None:
    record = replace(
        UP,
        tools=(
            ToolRun("price_list", "t1", 0, ToolOutcome.OK, 9_000),
            ToolRun("price_list", "t2", 0, ToolOutcome.ERROR, 4_000),
            ToolRun("hours", "t3", 0, ToolOutcome.ERROR, 20),
            ToolRun("hours", "t4", 0, ToolOutcome.ERROR, 20),
            ToolRun("orders", "t5", 10_000),
            ToolRun("avr_transfer", "t6", 0, ToolOutcome.ERROR, 20),
        ),
    )
    finished = ["tool price_list failed", "tool hours failed 2 times", "tool price_list 9.0 s"]
    assert texts(record) == finished
    assert texts(record, 13_000) == finished
    assert texts(record, 13_100) == [*finished, "tool orders 3.1 s"]
    assert not is_bad(record)


def test_the_worst_comes_first() -> None:
    kinds = [trouble.kind for trouble in troubles(record_of())]
    assert kinds == sorted(kinds, key=list(TroubleKind).index)
    assert {TroubleKind.SILENT, TroubleKind.UNDECODABLE, TroubleKind.TRANSFER, TroubleKind.LATE} <= set(kinds)
    assert all(trouble.is_bad != (trouble.kind in MINOR) for trouble in troubles(record_of()))
