"""The log: a line for an operator, and no word of what was said."""

from __future__ import annotations

import dataclasses
import logging
from uuid import UUID

import pytest

from audiosocket_gw import events
from audiosocket_gw.call.log import log_event, log_notice
from audiosocket_gw.call.outputs import EventIdsRestarted, Notice, StaleAudioDropped
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.log.formatter import LineFormatter

CALL = UUID("40325ec2-5efd-4bd3-805f-53576e581d13")


LOGGED: list[tuple[events.CallEvent, str]] = [
    (events.CallStarted(CALL, 1.0, "10.0.0.1:4000"), "started by 10.0.0.1:4000"),
    (
        events.AgentConnected(CALL, 1.0, "conv_1", 123.4),
        "agent connected in 123 ms, conversation conv_1",
    ),
    (events.Interrupted(CALL, 1.0, 780), "interrupted, 780 ms discarded"),
    (events.ToolCalled(CALL, 1.0, "avr_transfer", "t1"), "agent calls tool avr_transfer"),
    (events.DigitPressed(CALL, 1.0, "7"), "key pressed"),
    (
        events.AgentSilent(CALL, 1.0, 5_040),
        "the agent has said nothing for 5.0 s, the caller waits (SILENT_AGENT_SECONDS)",
    ),
    (
        events.AnswerLate(CALL, 1.0, 3_100),
        "no answer for 3.1 s after the caller spoke (LATE_ANSWER_SECONDS)",
    ),
]

SECRET = "my pin is 1234"
PRIVATE: list[events.CallEvent] = [
    events.CallerSaid(CALL, 1.0, SECRET),
    events.AgentSaid(CALL, 1.0, SECRET, corrected=False),
    events.AgentSaid(CALL, 1.0, SECRET, corrected=True),
    events.ReplyHeard(CALL, 1.0, 1, SECRET, SECRET, 900, 1_000, interrupted=True),
]
QUIET: list[events.CallEvent] = [
    events.ReplyStarted(CALL, 1.0),
    events.ReplyFinished(CALL, 1.0, 20),
    events.CallerUndecodable(CALL, 1.0, "g722"),
    events.ReplyHeld(CALL, 1.0),
    events.ReplyResumed(CALL, 1.0, 400),
    events.ToolAnswered(CALL, 1.0, "avr_transfer", "t1", is_error=False),
    events.CallerIdentified(CALL, 1.0, "pbx.example", "+49301234567", "Ada", "5001", "PJSIP/ada-1"),
    events.SetupStepDone(CALL, 1.0, events.SetupStep.CONNECT, 80.0, "agent_1"),
    events.TurnTaken(CALL, 1.0, 900),
    events.TransferRequested(CALL, 1.0, "600@queues", "sales"),
    events.TransferDecided(CALL, 1.0, "600@queues", "sales", events.TransferOutcome.DONE),
    events.AgentQueued(CALL, 1.0, "waiting"),
    events.AgentPinged(CALL, 1.0, 61.5),
    events.FrameFigures(CALL, 1.0, 0, 0, 12),
    events.CallEnded(CALL, 1.0, CallEnd(EndReason.CALLER_HANGUP, "why"), 61_234, 2_040),
]


def test_every_event_is_here() -> None:
    tried = {type(event) for event in [event for event, _ in LOGGED] + PRIVATE + QUIET}
    every = {kind for kind in vars(events).values() if isinstance(kind, type)}
    assert tried == {kind for kind in every if issubclass(kind, events.CallEvent)} - {events.CallEvent}


@pytest.mark.parametrize(("event", "line"), LOGGED)
def test_a_line_for_the_operator(
    event: events.CallEvent, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="audiosocket_gw"):
        log_event(event)
    assert caplog.messages == [f"call {CALL}: {line}"]


def test_lines_of_different_events_have_limits_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    """A caller who keeps pressing keys must not hide that the agent calls a tool."""
    with caplog.at_level(logging.INFO, logger="audiosocket_gw"):
        for event, _ in LOGGED:
            log_event(event)
    assert len({record.msg for record in caplog.records}) == len(LOGGED)


@pytest.mark.parametrize("event", PRIVATE + QUIET)
def test_nothing_that_was_said_is_logged(event: events.CallEvent, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="audiosocket_gw"):
        log_event(event)
    assert caplog.messages == []


@pytest.mark.parametrize("event", PRIVATE)
def test_debug_shows_the_transcript(event: events.CallEvent, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="audiosocket_gw"):
        log_event(event)
    assert SECRET in caplog.text


def test_debug_does_not_show_who_calls(caplog: pytest.LogCaptureFixture) -> None:
    caller = next(event for event in QUIET if isinstance(event, events.CallerIdentified))
    with caplog.at_level(logging.DEBUG, logger="audiosocket_gw"):
        log_event(caller)
    assert "pbx.example" in caplog.text
    assert not any(private in caplog.text for private in (caller.caller_number, "Ada", "ada", "5001"))


def test_the_digit_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="audiosocket_gw"):
        log_event(events.DigitPressed(UUID(int=0), 1.0, "7"))
    assert "7" not in caplog.messages[0]


HOSTILE = "x\n2026-01-01 INFO call forged\x1b[2J\u2028\ud800"


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
@pytest.mark.parametrize("event", [event for event, _ in LOGGED[1:]] + PRIVATE + QUIET)
def test_no_peer_can_write_lines_into_the_log(
    event: events.CallEvent, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    texts = {field.name: HOSTILE for field in dataclasses.fields(event) if field.type == "str"}
    with caplog.at_level(level):
        log_event(dataclasses.replace(event, **texts))  # type: ignore[arg-type]
    assert all(LineFormatter().format(record).isprintable() for record in caplog.records)


@pytest.mark.parametrize(
    ("notice", "line"),
    [
        (
            EventIdsRestarted(1, 20),
            "the agent's event ids restarted at 1, after 20: its audio does not count as stale",
        ),
        (messages.GuardrailTriggered(), "a guardrail of the agent was triggered"),
        (messages.QueueStatus("waiting"), "ElevenLabs queues the call: 'waiting'"),
        (messages.ServerError(1, "no voice"), "the agent reports: 'no voice'"),
    ],
)
def test_what_is_wrong_with_the_agent_is_a_warning(
    notice: Notice | messages.ServerMessage, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    log_notice(CALL, notice)
    assert caplog.messages == [f"call {CALL}: {line}"]


@pytest.mark.parametrize("notice", [StaleAudioDropped(4), messages.Other("vad_score")])
def test_what_is_usual_is_not_logged(
    notice: Notice | messages.ServerMessage, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="audiosocket_gw"):
        log_notice(CALL, notice)
    assert caplog.messages == []
