"""How a conversation ends: what the caller still hears, the longest call, and what comes last."""

from __future__ import annotations

import pytest

from audiosocket_gw import events
from audiosocket_gw.call.agent_queue import CHUNK_OVERHEAD
from audiosocket_gw.call.lifecycle import LAST_REPLY_S, State
from audiosocket_gw.call.limits import MAX_QUEUED_BYTES
from audiosocket_gw.call.outputs import Drained, EndDecided
from audiosocket_gw.causes import Flooding
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.end_reasons import AGENT_ENDS, CallEnd, EndReason
from tests.call.driver import HUNG_UP, Driver, connected
from tests.harness.audio import ramp

SPEECH = ramp(1_000)
LONGEST = CallEnd(EndReason.MAX_DURATION, "it lasted")


def reach_longest(driver: Driver) -> None:
    driver.conversation.lifecycle.end_after_handover(LONGEST, driver.now)
    driver.collect()


@pytest.mark.parametrize("queued_ms", [0, 20, 1_000])
@pytest.mark.parametrize("agent", [True, False], ids=["agent", "no agent"])
@pytest.mark.parametrize("reason", EndReason)
def test_every_end_lets_the_caller_hear_what_it_should(
    reason: EndReason, agent: bool, queued_ms: int
) -> None:
    driver = connected() if agent else Driver()
    audio = ramp(queued_ms)
    if audio:
        driver.agent_says(audio)
    driver.end(reason, "why")
    driver.end(EndReason.CALLER_HANGUP, "later")
    waits = bool(audio) and (reason in AGENT_ENDS or reason is EndReason.MAX_DURATION)
    assert driver.is_in(State.DRAINING if waits else State.ENDED)
    driver.agent_says(ramp(200, 77), 2)
    driver.run(1.3)
    assert driver.is_drained
    assert driver.is_in(State.ENDED)
    assert not waits or audio in driver.heard
    agent_may_speak = reason not in AGENT_ENDS and reason is not EndReason.MAX_DURATION
    assert (ramp(200, 77) in driver.heard) is agent_may_speak
    driver.close()
    driver.close(HUNG_UP)
    (ended,) = driver.of(events.CallEnded)
    assert ended.end == CallEnd(reason, "why")
    driver.tick(5)
    assert driver.is_in(State.CLOSED)
    assert driver.outputs[-1] is ended


def test_nothing_follows_the_last_event() -> None:
    driver = connected()
    driver.hang_up()
    driver.close()
    driver.conversation.receive_digit("1", driver.now)
    driver.receive(messages.UserTranscript("Hello?"))
    driver.caller_says(bytes(640))
    assert isinstance(driver.outputs[-1], events.CallEnded)


# The caller


def test_a_caller_who_hangs_up_hears_nothing_more() -> None:
    driver = connected()
    driver.agent_says(SPEECH)
    driver.run(0.5)
    driver.hang_up()
    frames = len(driver.frames)
    driver.run(1)
    assert len(driver.frames) == frames
    driver.close()
    (ended,) = driver.of(events.CallEnded)
    assert (ended.end, ended.duration_ms, ended.heard_ms) == (HUNG_UP, 1_500, 500)


def test_a_caller_who_hangs_up_while_the_agent_is_being_connected() -> None:
    driver = Driver()
    driver.caller_speaks(SPEECH)
    driver.hang_up()
    assert driver.is_drained
    assert driver.is_in(State.ENDED)


def test_a_caller_who_hangs_up_during_the_goodbye_ends_it() -> None:
    driver = connected()
    driver.agent_says(SPEECH)
    driver.agent_gone()
    driver.run(0.3)
    assert driver.is_in(State.DRAINING)
    driver.hang_up()
    assert driver.is_in(State.ENDED)
    assert driver.ending != HUNG_UP, "the first end counts"


# The agent


def test_an_agent_that_leaves_is_heard_to_the_end() -> None:
    driver = connected()
    driver.agent_says(ramp(700))
    driver.agent_gone()
    driver.run(1)
    assert driver.is_drained
    assert ramp(700) in driver.heard
    driver.close()
    (ended,) = driver.of(events.CallEnded)
    assert (ended.reason, ended.heard_ms) == (EndReason.AGENT_HANGUP, 700)


def test_a_goodbye_that_can_not_be_played_is_given_up() -> None:
    driver = connected()
    driver.agent_says(SPEECH)
    driver.agent_gone()
    driver.run(0.9, blocked=True)
    assert not driver.is_drained
    driver.run(0.2, blocked=True)
    (drained,) = driver.of(Drained)
    assert drained.left_ms == 1_000


def test_a_goodbye_that_is_played_now_and_then_is_waited_for() -> None:
    driver = connected()
    driver.agent_says(SPEECH)
    driver.agent_gone()
    for _ in range(50):
        assert not driver.is_drained
        driver.run(0.5, blocked=True)
        driver.tick()
    driver.tick()
    assert driver.of(Drained) == [Drained()]


def test_an_agent_that_is_too_far_ahead_ends_the_call() -> None:
    driver = connected()
    minute = bytes(60 * 16_000)
    for _ in range(MAX_QUEUED_BYTES // (len(minute) + CHUNK_OVERHEAD)):
        driver.agent_says(minute)
    assert not driver.of(EndDecided)
    driver.agent_says(minute)
    assert driver.ending is not None
    assert driver.ending.reason is EndReason.AGENT_PROTOCOL
    assert driver.ending.detail == "the agent is 32 MiB of audio ahead of what the caller hears"
    assert driver.conversation.agent_audio.playout.kept_bytes < 1_000
    driver.tick(2)
    assert driver.is_drained


def test_of_an_agent_that_floods_nothing_more_is_heard() -> None:
    driver = connected()
    driver.agent_says(ramp(60_000))
    driver.tick()
    driver.agent_gone(EndReason.AGENT_PROTOCOL, Flooding("much"))
    assert driver.conversation.agent_audio.playout.kept_bytes < 1_000
    driver.tick(2)
    assert driver.is_drained


# The gateway


def test_a_stop_cuts_what_is_queued() -> None:
    driver = connected()
    driver.agent_says(SPEECH)
    driver.agent_gone()
    driver.conversation.lifecycle.cut(CallEnd(EndReason.DRAINED, "the gateway stops"), driver.now)
    driver.collect()
    assert driver.is_in(State.ENDED)
    assert driver.is_drained


@pytest.mark.parametrize(("reply_s", "last_s"), [(0, 0), (4, 3), (60, LAST_REPLY_S)])
def test_the_longest_call_ends_after_the_reply_that_is_heard(reply_s: int, last_s: float) -> None:
    """What the agent is saying then is heard to its end, if that is near."""
    driver = connected()
    said = SPEECH * reply_s
    driver.agent_says(said)
    driver.run(1)
    reach_longest(driver)
    if last_s:
        driver.run(last_s - 0.1)
        assert driver.is_in(State.DRAINING)
        driver.run(0.2)
    assert driver.is_in(State.ENDED)
    assert (said in driver.heard) is (reply_s < 60)
    driver.close()
    assert driver.of(events.CallEnded)[0].end == LONGEST


def test_no_second_reply_begins_at_the_longest() -> None:
    driver = connected()
    driver.agent_says(ramp(3_000), 1)
    driver.run(1)
    reach_longest(driver)
    driver.run(0.5)
    driver.agent_says(b"\x02\x02" * 80_000, 3)
    driver.run(2)
    assert driver.is_in(State.ENDED)
    assert ramp(3_000) in driver.heard
    assert b"\x02\x02" * 4 not in driver.heard


def test_a_hang_up_that_has_begun_goes_before_the_longest() -> None:
    driver = connected()
    driver.agent_says(ramp(3_000))
    driver.await_last_words()
    reach_longest(driver)
    driver.run(3.6)
    assert not driver.of(EndDecided)
    assert driver.last_words is not None
    driver.end(EndReason.AGENT_HANGUP)
    assert driver.ending is not None
    assert driver.ending.reason is EndReason.AGENT_HANGUP


def test_the_longest_call_ends_when_there_is_no_hand_over_after_all() -> None:
    driver = connected()
    driver.await_last_words()
    reach_longest(driver)
    driver.agent_gone()
    driver.go_on(agent_present=False)
    assert driver.ending == LONGEST, "the first end counts"
