"""Whole conversations on the sans-I/O core: no loop, no sockets, no waiting."""

from __future__ import annotations

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import linear_to_ulaw
from audiosocket_gw.call.conversation import STALL_TICKS
from audiosocket_gw.call.last_words import BEGINS_TO_SPEAK_S, LAST_WORDS_S, SPEAKS_ON_S
from audiosocket_gw.call.notices import (
    CallerFormatChanged,
    Drained,
    EventIdsRestarted,
    LastWordsOver,
    StaleAudioDropped,
)
from audiosocket_gw.call.progress import LAST_REPLY_S, TRANSITIONS, State, Step
from audiosocket_gw.elevenlabs import client_messages, messages
from audiosocket_gw.events import CallEnd, EndReason
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Kind
from tests.call.driver import HUNG_UP, Driver, connected
from tests.harness.audio import SILENCE, ramp, without_silence

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


# Audio


def test_the_caller_hears_silence_before_the_agent_is_there() -> None:
    driver = Driver()
    driver.tick(10)
    assert [frame.payload for frame in driver.frames] == [SILENCE] * 10
    assert driver.is_in(State.CONNECTING)


@pytest.mark.parametrize("size", [1, 2, 319, 320, 321, 1021, 16_001])
def test_what_the_agent_says_arrives_sample_for_sample(size: int) -> None:
    driver = connected()
    for start in range(0, len(SPEECH), size):
        driver.agent_says(SPEECH[start : start + size])
    driver.run(1.1)
    assert SPEECH in driver.heard
    (finished,) = driver.of(events.ReplyFinished)
    assert finished.heard_ms == 1_000


@pytest.mark.parametrize("size", [1, 321])
def test_what_arrives_just_in_time_is_filled_up_with_silence(size: int) -> None:
    driver = connected()
    for number in range(10):
        driver.agent_says(SPEECH[number * size : (number + 1) * size])
        driver.tick()
    driver.run(1)
    assert without_silence(driver.heard) == SPEECH[: 10 * size]


def test_what_the_caller_says_before_the_agent_is_there_is_kept_in_pieces() -> None:
    driver = Driver()
    for start in range(0, len(SPEECH), 320):
        driver.caller_says(SPEECH[start : start + 320])
    driver.connect()
    assert b"".join(driver.to_agent) == SPEECH
    assert {len(piece) for piece in driver.to_agent[:-1]} == {12 * 320}


def test_only_the_last_ten_seconds_are_kept() -> None:
    driver = Driver()
    for number in range(600):
        driver.caller_says(number.to_bytes(2, "little") * 160)
        driver.tick()
    driver.connect()
    kept = np.frombuffer(b"".join(driver.to_agent), "<u2")[::160]
    assert kept.tolist() == list(range(100, 600))


def test_silence_is_filled_in_for_a_caller_who_sends_nothing() -> None:
    driver = connected()
    driver.run(2)
    assert driver.to_agent == [SILENCE] * (100 - 10)


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_what_the_caller_says_is_batched(frames: int) -> None:
    driver = connected(batch_frames=frames)
    batch = driver.conversation.audio_to_agent
    sent = []
    for start in range(0, 50 * 320, 320):
        driver.caller_says(SPEECH[start : start + 320])
        if batch.batch_is_due(frames):
            sent.append(batch.read_batch())
    assert b"".join([*sent, batch.read_batch()]) == SPEECH
    assert {len(piece) for piece in sent[1:]} == {frames * 320}


def test_a_batch_that_has_begun_is_sent_when_there_are_no_more_of_them() -> None:
    driver = connected(batch_frames=5)
    batch = driver.conversation.audio_to_agent
    driver.caller_says(SPEECH[:320])
    assert batch.batch_is_due(1)
    assert batch.batch_frames == 1 and batch.read_batch() == SPEECH[:320]


def test_formats_are_converted_both_ways() -> None:
    driver = Driver()
    driver.connect("ulaw_8000", "ulaw_8000")
    driver.caller_says(SPEECH[:320])
    assert driver.to_agent == [linear_to_ulaw(SPEECH[:320])]
    driver.run(0.5)
    assert driver.to_agent[-1] == linear_to_ulaw(SILENCE)


def test_another_rate_of_the_callers_is_reported_once() -> None:
    driver = connected()
    for _ in range(20):
        driver.caller_says(bytes(640), Kind.SLIN16)
        driver.tick()
    assert len(driver.of(CallerFormatChanged)) == 1
    assert driver.conversation.caller_audio.heard_format is not None
    assert driver.conversation.caller_audio.heard_format.rate == 16_000
    assert driver.frames[-1].kind is Kind.SLIN16


def test_formats_that_no_one_knows_end_the_call() -> None:
    driver = Driver()
    driver.receive(messages.Metadata("conv_1", "opus_48000", "pcm_8000"))
    ending = driver.conversation.progress.ending
    assert ending is not None and ending.reason is EndReason.AGENT_FORMAT
    assert driver.is_drained


# Frames that a real Asterisk sends


@pytest.mark.parametrize("speed", [1.0, 1.02, 1.9])
@pytest.mark.parametrize("kind", [Kind.SLIN, Kind.SLIN16, Kind.SLIN48])
@pytest.mark.parametrize("frame_ms", [2.5, 5, 10, 20, 30, 40, 60, 100, 120])
def test_packets_of_any_length_are_heard_for_minutes(kind: Kind, frame_ms: float, speed: float) -> None:
    frame = bytes(round(SAMPLE_RATES[kind] * frame_ms / 1000) * 2)
    driver = Driver()
    for _ in range(round(60_000 / frame_ms)):
        driver.caller_says(frame, kind)
        driver.pass_ms(frame_ms / speed)
    assert driver.is_in(State.CONNECTING)


@pytest.mark.parametrize("frame_ms", [2.5, 5, 10, 20, 40, 120])
def test_packets_of_any_length_may_not_come_faster_than_real_time(frame_ms: float) -> None:
    frame = bytes(round(8 * frame_ms) * 2)
    driver = Driver(measures_rate=False)
    sent_ms = 0.0
    while driver.conversation.progress.ending is None:
        driver.caller_says(frame)
        sent_ms += frame_ms
        driver.pass_ms(frame_ms / 3)
        assert sent_ms < 180_000
    assert "real time" in driver.conversation.progress.ending.detail


def test_keys_count_as_audio_of_100_ms() -> None:
    driver = connected()
    for _ in range(400):
        driver.conversation.receive_digit("1", driver.now)
    driver.tick()
    assert driver.is_in(State.ENDED)
    assert len(driver.of(events.DigitPressed)) == 400


def test_a_frame_left_unfinished_for_five_seconds_ends_the_call() -> None:
    driver = connected()
    driver.tick(STALL_TICKS + 11, mid_frame=True)
    ending = driver.conversation.progress.ending
    assert ending is not None and ending.detail == "Asterisk's side left a frame unfinished for 5 s"


def test_a_side_that_takes_no_audio_for_five_seconds_ends_the_call() -> None:
    driver = connected()
    driver.tick(STALL_TICKS - 1, blocked=True)
    driver.tick()
    driver.tick(STALL_TICKS - 1, blocked=True)
    assert driver.is_in(State.TALKING)
    driver.tick(blocked=True)
    ending = driver.conversation.progress.ending
    assert ending is not None and ending.reason is EndReason.CALLER_STALLED


# Interruptions


def test_a_barge_in_silences_the_reply_and_stale_audio_stays_out() -> None:
    driver = connected()
    driver.receive(messages.AgentResponse("one two three four", 1))
    driver.agent_says(ramp(4_000), 1)
    driver.run(1)
    driver.interrupt(2)
    driver.agent_says(SPEECH, 1)
    driver.tick(2)
    before = len(driver.heard)
    driver.run(0.5)
    assert without_silence(driver.heard[before:]) == b""
    assert driver.of(StaleAudioDropped) == [StaleAudioDropped(1)]
    (heard,) = driver.of(events.ReplyHeard)
    assert heard.interrupted and 1_000 <= heard.heard_ms <= 1_020
    driver.agent_says(SPEECH, 2)
    driver.run(1.2)
    assert SPEECH in driver.heard


def test_an_interrupted_agent_is_told_what_was_heard() -> None:
    driver = connected(report_heard=True)
    driver.receive(messages.AgentResponse("one two three four", 1))
    driver.agent_says(ramp(4_000), 1)
    driver.run(2.2)
    driver.interrupt(2)
    (message,) = driver.messages
    assert b"one two" in message and b"four" not in message


def test_an_agent_that_may_not_be_interrupted_speaks_on() -> None:
    driver = connected(interruptible=False)
    driver.agent_says(SPEECH, 1)
    driver.interrupt(1)
    driver.agent_says(ramp(200, 9), 1)
    driver.run(2)
    assert SPEECH + ramp(200, 9) in driver.heard
    assert not driver.of(events.Interrupted)


def test_event_ids_that_begin_anew_are_heard_after_a_while() -> None:
    driver = connected()
    driver.agent_says(SPEECH, 50)
    driver.run(1.2)
    driver.interrupt(60)
    for _ in range(20):
        driver.agent_says(ramp(200), 3)
        driver.run(0.2)
    assert driver.of(EventIdsRestarted) == [EventIdsRestarted(3, 60)]
    assert ramp(200) in driver.heard


def test_a_reply_is_held_while_the_caller_makes_a_noise() -> None:
    noise = (np.sin(np.arange(160) / 2) * 12_000).astype("<i2").tobytes()
    driver = connected(barge_in_deadline_s=0.4)
    for _ in range(50):
        driver.caller_says(SILENCE)
        driver.tick()
    driver.agent_says(ramp(5_000), 1)
    for _ in range(20):
        driver.caller_says(noise)
        driver.tick()
    assert len(driver.of(events.ReplyHeld)) == 1
    driver.run(2)
    (resumed,) = driver.of(events.ReplyResumed)
    assert resumed.held_ms == 400


# Tools and hand-over


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


@pytest.mark.parametrize(("has_spoken", "pause_s"), [(True, SPEAKS_ON_S), (False, BEGINS_TO_SPEAK_S)])
def test_last_words_are_over_after_a_pause(has_spoken: bool, pause_s: float) -> None:
    driver = connected()
    if has_spoken:
        driver.agent_says(SPEECH)
    driver.await_last_words()
    assert driver.is_in(State.HANDING_OVER)
    driver.run(pause_s + has_spoken - 0.1)
    assert not driver.of(LastWordsOver)
    driver.run(0.2)
    assert driver.of(LastWordsOver) == [LastWordsOver()]


def test_an_agent_that_goes_on_speaking_is_not_waited_for_for_ever() -> None:
    driver = connected()
    driver.await_last_words()
    for number in range(round(LAST_WORDS_S) + 1):
        driver.agent_says(SPEECH, number)
        driver.run(1)
    assert driver.last_words is not None and driver.last_words.timed_out


def test_a_caller_who_cuts_in_during_the_last_words_stays() -> None:
    driver = connected()
    driver.agent_says(ramp(3_000))
    driver.await_last_words()
    driver.run(1)
    driver.interrupt(2)
    assert driver.last_words is not None and driver.last_words.interrupted
    driver.go_on(agent_present=True)
    assert driver.is_in(State.TALKING)
    driver.agent_says(SPEECH, 2)
    driver.run(1.2)
    assert SPEECH in driver.heard


def test_a_transfer_that_has_begun_outlives_its_agent() -> None:
    driver = connected()
    progress = driver.conversation.progress
    driver.await_last_words()
    driver.agent_gone()
    driver.run(3)
    assert driver.is_in(State.HANDING_OVER) and progress.ending is None
    driver.hang_up()
    driver.close(CallEnd(EndReason.TRANSFERRED, "put through"))
    assert driver.of(events.CallEnded)[0].end.reason is EndReason.TRANSFERRED


def test_a_transfer_that_failed_without_an_agent_ends_the_call() -> None:
    driver = connected()
    progress = driver.conversation.progress
    driver.await_last_words()
    driver.agent_gone(EndReason.AGENT_LOST)
    driver.go_on(agent_present=False)
    driver.collect()
    assert progress.ending is not None and progress.ending.reason is EndReason.AGENT_LOST


def test_an_agent_that_hangs_up_says_one_goodbye() -> None:
    driver = connected()
    driver.conversation.speech.refuse_new_replies()
    driver.await_last_words()
    driver.agent_says(SPEECH, 1)
    driver.run(0.5)
    driver.agent_says(ramp(200, 9), 2)
    driver.run(3)
    assert SPEECH in driver.heard and ramp(200, 9) not in driver.heard


def test_a_key_silences_the_agent_until_it_may_speak_again() -> None:
    driver = connected()
    driver.agent_says(ramp(3_000), 1)
    driver.run(0.5)
    driver.conversation.speech.silence(driver.now)
    driver.agent_says(SPEECH, 2)
    driver.tick(2)
    before = len(driver.heard)
    driver.run(1)
    assert without_silence(driver.heard[before:]) == b""
    driver.go_on(agent_present=True)
    driver.agent_says(SPEECH, 3)
    driver.run(1.2)
    assert SPEECH in driver.heard


# Ends


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
    end = CallEnd(reason, "why")
    driver.conversation.progress.end(end, driver.now)
    driver.conversation.progress.end(CallEnd(EndReason.CALLER_HANGUP, "later"), driver.now)
    driver.collect()
    waits = bool(audio) and (reason in events.AGENT_ENDS or reason is EndReason.MAX_DURATION)
    assert driver.is_in(State.DRAINING if waits else State.ENDED)
    driver.agent_says(ramp(200, 77), 2)
    driver.run(1.3)
    assert driver.is_drained and driver.is_in(State.ENDED)
    assert not waits or audio in driver.heard
    agent_may_speak = reason not in events.AGENT_ENDS and reason is not EndReason.MAX_DURATION
    assert (ramp(200, 77) in driver.heard) is agent_may_speak
    driver.close()
    driver.close(HUNG_UP)
    (ended,) = driver.of(events.CallEnded)
    assert ended.end == end and driver.outputs[-1] is ended
    driver.tick(5)
    assert driver.is_in(State.CLOSED) and driver.outputs[-1] is ended


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


def test_a_caller_who_hangs_up_during_the_goodbye_ends_it() -> None:
    driver = connected()
    driver.agent_says(SPEECH)
    driver.agent_gone()
    driver.run(0.3)
    assert driver.is_in(State.DRAINING)
    driver.hang_up()
    assert driver.is_in(State.ENDED)
    assert driver.conversation.progress.ending != HUNG_UP, "the first end counts"


def test_a_goodbye_that_can_not_be_played_is_given_up() -> None:
    driver = connected()
    driver.agent_says(SPEECH)
    driver.agent_gone()
    driver.run(1.1, blocked=True)
    (drained,) = driver.of(Drained)
    assert drained.left_ms == 1_000


def test_the_longest_call_ends_after_the_reply_that_is_heard() -> None:
    driver = connected()
    driver.agent_says(ramp(60_000))
    end = CallEnd(EndReason.MAX_DURATION, "it lasted")
    driver.conversation.progress.end_after_handover(end, driver.now)
    driver.run(LAST_REPLY_S - 0.1)
    assert driver.is_in(State.DRAINING)
    driver.run(0.2)
    assert driver.is_in(State.ENDED)


def test_a_stop_cuts_what_is_queued() -> None:
    driver = connected()
    driver.agent_says(SPEECH)
    driver.agent_gone()
    driver.conversation.progress.cut(CallEnd(EndReason.DRAINED, "the gateway stops"), driver.now)
    assert driver.is_in(State.ENDED)


def test_an_agent_that_is_half_an_hour_ahead_ends_the_call() -> None:
    driver = connected()
    minute = bytes(60 * 16_000)
    for _ in range(31):
        driver.agent_says(minute)
    ending = driver.conversation.progress.ending
    assert ending is not None and ending.reason is EndReason.AGENT_PROTOCOL
    assert driver.conversation.agent_audio.playout.queued_ms < 60_000
