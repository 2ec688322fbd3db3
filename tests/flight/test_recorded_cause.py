"""A cause in a flight recording: every kind comes back as it was, and whatever else is there does no harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.causes import Cause, Silent, StructuredCause, WebSocketClosed
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.events import CallEnded
from audiosocket_gw.flight.call_trace import load_trace
from audiosocket_gw.flight.capture import event_record
from audiosocket_gw.flight.recorded_cause import cause_fields, read_cause
from audiosocket_gw.flight.summary import how_it_ended
from tests.flight.records import write

causes: st.SearchStrategy[StructuredCause] = st.one_of(
    [st.from_type(kind) for kind in get_args(StructuredCause)]
)


@given(causes)
def test_every_cause_comes_back_as_it_was(cause: StructuredCause) -> None:
    recorded = json.loads(json.dumps(cause_fields(cause)))
    assert repr(read_cause(recorded, str(cause))) == repr(cause)  # repr: a NaN isn't equal to itself


def test_a_text_is_its_own_cause() -> None:
    assert cause_fields("the agent hung up") is None
    assert read_cause(None, "the agent hung up") == "the agent hung up"


@pytest.mark.parametrize(
    "recorded",
    [
        1,
        [],
        {},
        {"kind": "OfTomorrow"},
        {"kind": ["Silent"]},
        {"kind": "Silent"},
        {"kind": "Silent", "seconds": "20"},
        {"kind": "Silent", "seconds": True},
        {"kind": "Silent", "seconds": 20, "more": 1},
        {"kind": "WebSocketClosed", "code": 1000.5, "reason": "", "error": ""},
    ],
)
def test_what_is_no_known_cause_is_a_text(recorded: Any) -> None:
    assert read_cause(recorded, "the detail") == "the detail"


def test_seconds_may_be_an_integer() -> None:
    assert read_cause({"kind": "Silent", "seconds": 20}, "") == Silent(20)


@pytest.mark.parametrize("cause", [WebSocketClosed(1008, "no", "bad"), "the caller was 0123456789"])
def test_a_recorded_call_ends_with_its_cause_masked(tmp_path: Path, cause: Cause) -> None:
    ended = CallEnded(uuid4(), 1.0, CallEnd(EndReason.AGENT_REJECTED, cause), 20, 0)
    found = load_trace(write(tmp_path / "a.flight", [event_record(1, ended)]))
    masked = "the caller was ##########" if isinstance(cause, str) else cause
    assert found.end == CallEnd(EndReason.AGENT_REJECTED, masked)
    assert how_it_ended(found) == f"Ended after 0.0 s: agent-rejected: {masked}"
