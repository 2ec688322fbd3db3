"""A conversation as a machine: its states, what shows of it, and what it hands to others."""

from __future__ import annotations

import json

from audiosocket_gw import events
from audiosocket_gw.call.lifecycle import TRANSITIONS, State, Step
from audiosocket_gw.elevenlabs import client_messages, messages
from tests.call.driver import CALL, Driver, connected
from tests.harness.agent_messages import user_transcript
from tests.harness.audio import ramp

SPEECH = ramp(1_000)


# The table


def test_every_state_is_in_the_table_and_only_the_last_is_final() -> None:
    assert set(TRANSITIONS) == set(State)
    assert [state for state, steps in TRANSITIONS.items() if not steps] == [State.CLOSED]
    assert {step for steps in TRANSITIONS.values() for step in steps} == set(Step)


def test_every_state_can_be_reached_and_left() -> None:
    reached = {State.CONNECTING}
    while new := {to for state in reached for to in TRANSITIONS[state].values()} - reached:
        reached |= new
    assert reached == set(State)


def test_a_conversation_shows_how_far_it_is() -> None:
    driver = connected()
    driver.agent_says(SPEECH)
    assert repr(driver.conversation) == "<TALKING: caller, agent, 1000 ms queued, end: None>"
    driver.hang_up()
    assert repr(driver.conversation).startswith("<ENDED: no caller, agent, 0 ms queued, end: CallEnd(")


# What is for others


def test_a_tool_call_is_handed_on_and_its_result_sent() -> None:
    driver = connected()
    call = messages.ClientToolCall("opening_hours", "id1", {})
    driver.receive(call)
    assert driver.outputs[-1] is call
    driver.conversation.send(client_messages.tool_result("id1", "9 to 5", is_error=False))
    driver.collect()
    assert b"9 to 5" in driver.messages[-1]


def test_messages_wait_for_the_agent() -> None:
    driver = Driver()
    driver.conversation.send(b"early")
    driver.tick()
    assert driver.messages == []
    driver.connect()
    assert driver.messages == [b"early"]


def test_messages_for_an_agent_that_has_gone_are_not_sent() -> None:
    driver = connected()
    driver.await_last_words()
    driver.agent_gone()
    driver.conversation.send(b"late")
    driver.tick()
    assert driver.messages == []


def test_keys_and_transcripts_become_events() -> None:
    driver = connected()
    driver.conversation.receive_digit("#", driver.now)
    driver.receive(messages.UserTranscript("Good morning"))
    driver.collect()
    (digit,), (said,) = driver.of(events.DigitPressed), driver.of(events.CallerSaid)
    assert (digit.digit, said.text) == ("#", "Good morning")


def test_messages_that_the_conversation_has_no_use_for_are_handed_on() -> None:
    driver = connected()
    for message in (
        {"type": "vad_score", "vad_score_event": {"vad_score": 0.5}},
        {"no": "type"},
        {"type": "queue_status", "queue_status_event": {"status": "waiting"}},
        {"type": "ping", "ping_event": {"event_id": 1, "ping_ms": 48}},
        user_transcript("..."),
    ):
        driver.receive(messages.parse(json.dumps(message)))
    assert driver.outputs[-6:] == [
        messages.Other("vad_score"),
        messages.Other(""),
        messages.QueueStatus("waiting"),
        events.AgentQueued(CALL, driver.now, "waiting"),
        events.AgentPinged(CALL, driver.now, 48),
        messages.Other("user_transcript"),
    ]
    driver.agent_says(ramp(40))
    driver.tick(3)
    assert ramp(40) in driver.heard
