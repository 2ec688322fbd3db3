"""A call's record follows from its events."""

from __future__ import annotations

from uuid import uuid4

from audiosocket_gw import events
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.events import SetupStep, TransferOutcome
from audiosocket_gw.ledger.record import CallRecord, CallState, Speaker, ToolOutcome
from audiosocket_gw.ledger.reducer import MAX_LISTED, MAX_TEXT, MAX_TOOLS, MAX_TRANSFERS, begin, reduce

CALL = uuid4()
STARTED = events.CallStarted(CALL, 100.0, "192.0.2.1:40000")


def record_of(*happened: events.CallEvent) -> CallRecord:
    record = begin(STARTED, 1_800_000_000.0)
    for event in happened:
        record = reduce(record, event, STARTED.at)
    return record


def test_a_call_from_start_to_end() -> None:
    record = record_of(
        events.CallerIdentified(CALL, 100.01, "", "+49301234567", "Ann", "5001", "PJSIP/a-1"),
        events.SetupStepDone(CALL, 100.1, SetupStep.CONNECT, 80.4, "agent_1"),
        events.AgentConnected(CALL, 100.2, "conv_1", 200.4),
        events.ReplyStarted(CALL, 100.5),
        events.ReplyStarted(CALL, 104.0),
        events.TurnTaken(CALL, 104.0, 900),
        events.Interrupted(CALL, 105.0, 1_500, 240),
        events.ToolCalled(CALL, 106.0, "order_status", "t1"),
        events.ToolAnswered(CALL, 106.25, "order_status", "t1", is_error=False),
        events.TransferRequested(CALL, 107.0, "600@queues", "sales"),
        events.TransferDecided(CALL, 108.0, "600@queues", "sales", TransferOutcome.DONE),
        events.FrameFigures(CALL, 109.0, 3, 0, 12),
        events.CallEnded(CALL, 109.0, CallEnd(EndReason.TRANSFERRED, "put through"), 9_000, 4_000),
    )
    assert record.state is CallState.ENDED
    assert (record.caller_number, record.dialled_number, record.agent) == ("+49301234567", "5001", "agent_1")
    assert (record.setup_ms, record.setup_steps, record.first_audio_ms) == (200, {SetupStep.CONNECT: 80}, 500)
    assert [(turn.at_ms, turn.latency_ms) for turn in record.turns] == [(4_000, 900)]
    assert (record.interruptions[0].silence_ms, record.discarded_ms) == (240, 1_500)
    assert (record.tools[0].outcome, record.tools[0].ms) == (ToolOutcome.OK, 250)
    assert [(t.name, t.outcome) for t in record.transfers] == [("sales", TransferOutcome.DONE)]
    assert (record.frames.late, record.frames.missing) == (3, 12)
    assert (record.duration_ms, record.heard_ms) == (9_000, 4_000)


def test_who_speaks() -> None:
    started, finished = events.ReplyStarted(CALL, 101.0), events.ReplyFinished(CALL, 104.0, 3_000)
    held, resumed = events.ReplyHeld(CALL, 102.0), events.ReplyResumed(CALL, 103.0, 1_000)
    interrupted, said = events.Interrupted(CALL, 103.0, 900), events.CallerSaid(CALL, 104.0, "No")
    ended = events.CallEnded(CALL, 105.0, CallEnd(EndReason.CALLER_HANGUP, ""), 5_000, 3_000)
    for happened, speaker in (
        ((), None),
        ((started,), Speaker.AGENT),
        ((started, said), Speaker.AGENT),
        ((started, finished), None),
        ((started, held), Speaker.CALLER),
        ((started, held, resumed), Speaker.AGENT),
        ((started, interrupted), Speaker.CALLER),
        ((started, interrupted, finished), Speaker.CALLER),
        ((started, interrupted, said), None),
        ((started, ended), None),
    ):
        assert record_of(*happened).speaker is speaker


def test_a_refused_transfer_is_listed_though_it_was_never_requested() -> None:
    record = record_of(
        events.TransferDecided(CALL, 101.0, "110@out", "", TransferOutcome.REFUSED, "not allowed")
    )
    assert [transfer.outcome for transfer in record.transfers] == [TransferOutcome.REFUSED]
    assert record.state is CallState.CONNECTING


def test_a_refused_transfer_decides_no_other() -> None:
    record = record_of(
        events.TransferRequested(CALL, 101.0, "600@queues", "sales"),
        events.TransferDecided(CALL, 102.0, "110@out", "", TransferOutcome.REFUSED, "not allowed"),
    )
    assert record.state is CallState.TRANSFERRING
    assert [transfer.outcome for transfer in record.transfers] == [None, TransferOutcome.REFUSED]
    decided = events.TransferDecided(CALL, 103.0, "600@queues", "sales", TransferOutcome.DONE)
    outcomes = [transfer.outcome for transfer in reduce(record, decided, STARTED.at).transfers]
    assert outcomes == [TransferOutcome.DONE, TransferOutcome.REFUSED]


def test_the_lists_are_bounded() -> None:
    record = record_of(*(events.TurnTaken(CALL, 101.0, ms) for ms in range(MAX_LISTED + 5)))
    assert len(record.turns) == MAX_LISTED
    assert record.turns[-1].latency_ms == MAX_LISTED + 4
    record = record_of(
        *(events.ToolCalled(CALL, 101.0, "x" * 1_000, str(number)) for number in range(MAX_TOOLS + 5)),
        *(events.TransferDecided(CALL, 102.0, "x" * 1_000, "", TransferOutcome.REFUSED, "y" * 1_000),)
        * (MAX_TRANSFERS + 5),
    )
    assert (len(record.tools), len(record.transfers)) == (MAX_TOOLS, MAX_TRANSFERS)
    transfer = record.transfers[0]
    assert {len(text) for text in (record.tools[0].name, transfer.destination, transfer.detail)} == {MAX_TEXT}


def test_an_answer_without_its_call_changes_nothing() -> None:
    assert record_of(events.ToolAnswered(CALL, 101.0, "x", "t9", is_error=True)).tools == ()


def test_texts_of_others_are_bounded() -> None:
    """A channel of Asterisk may have a name of 60 KB."""
    long = "x" * 60_000
    record = begin(events.CallStarted(CALL, 100.0, "192.0.2.1:1"), 0.0)
    record = reduce(record, events.CallerIdentified(CALL, 100.0, "", long, long, long, long), 100.0)
    record = reduce(record, events.SetupStepDone(CALL, 100.0, events.SetupStep.AGENT_URL, 1, long), 100.0)
    texts = (record.caller_number, record.caller_name, record.dialled_number, record.channel, record.agent)
    assert {len(text) for text in texts} == {MAX_TEXT}
