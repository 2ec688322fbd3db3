"""What the page knows of a call: from its events, and where they say nothing, from its audio."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from audiosocket_gw import events
from audiosocket_gw.call_page.findings import Outcome, head
from audiosocket_gw.call_page.from_flight import model_of_records
from audiosocket_gw.call_page.model import CallModel, MarkKind, Source, Speaker, Words
from audiosocket_gw.call_page.page import render
from audiosocket_gw.call_page.strips import lay_out
from audiosocket_gw.call_page.transcript import transcript
from audiosocket_gw.events import TransferOutcome
from audiosocket_gw.flight.format import FlightError, Record
from tests.call_page import calls
from tests.call_page.calls import CALL, START, call, connected, ended, frames, reply, said


def near(value: float, within: float = 0.025) -> Any:
    return pytest.approx(value, abs=within)


def model_of(records: Iterable[Record]) -> CallModel:
    return model_of_records(records)


def labels(model: CallModel, kind: MarkKind) -> list[str]:
    return [mark.label for mark in model.marks if mark.kind is kind]


def faults(model: CallModel) -> list[str]:
    return [mark.text for mark in model.marks if mark.is_fault]


def test_a_whole_call_has_all_of_its_marks() -> None:
    model = model_of(calls.conversation())
    assert model.source is Source.FLIGHT
    assert model.gateway == "1.2.3"
    assert [(a.asked_at, a.answered_at) for a in model.answers] == [(2.5, 3.2), (6.0, 6.9)]
    assert not model.answers_measured
    assert labels(model, MarkKind.ANSWER) == ["700 ms", "900 ms"]
    assert labels(model, MarkKind.SETUP) == ["signed url 200 ms", "agent connected 400 ms", "connect 200 ms"]
    assert labels(model, MarkKind.TOOL) == ["look_up 500 ms"]
    assert labels(model, MarkKind.TRANSFER) == ["transfer done"]
    assert labels(model, MarkKind.KEY) == ["key"]
    assert labels(model, MarkKind.END) == ["transferred"]
    assert faults(model) == []
    assert head(model).outcome is Outcome.NORMAL


def test_a_barge_in_is_measured_from_the_speech_and_from_the_message() -> None:
    (barge_in,) = model_of(calls.conversation()).barge_ins
    assert barge_in.silence_ms == 300
    assert barge_in.stop_ms == near(40, 25)
    assert barge_in.spoken_at == near(5.0, 0.05)
    assert barge_in.discarded_ms == 9_000


def test_hold_audio_is_neither_the_agents_speech_nor_its_old_reply() -> None:
    model = model_of(calls.hold_audio())
    assert [(span.start, span.end) for span in model.agent_speech] == [
        (near(1), near(2)),
        (near(5), near(9.2)),
        (near(12), near(13)),
    ]
    (barge_in,) = model.barge_ins
    assert barge_in.stop_ms is None


def test_the_transcript_has_its_places_and_what_was_never_heard() -> None:
    words = model_of(calls.conversation()).words
    assert [(w.speaker, w.text, w.unheard) for w in words] == [
        (Speaker.AGENT, "Hello & welcome.", ""),
        (Speaker.CALLER, "What are <your> hours?", ""),
        (Speaker.AGENT, "We are open", "from nine to five."),
        (Speaker.CALLER, "Put me through to sales, ##########.", ""),
        (Speaker.AGENT, "One moment.", ""),
    ]
    assert [w.at for w in words] == [near(0.5), near(1.5), near(3.2), near(5.0), near(6.9)]


def test_a_correction_splits_a_reply_or_replaces_it() -> None:
    def transcript(*happened: events.CallEvent) -> tuple[Words, ...]:
        return model_of(call(frames(2), *happened)).words

    spoken = events.AgentSaid(CALL, 0.6, "One two three.", corrected=False)
    corrected = events.AgentSaid(CALL, 0.8, "One two...", corrected=True)
    assert transcript(spoken, corrected) == (Words(near(0.6), Speaker.AGENT, "One two", "three."),)
    other = replace(corrected, text="Something else")
    assert transcript(said(0.5, "Hm."), spoken, said(0.7, "Stop."), other)[1].text == "Something else"
    assert transcript(corrected) == ()


def test_an_earlier_gateways_recording_is_measured_in_its_audio() -> None:
    model = model_of(calls.old_recording())
    assert model.answers_measured
    assert [answer.latency_ms for answer in model.answers] == [near(600, 25)]
    assert labels(model, MarkKind.NO_ANSWER) == ["no answer for 5.0 s"]
    assert labels(model, MarkKind.SETUP) == ["agent connected 300 ms"]
    assert head(model).outcome is Outcome.LOOK


def test_who_speaks_on_is_not_answered() -> None:
    model = model_of(call(frames(8, [(1, 2), (3, 4)], [(4.5, 5)]), *connected(), ended(8)))
    assert [(a.asked_at, a.answered_at) for a in model.answers] == [(near(4), near(4.5))]


def test_a_pause_between_words_belongs_to_the_utterance() -> None:
    model = model_of(call(frames(4, [(1, 2), (2.3, 3)]), ended(4)))
    assert [(span.start, span.end) for span in model.caller_speech] == [(near(1), near(3))]


@pytest.mark.parametrize("hold", [calls.SILENCE, calls.TONE])
def test_a_silent_agent_is_marked_reported_or_not(hold: bytes) -> None:
    reported = model_of(calls.silent_agent())
    assert labels(reported, MarkKind.SILENT) == ["silent agent 14.6 s"]
    assert head(reported).outcome is Outcome.LOOK
    quiet = call(frames(15, [(3, 5)]), *connected(), ended(15))
    assert labels(model_of(quiet), MarkKind.SILENT) == ["silent agent 14.6 s"]
    spoke = call(frames(15, agent=[(2, 3)]), *connected(), *reply(2, 3, "Hello."), ended(15))
    assert labels(model_of(spoke), MarkKind.SILENT) == []


def test_a_caller_that_cant_be_decoded_is_a_fault_with_its_remedy() -> None:
    model = model_of(calls.undecodable())
    assert labels(model, MarkKind.UNDECODABLE) == ["not decoded"]
    found = head(model)
    assert found.outcome is Outcome.LOOK
    (finding,) = found.findings
    assert "couldn't be decoded (g722): the agent got silence" in finding.text
    assert "c(slin)" in finding.text


def test_late_answers_are_faults_and_those_that_never_came() -> None:
    model = model_of(calls.slow_answers())
    assert labels(model, MarkKind.ANSWER) == ["late: 4,200 ms"]
    assert labels(model, MarkKind.NO_ANSWER) == ["no answer for 9.0 s"]
    assert labels(model, MarkKind.GAP) == ["gap 300 ms"]
    assert len(faults(model)) == 3


def test_a_late_answer_that_waited_for_a_tool_is_not_blamed_on_the_agent() -> None:
    model = model_of(calls.slow_tool())
    assert labels(model, MarkKind.TOOL) == ["price_list slow", "price_list slow", "price_list 200 ms"]
    texts = [finding.text for finding in head(model).findings]
    assert texts[:3] == [
        "2 times; the longest: The agent answered 10.0 s after the caller stopped speaking, late. During it "
        "your tool price_list ran 9.0 s: look at it before the agent.",
        "2 times; the longest: Tool price_list answered only after 9.0 s.",
        "The agent answered 5,000 ms after the caller stopped speaking, late. Such a wait is the agent's "
        "own: look at its model, tools and turn settings in ElevenLabs.",
    ]


def test_an_answer_that_never_came_while_a_tool_ran_names_the_tool() -> None:
    asked = events.ToolCalled(CALL, 3, "price_list", "t1")
    late = events.AnswerLate(CALL, 5.5, 3_000)
    model = model_of(call(frames(10, [(1.5, 2.5)]), *connected(), asked, late, ended(10)))
    texts = [finding.text for finding in head(model).findings]
    during = "for an answer that didn't come. During it your tool price_list ran 7.0 s"
    assert [during in text for text in texts].count(True) == 1


def test_a_refused_transfer_is_a_fault_each_time_and_said_once() -> None:
    model = model_of(calls.refused_thrice())
    assert labels(model, MarkKind.TRANSFER) == ["transfer refused"] * 3
    (finding,) = head(model).findings
    assert finding.text.startswith("3 times; the longest: Transfer to +##########: refused: TRANSFER_ALLOWED")


def test_a_given_up_transfer_and_one_that_hangs_are_no_refusals() -> None:
    given_up = events.TransferDecided(CALL, 2, "sales", "", TransferOutcome.GIVEN_UP)
    asked = events.TransferRequested(CALL, 3, "sales", "sales")
    model = model_of(call(frames(5), *connected(), given_up, asked, ended(5)))
    assert labels(model, MarkKind.TRANSFER) == ["transfer given up", "transfer not decided"]
    assert [mark for mark in model.marks if mark.kind is MarkKind.TRANSFER and mark.is_fault] == []


def test_a_tool_that_never_answers_is_a_fault() -> None:
    asked = events.ToolCalled(CALL, 2, "look_up", "t1")
    model = model_of(call(frames(5), *connected(), asked, ended(5)))
    assert labels(model, MarkKind.TOOL) == ["look_up, no answer"]


def test_a_held_reply_says_how_it_went_on() -> None:
    held = [events.ReplyHeld(CALL, 1), events.ReplyResumed(CALL, 1.3, 300), events.ReplyHeld(CALL, 2)]
    model = model_of(call(frames(5), *held, events.Interrupted(CALL, 2.2, 0), ended(5)))
    assert [m.text for m in model.marks if m.kind is MarkKind.HOLD] == [
        "The reply was held for 300 ms; resumed: no interruption followed.",
        "The reply was held for 200 ms; then it was interrupted.",
    ]


def test_a_call_that_never_connected_says_why() -> None:
    model = model_of(calls.never_connected())
    found = head(model)
    assert (found.outcome, found.reason) == (Outcome.BAD, "agent-timeout")
    assert found.detail == "no WebSocket in 10 s (AGENT_CONNECT_TIMEOUT)"
    assert found.to_do == "The log line names the step."
    assert labels(model, MarkKind.SILENT) == []


def test_a_recording_that_breaks_off_says_so() -> None:
    model = model_of(list(calls.conversation())[:-1])
    assert head(model).outcome is Outcome.BROKEN_OFF
    still = model_of_records(list(calls.conversation())[:-1], is_up=True)
    assert head(still).outcome is Outcome.UP


def test_times_beyond_the_call_are_brought_into_it() -> None:
    model = model_of(call(frames(2), events.TurnTaken(CALL, 1, 50_000), ended(2)))
    assert all(0 <= mark.start <= mark.end <= model.duration for mark in model.marks)


def test_a_recording_that_does_not_begin_is_an_error() -> None:
    with pytest.raises(FlightError, match="doesn't begin"):
        model_of([])
    with pytest.raises(FlightError, match="doesn't begin"):
        model_of(list(calls.conversation())[1:])
    assert model_of([START]).duration == 0


def test_the_queue_and_the_round_trip_to_the_agent_are_shown() -> None:
    trips = [events.AgentPinged(CALL, 1 + number, 40.0 + number) for number in range(3)]
    queued = [events.AgentQueued(CALL, 0.2, "queued"), events.AgentQueued(CALL, 0.3, "admitted")]
    model = model_of(call(frames(5), *queued, *connected(), *trips, ended(5)))
    assert labels(model, MarkKind.QUEUE) == ["queue: queued", "queue: admitted"]
    assert list(model.round_trips_ms) == [40, 41, 42]
    assert b"median 41 ms, longest 42 ms" in render(model)


def test_words_with_little_room_at_the_end_of_a_strip_begin_in_the_next() -> None:
    late = [said(4.9, "At the end of the strip."), said(9.9, "Before more words."), said(10.1, "More words.")]
    (section,) = lay_out(model_of(call(frames(15), *late, ended(15))))
    placed = [[(p.words.text, round(p.left)) for p in strip.words] for strip in section.strips]
    assert placed == [[], [("At the end of the strip.", 0)], [("More words.", 6)]]


def test_a_number_that_was_partly_heard_is_masked_in_both_parts() -> None:
    text = "Call 0301234567 now."
    heard = events.ReplyHeard(CALL, 1.5, 1, text, "Call 03012", 1, 2, interrupted=True)
    spoken = [events.AgentSaid(CALL, 1, text, corrected=False), heard]
    (words,) = transcript(spoken, ())
    assert (words.text, words.unheard) == ("Call #####", "##### now.")
