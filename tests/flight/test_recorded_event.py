"""Events come back from a recording as they were, masked, and nothing in a file makes that fail."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw import events
from audiosocket_gw.causes import TimedOut
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.events import SetupStep, TransferOutcome
from audiosocket_gw.flight.capture import event_record
from audiosocket_gw.flight.format import PREAMBLE, Decoder, Event, encode_block
from audiosocket_gw.flight.recorded_event import read_event
from tests.flight.records import CALL, START

EVENTS: list[events.CallEvent] = [
    events.SetupStepDone(CALL, 0.2, SetupStep.SIGNED_URL, 120.5, "desk"),
    events.AgentConnected(CALL, 0.5, "conv_1", 500.0),
    events.ReplyStarted(CALL, 0.6),
    events.TurnTaken(CALL, 2.0, 900),
    events.AgentSilent(CALL, 5.5, 5_000),
    events.AnswerLate(CALL, 8.5, 3_000),
    events.CallerUndecodable(CALL, 8.5, "g722"),
    events.AgentQueued(CALL, 8.6, "waiting"),
    events.AgentPinged(CALL, 8.7, 48.0),
    events.ReplyFinished(CALL, 3.0, 1_400),
    events.CallerSaid(CALL, 2.1, "Hello."),
    events.AgentSaid(CALL, 2.2, "Yes?", corrected=False),
    events.ReplyHeard(CALL, 2.9, 3, "Yes? No.", "Yes?", 400, 800, interrupted=True),
    events.ReplyHeld(CALL, 3.0),
    events.ReplyResumed(CALL, 3.2, 200),
    events.Interrupted(CALL, 3.3, 9_000, 140),
    events.Interrupted(CALL, 3.3, 9_000),
    events.DigitPressed(CALL, 4.0, "#"),
    events.ToolCalled(CALL, 4.1, "look_up", "call_1"),
    events.ToolAnswered(CALL, 4.2, "look_up", "call_1", is_error=True),
    events.TransferRequested(CALL, 4.3, "sales", "sales"),
    events.TransferDecided(CALL, 4.4, "sales", "sales", TransferOutcome.FAILED, "no such extension"),
    events.FrameFigures(CALL, 4.9, 1, 2, 3),
    events.CallEnded(
        CALL,
        5.0,
        CallEnd(EndReason.AGENT_TIMEOUT, TimedOut("no answer", 10, "AGENT_CONNECT_TIMEOUT")),
        5_000,
        9,
    ),
]


def through_a_file(event: events.CallEvent) -> Event:
    file = PREAMBLE + encode_block([START, event_record(round(event.at * 1e6), event)])
    record = list(Decoder().receive(file))[1]
    assert isinstance(record, Event)
    return record


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_as_it_was(event: events.CallEvent) -> None:
    assert read_event(through_a_file(event), CALL) == event


def test_all_events_are_tried() -> None:
    recorded_otherwise = {"CallStarted", "CallerIdentified"}  # the start of the file; masked, see below
    assert {type(event).__name__ for event in EVENTS} | recorded_otherwise == {
        kind.__name__ for kind in events.CallEvent.__subclasses__()
    }


def test_who_called_stays_masked() -> None:
    identified = events.CallerIdentified(CALL, 0.1, "pbx", "+4930123456", "Ada", "5001", "PJSIP/ada-00000001")
    read = read_event(through_a_file(identified), CALL)
    assert isinstance(read, events.CallerIdentified)
    assert read.pbx == "pbx"
    assert not any(character.isdigit() for character in read.caller_number)
    assert "Ada" not in repr(read)


@pytest.mark.parametrize(
    "recorded",
    [
        Event(0, "SomethingNew", {}),
        Event(0, "CallEvent", {}),
        Event(0, "TurnTaken", {}),
        Event(0, "TurnTaken", {"latency_ms": "900"}),
        Event(0, "TurnTaken", {"latency_ms": True}),
        Event(0, "TurnTaken", {"latency_ms": float("nan")}),
        Event(0, "TurnTaken", {"latency_ms": 10**400}),
        Event(0, "SetupStepDone", {"step": "tea", "ms": 1}),
        Event(0, "CallEnded", {"reason": "boredom", "duration_ms": 1, "heard_ms": 1}),
        Event(0, "CallEnded", {"reason": ["x"], "duration_ms": 1, "heard_ms": 1}),
    ],
    ids=str,
)
def test_what_this_gateway_does_not_know_is_none(recorded: Event) -> None:
    assert read_event(recorded, CALL) is None


def test_an_older_recording_lacks_fields_and_a_later_one_has_more() -> None:
    older = Event(1_000_000, "Interrupted", {"discarded_ms": 5})
    assert read_event(older, CALL) == events.Interrupted(CALL, 1.0, 5)
    later = replace(older, fields={"discarded_ms": 5, "mood": "angry"})
    assert read_event(later, CALL) == events.Interrupted(CALL, 1.0, 5)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
)


@given(
    st.sampled_from([type(event).__name__ for event in EVENTS]),
    st.dictionaries(
        st.sampled_from(
            ["reason", "detail", "cause", "duration_ms", "heard_ms", "step", "ms", "text", "outcome", "end"]
        ),
        json_values,
    ),
)
def test_no_content_makes_it_fail(name: str, fields: dict[str, Any]) -> None:
    content = json.loads(json.dumps(fields))
    read = read_event(Event(5, name, content), CALL)
    assert read is None or type(read).__name__ == name
