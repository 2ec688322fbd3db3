"""What is counted of a call, from its events."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from audiosocket_gw import events
from audiosocket_gw.causes import WebSocketClosed
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.events import TransferOutcome
from audiosocket_gw.ledger.ledger import Ledger
from tests.ledger.calls import CALL, WHOLE_CALL
from tests.metrics.figures import after, metrics_of

STARTED = events.CallStarted(CALL, 100.0, "192.0.2.1:40000")


def test_a_call_that_has_seen_everything() -> None:
    found = after(WHOLE_CALL, "order_status", "slow")
    place = {"agent": "agent_1", "pbx": "pbx-1"}
    assert found.value("calls_total", result="transferred", reason="transferred", **place) == 1
    assert found.value("ends_total", result="transferred", reason="transferred") == 1
    assert found.value("setup_seconds_sum", step="connect") == 0.0804
    assert found.value("setup_seconds_count", step="caller_data") == 1
    assert found.value("first_audio_seconds_sum") == 0.5
    assert found.value("turns_total", agent="agent_1") == 1
    assert found.value("turn_seconds_count", agent="agent_1") == 2
    assert dict(found.buckets("turn_seconds", agent="agent_1"))["1.0"] == 1
    assert found.value("silent_calls_total", agent="agent_1") == 1
    assert found.value("late_answers_total", agent="agent_1") == 1
    assert found.value("undecodable_calls_total") == 1
    assert found.value("interruptions_total", by="agent") == 2
    assert found.value("holds_total", outcome="resumed") == 1
    assert found.value("barge_in_seconds_sum") == 0.24
    assert found.value("discarded_seconds_total") == 1.6
    assert found.value("heard_seconds_total") == 4.0
    assert found.value("call_seconds_sum") == 9.0
    assert found.value("conversation_seconds_total", agent="agent_1") == 8.8
    assert found.value("tool_calls_total", tool="order_status", outcome="ok") == 1
    assert found.value("tool_seconds_sum", tool="order_status") == 0.25
    assert found.value("transfers_total", outcome="refused", destination="unnamed") == 1
    assert found.value("transfers_total", outcome="done", destination="sales") == 1
    assert found.value("leave_seconds_sum", kind="transfer") == 1.0


def test_what_alerts_watch_is_there_before_the_first_call() -> None:
    found = after((), "order_status")
    assert found.value("undecodable_calls_total") == 0
    assert {dict(labels)["reason"] for (name, labels) in found.values if name.endswith("ends_total")} == set(
        EndReason
    )
    assert found.value("tool_calls_total", tool="order_status", outcome="error") == 0
    assert found.value("transfers_total", outcome="refused", destination="unnamed") == 0
    assert found.value("transfers_total", outcome="given_up", destination="unnamed") == 0


def test_the_series_of_an_agent_begin_when_it_is_known() -> None:
    step = events.SetupStepDone(CALL, 100.1, events.SetupStep.CONNECT, 80.4, "agent_1")
    found = after((STARTED, step))
    assert found.value("silent_calls_total", agent="agent_1") == 0
    assert found.value("late_answers_total", agent="agent_1") == 0


def test_an_interruption_of_a_held_reply_confirms_the_hold() -> None:
    found = after(
        (
            STARTED,
            events.ReplyHeld(CALL, 101.0),
            events.Interrupted(CALL, 101.2, 400, 60),
            events.Interrupted(CALL, 102.0, 400),
            events.ReplyHeld(CALL, 103.0),
            events.ReplyResumed(CALL, 104.0, 1_000),
            events.Interrupted(CALL, 105.0, 400),
        )
    )
    assert found.value("interruptions_total", by="local") == 1
    assert found.value("interruptions_total", by="agent") == 2
    assert found.value("holds_total", outcome="confirmed") == 1
    assert found.value("holds_total", outcome="resumed") == 1
    assert found.value("barge_in_seconds_count") == 1


def test_a_silent_agent_is_counted_once_a_call_and_its_first_audio_too() -> None:
    silent = [events.AgentSilent(CALL, 105.0 + more, 5_000 + 1_000 * more) for more in range(3)]
    replies = [events.ReplyStarted(CALL, 110.0 + more) for more in range(3)]
    found = after((STARTED, *silent, *replies))
    assert found.value("silent_calls_total", agent="unknown") == 1
    assert found.value("first_audio_seconds_sum") == 10.0
    assert found.value("first_audio_seconds_count") == 1
    assert found.value("turns_total", agent="unknown") == 3


def test_a_gap_within_a_reply_is_no_turn() -> None:
    heard = events.ReplyHeard(CALL, 106.0, 1, "words", "words", 900, 900, interrupted=False)
    found = after(
        (
            STARTED,
            events.ReplyStarted(CALL, 101.0),
            events.ReplyFinished(CALL, 102.0, 1_000),
            events.ReplyStarted(CALL, 102.4),  # the same reply goes on
            events.ReplyFinished(CALL, 103.0, 1_600),
            events.ReplyStarted(CALL, 105.5),  # after a pause of its own, such as for a tool
            events.ReplyFinished(CALL, 106.0, 2_000),
            heard,
            events.ReplyStarted(CALL, 106.5),  # the next one
        )
    )
    assert found.value("underruns_total") == 1
    assert found.value("turns_total", agent="unknown") == 3


def test_a_hang_up_by_the_agent_is_timed() -> None:
    found = after(
        (
            STARTED,
            events.ToolCalled(CALL, 101.0, "avr_hangup", "t"),
            events.ToolAnswered(CALL, 101.0, "avr_hangup", "t", is_error=False),
            events.CallEnded(CALL, 103.5, CallEnd(EndReason.AGENT_HANGUP, "why"), 3_500, 0),
        )
    )
    assert found.value("leave_seconds_sum", kind="hangup") == 2.5


def test_a_transfer_that_fails_is_not_timed() -> None:
    found = after(
        (
            STARTED,
            events.TransferRequested(CALL, 101.0, "600@queues", "sales"),
            events.TransferDecided(CALL, 102.0, "600@queues", "sales", TransferOutcome.FAILED, "busy"),
            events.CallEnded(CALL, 103.5, CallEnd(EndReason.CALLER_HANGUP, "why"), 3_500, 0),
        )
    )
    assert found.value("transfers_total", outcome="failed", destination="sales") == 1
    assert not found.of("leave_seconds_count")


def test_a_tool_that_does_not_exist_is_other() -> None:
    found = after((STARTED, events.ToolAnswered(CALL, 101.0, "rm -rf", "t", is_error=True)), "order_status")
    assert found.value("tool_calls_total", tool="other", outcome="error") == 1


def test_the_code_of_a_close_is_counted() -> None:
    end = CallEnd(EndReason.AGENT_BUSY, WebSocketClosed(3008, "too many"))
    found = after((STARTED, events.CallEnded(CALL, 101.0, end, 1_000, 0)))
    assert found.value("agent_closes_total", code="3008") == 1
    assert found.value("ends_total", result="busy", reason="agent-busy") == 1
    assert found.value("calls_total", result="busy", reason="agent-busy", agent="unknown", pbx="unknown") == 1
    assert not found.of("conversation_seconds_total"), "the agent never connected"


def test_pings_and_the_queue() -> None:
    found = after(
        (
            STARTED,
            events.AgentPinged(CALL, 101.0, 48.0),
            events.AgentPinged(CALL, 103.0, 152.0),
            events.AgentQueued(CALL, 101.0, "waiting"),
            events.AgentQueued(CALL, 102.0, "admitted"),
        )
    )
    assert found.value("agent_rtt_seconds_sum") == 0.2
    assert dict(found.buckets("agent_rtt_seconds"))["0.05"] == 1
    assert found.value("agent_queue_total", status="waiting") == 1
    assert found.value("agent_queue_total", status="admitted") == 1


def test_what_is_known_of_a_call_is_forgotten_at_its_end() -> None:
    metrics = metrics_of()

    async def run() -> None:
        ledger = Ledger([metrics.follow])
        for _ in range(100):
            uuid = uuid4()
            ledger.observe(events.CallStarted(uuid, 1.0, "x"))
            ledger.observe(events.ReplyHeld(uuid, 2.0))
            end = CallEnd(EndReason.CALLER_HANGUP, "why")
            ledger.observe(events.CallEnded(uuid, 3.0, end, 2_000, 0))

    asyncio.run(run())
    assert metrics._calls._calls == {}
