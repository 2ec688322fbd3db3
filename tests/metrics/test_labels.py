"""Whatever peers send: a label has few values, and none is about a person."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw import events
from audiosocket_gw.causes import WebSocketClosed
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.events import SetupStep, TransferOutcome
from audiosocket_gw.metrics.labels import MAX_PLACES, MAX_VALUES, OTHER, UNKNOWN, CappedLabel, Places, is_name
from tests.ledger.calls import CALL, record_of
from tests.metrics.figures import after


@given(st.lists(st.text()))
def test_a_label_has_few_values(texts: list[str]) -> None:
    label = CappedLabel(3)
    found = {label(text) for text in texts}
    assert len(found - {OTHER, UNKNOWN}) <= 3
    assert all(is_name(value) for value in found)


def test_the_first_values_stay() -> None:
    label = CappedLabel(2)
    assert [label(text) for text in ("a", "b", "c", "a", "", "b")] == ["a", "b", OTHER, "a", UNKNOWN, "b"]


@pytest.mark.parametrize(
    "text",
    [
        "+49301234567",
        "0301234567",
        "+49 (30) 123-4567",
        "0151/1234567",
        str(CALL),
        f"agent-{CALL}".upper(),
        "a" * 101,
        'a"} 1\naudiosocket_gw_ready 1',
        "a\nb",
        "\N{FULLWIDTH DIGIT ONE}",
        " a",
        "\x00",
    ],
)
def test_what_is_no_name(text: str) -> None:
    assert CappedLabel()(text) == OTHER


@pytest.mark.parametrize(
    "text",
    [
        "agent_01jx8y2nq0e6d9a7h4v5w3b2c1",
        "sales",
        "Front desk",
        "10.0.0.5",
        "2001:db8::1",
        "pbx-1.example",
        "1008",
        "CoreShowChannels",
    ],
)
def test_what_is_a_name(text: str) -> None:
    assert CappedLabel()(text) == text


def test_the_pairs_of_a_pbx_and_an_agent_are_few() -> None:
    places, record = Places(), record_of()
    found = {places(replace(record, agent=f"a{n % 90}", pbx=f"p{n // 90}")) for n in range(90 * 90)}
    assert len(found) == MAX_PLACES + 1
    assert (OTHER, OTHER) in found


def test_hostile_calls_add_few_series() -> None:
    """Each call has another agent, tool, destination, close code, queue status and number."""

    def call(number: int) -> list[events.CallEvent]:
        uuid, cause = uuid4(), WebSocketClosed(4000 + number, f"+4930{number:07}")
        return [
            events.CallStarted(uuid, 1.0, f"192.0.2.1:{number}"),
            events.CallerIdentified(uuid, 1.0, f"pbx{number}", f"+4930{number:07}", "A", "5001", "PJSIP/1"),
            events.SetupStepDone(uuid, 1.0, SetupStep.CONNECT, 1.0, f"agent_{number}"),
            events.AgentConnected(uuid, 1.0, f"conv_{number}", 1.0),
            events.AgentQueued(uuid, 1.0, f"+4930{number:07}"),
            events.AgentPinged(uuid, 1.0, float(number)),
            events.ReplyStarted(uuid, 1.0),
            events.TurnTaken(uuid, 1.0, number),
            events.AgentSilent(uuid, 1.0, number),
            events.AnswerLate(uuid, 1.0, number),
            events.CallerUndecodable(uuid, 1.0, f"+4930{number:07}"),
            events.ToolCalled(uuid, 1.0, f"tool{number}", f"t{number}"),
            events.ToolAnswered(uuid, 1.0, f"tool{number}", f"t{number}", is_error=True),
            events.TransferDecided(uuid, 1.0, f"{number}@x", f"name{number}", TransferOutcome.FAILED, "why"),
            events.CallEnded(uuid, 1.0, CallEnd(EndReason.AGENT_FAILED, cause), 1, 1),
        ]

    calls = [event for number in range(3 * MAX_VALUES) for event in call(number)]
    scraped = after(calls, "tool1", "tool2")
    assert scraped.label_values("tool") == {"tool1", "tool2", OTHER}
    assert scraped.label_values("status") == {"waiting", "admitted", "timed_out", OTHER}
    for label in ("agent", "pbx", "destination", "code"):
        assert MAX_VALUES <= len(scraped.label_values(label)) <= MAX_VALUES + 2, label
    assert len(scraped.values) < 5_000
    assert str(CALL) not in scraped.text
    assert "conv_" not in scraped.text
    assert "+49" not in scraped.text
