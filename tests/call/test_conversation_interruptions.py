"""Interruptions: what falls silent, what is stale, who may interrupt, and who learns what was heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import audiosocket_gw.testing.demo
from audiosocket_gw import events
from audiosocket_gw.audio.vad import SpeechDetector
from audiosocket_gw.call.outputs import EventIdsRestarted, StaleAudioDropped
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.testing.softphone.wav import read_wav
from tests.call.driver import HUNG_UP, Driver, connected
from tests.harness.audio import SILENCE, ramp, without_silence

INTERRUPTION = Path(audiosocket_gw.testing.demo.__file__).with_name("interruption.wav")
SPEECH = ramp(1_000)
TEN_SECONDS = np.full(80_000, 8_000, "<i2").tobytes()


def samples(audio: bytes) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.frombuffer(audio, "<i2")


def heard_samples(driver: Driver) -> int:
    """Count the samples that are not silence."""
    return int(np.count_nonzero(samples(driver.heard)))


# What falls silent


def test_an_interruption_silences_the_agent_and_the_next_reply_plays_at_once() -> None:
    driver = connected()
    driver.agent_says(TEN_SECONDS, 1)
    driver.run(0.5)
    driver.interrupt(1)
    (interrupted,) = driver.of(events.Interrupted)
    assert 9_000 < interrupted.discarded_ms <= 9_500
    driver.agent_says(ramp(100), 2)
    driver.tick(7)
    assert ramp(100) in driver.heard


def test_an_interruption_without_an_id_discards_too() -> None:
    driver = connected()
    driver.agent_says(TEN_SECONDS, 1)
    driver.interrupt(None)
    (interrupted,) = driver.of(events.Interrupted)
    assert interrupted.discarded_ms > 9_000


def test_the_voice_fades_out_within_8_ms() -> None:
    driver = connected()
    driver.agent_says(TEN_SECONDS, 1)
    driver.run(0.2)
    driver.interrupt(1)
    driver.tick(5)
    audio = samples(driver.heard).astype(int)
    fall = -np.diff(audio[np.flatnonzero(audio)[0] :])
    assert 0 < fall.max() <= 8_000 / 64 + 1
    assert np.count_nonzero(fall) in (63, 64)


def test_a_correction_changes_the_transcript_and_not_the_audio() -> None:
    driver = connected()
    driver.receive(messages.AgentResponse("Hello you"))
    driver.agent_says(ramp(300))
    driver.receive(messages.AgentResponseCorrection("Hello"))
    driver.run(0.4)
    assert ramp(300) in driver.heard
    said = [(event.text, event.corrected) for event in driver.of(events.AgentSaid)]
    assert said == [("Hello you", False), ("Hello", True)]


# What is stale


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
    assert heard.interrupted
    assert 1_000 <= heard.heard_ms <= 1_020
    driver.agent_says(SPEECH, 2)
    driver.run(1.2)
    assert SPEECH in driver.heard


def test_stale_audio_is_dropped_and_audio_of_the_interruptions_own_id_plays() -> None:
    driver = connected()
    driver.interrupt(5)
    driver.agent_says(b"\x04\x04" * 800, 4)
    driver.agent_says(b"\x05\x05" * 800, 5)
    driver.tick(7)
    assert b"\x05\x05" * 800 in driver.heard
    assert b"\x04\x04" not in driver.heard


def test_audio_of_the_interruptions_own_id_is_dropped_when_set_so() -> None:
    driver = connected(drop_interrupted_audio=True)
    driver.interrupt(5)
    driver.interrupt(3)  # of a tool's audio: an older id must not lower the bar
    driver.agent_says(b"\x05\x05" * 800, 5)
    driver.agent_says(b"\x06\x06" * 800, 6)
    driver.tick(7)
    assert b"\x06\x06" * 800 in driver.heard
    assert b"\x05\x05" not in driver.heard


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


def test_event_ids_that_begin_anew_with_words_are_heard_at_once() -> None:
    driver = connected()
    driver.agent_says(ramp(5_000), 20)
    driver.run(0.2)
    driver.interrupt(20)
    driver.receive(messages.AgentResponse("Yes?", 1))
    driver.agent_says(ramp(200, 9), 1)
    driver.run(0.3)
    assert ramp(200, 9) in driver.heard
    assert driver.of(EventIdsRestarted) == [EventIdsRestarted(1, 20)]


# Who may interrupt


def test_an_agent_that_may_not_be_interrupted_speaks_on() -> None:
    driver = connected(interruptible=False, report_heard=True)
    driver.agent_says(SPEECH, 1)
    driver.run(0.1)
    driver.interrupt(1)
    driver.agent_says(ramp(200, 9), 1)
    driver.run(2)
    assert SPEECH + ramp(200, 9) in driver.heard
    assert not driver.of(events.Interrupted)
    assert not driver.messages


def test_the_audio_of_a_tool_ends_even_where_the_agent_may_not_be_interrupted() -> None:
    driver = connected(interruptible=False)
    driver.agent_says(TEN_SECONDS, 4)
    driver.run(0.1)
    driver.interrupt(2)
    (interrupted,) = driver.of(events.Interrupted)
    assert interrupted.discarded_ms > 9_000


# What was heard


def test_a_reply_that_is_interrupted_is_heard_up_to_where_the_audio_ended() -> None:
    text = "one two three four five six seven eight nine ten"
    driver = connected(report_heard=True)
    driver.receive(messages.AgentResponse(text, 1))
    driver.agent_says(TEN_SECONDS, 1)
    driver.run(2.2)
    driver.interrupt(1)
    (reply,) = driver.of(events.ReplyHeard)
    assert reply.interrupted
    assert (reply.reply, reply.text, reply.length_ms) == (1, text, 10_000)
    assert text.startswith(reply.heard + " ")
    assert 0 <= reply.heard_ms / 1_000 - len(reply.heard) / len(text) * 10 < 1.5
    (message,) = driver.messages
    assert b"contextual_update" in message
    assert f'The caller interrupted you, and heard only: \\"{reply.heard}\\"'.encode() in message
    # To the sample: what is reported is what the caller got, the fade included.
    driver.tick(5)
    assert abs(heard_samples(driver) / 8 - reply.heard_ms) < 1.1


def test_an_interrupted_agent_is_not_told_unless_set_so() -> None:
    driver = connected()
    driver.agent_says(TEN_SECONDS, 1)
    driver.run(1)
    driver.interrupt(1)
    assert driver.of(events.ReplyHeard)
    assert not driver.messages


def test_replies_that_were_heard_are_reported_whole_and_in_order() -> None:
    driver = connected()
    for number, text in enumerate(("first", "second", "third"), 1):
        driver.agent_says(ramp(100), number)
        driver.receive(messages.AgentResponse(text, number))
    driver.run(0.4)
    assert driver.of(events.ReplyFinished)
    assert [reply.text for reply in driver.of(events.ReplyHeard)] == ["first", "second"]
    driver.receive(messages.UserTranscript("I see"))
    assert [(r.heard, r.heard_ms, r.interrupted) for r in driver.of(events.ReplyHeard)] == [
        ("first", 100, False),
        ("second", 100, False),
        ("third", 100, False),
    ]


def test_a_reply_that_was_heard_is_over_when_the_next_begins() -> None:
    driver = connected(report_heard=True)
    driver.receive(messages.AgentResponse("first", 1))
    driver.agent_says(ramp(100), 1)
    driver.run(0.2)
    assert driver.of(events.ReplyFinished)
    driver.receive(messages.AgentResponse("a second one", 2))
    driver.agent_says(TEN_SECONDS[: 3 * 16_000], 2)
    (reply,) = driver.of(events.ReplyHeard)
    assert reply.text == "first"
    driver.run(1.5)
    driver.interrupt(2)
    (message,) = driver.messages
    assert b"first" not in message


def test_the_end_of_the_call_ends_the_reply() -> None:
    driver = connected()
    driver.receive(messages.AgentResponse("a long story", 1))
    driver.agent_says(TEN_SECONDS, 1)
    driver.run(0.1)
    driver.hang_up()
    driver.close(HUNG_UP)
    (reply,) = driver.of(events.ReplyHeard)
    (ended,) = driver.of(events.CallEnded)
    assert reply.interrupted
    assert reply.heard_ms == ended.heard_ms == 100


def test_audio_that_comes_after_the_caller_has_hung_up_does_not_change_what_was_heard() -> None:
    driver = connected()
    driver.receive(messages.AgentResponse("one two three four five six seven eight nine ten", 1))
    driver.agent_says(TEN_SECONDS, 1)
    driver.run(2)
    driver.hang_up()
    driver.agent_says(SPEECH, 1)
    driver.close(HUNG_UP)
    (reply,) = driver.of(events.ReplyHeard)
    assert (reply.heard_ms, reply.length_ms, reply.heard) == (2_000, 10_000, "one two")


# BARGE_IN=local

MURMUR = (np.frombuffer(ramp(10_000), "<i2") // 64 + 1).astype("<i2")
"""What the agent says: an unknown echo of it is no louder than the caller."""


def spoken() -> bytes:
    """Return a caller's words, without the silence before them."""
    audio = samples(read_wav(INTERRUPTION))
    return audio[np.argmax(np.abs(audio) > 1_000) :].tobytes()


def interrupted_locally(reply: bytes, deadline_s: float, heard_s: float = 0.2) -> Driver:
    """Return a driver whose caller has begun to speak during the reply."""
    driver = connected(barge_in_deadline_s=deadline_s)
    driver.caller_speaks(SILENCE * 20)  # enough for the noise of the line to be known
    driver.agent_says(reply, 1)
    driver.run(heard_s)
    driver.caller_speaks(spoken()[:9_600])
    assert len(driver.of(events.ReplyHeld)) == 1
    return driver


def test_the_agent_pauses_as_soon_as_the_caller_speaks_and_goes_on_unless_it_is_confirmed() -> None:
    reply = MURMUR[: 4_000 * 8].tobytes()
    driver = interrupted_locally(reply, 0.4)
    driver.run(5)
    (held,), (resumed,) = driver.of(events.ReplyHeld), driver.of(events.ReplyResumed)
    assert resumed.held_ms == 400
    assert resumed.at > held.at
    assert driver.of(events.ReplyFinished)[-1].heard_ms == 4_000
    assert heard_samples(driver) >= 4_000 * 8 - 2, "nothing is lost: the fades alone may be zero"
    assert samples(reply)[-8 * 1_000 :].tobytes() in driver.heard
    assert not driver.of(events.Interrupted)


@pytest.mark.parametrize("packet_ms", [2.5, 5, 10, 30, 60])
def test_the_agent_pauses_whatever_the_length_of_the_callers_packets(
    packet_ms: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packets of a few milliseconds cost the VAD no more than long ones."""
    looks = 0
    is_speech = SpeechDetector.is_speech

    def counted(detector: SpeechDetector, audio: bytes) -> bool:
        nonlocal looks
        looks += 1
        return is_speech(detector, audio)

    monkeypatch.setattr(SpeechDetector, "is_speech", counted)
    driver = connected(barge_in_deadline_s=5)
    driver.caller_speaks(SILENCE * 21, packet_ms=packet_ms)
    driver.agent_says(MURMUR.tobytes(), 1)
    driver.run(0.2)
    driver.caller_speaks(spoken()[:24_000], packet_ms=packet_ms)
    assert len(driver.of(events.ReplyHeld)) == 1
    assert looks <= 21 + 75


def test_a_pause_that_is_confirmed_ends_the_reply() -> None:
    driver = interrupted_locally(MURMUR.tobytes(), 5)
    driver.tick(5)
    heard = heard_samples(driver)
    driver.interrupt(1)
    (interrupted,) = driver.of(events.Interrupted)
    assert interrupted.discarded_ms > 9_000
    (reply,) = driver.of(events.ReplyHeard)
    assert abs(heard / 8 - reply.heard_ms) < 1.1
    driver.agent_says(ramp(100), 2)
    driver.run(6)
    assert ramp(100) in driver.heard
    assert not driver.of(events.ReplyResumed)
    assert heard_samples(driver) == heard + 800


def test_the_agents_own_echo_does_not_make_it_pause() -> None:
    driver = connected(barge_in_deadline_s=0.8)
    driver.caller_speaks(SILENCE * 20)
    driver.agent_says(read_wav(INTERRUPTION), 1)
    while not driver.of(events.ReplyFinished):
        driver.tick()
        echo = (samples(driver.frames[-1].payload) * 0.3).astype("<i2")
        driver.caller_says(echo.tobytes())
    assert not driver.of(events.ReplyHeld)


def test_background_audio_is_not_held() -> None:
    noise = np.random.default_rng(1).normal(0, 100, 8_000 * 60).astype("<i2").tobytes()
    driver = connected(barge_in_deadline_s=0.4)
    pieces = iter(range(0, len(noise), 4_000))

    def play() -> None:
        start = next(pieces)
        driver.agent_says(noise[start : start + 4_000], 1)

    while not driver.of(events.ReplyFinished):  # until it has been told from speech
        play()
        driver.pass_ms(250)
    for start in range(0, 16_000, 4_000):
        play()
        driver.caller_speaks((SILENCE * 20 + spoken()[:9_600])[start : start + 4_000])
    assert not driver.of(events.ReplyHeld)


def test_an_agent_that_leaves_during_a_pause_is_heard_to_the_end() -> None:
    driver = interrupted_locally(MURMUR[:8_000].tobytes(), 5, heard_s=0.1)
    driver.agent_gone()
    driver.run(1.5)
    assert driver.is_drained
    driver.close()
    (ended,) = driver.of(events.CallEnded)
    assert ended.heard_ms == 1_000


@pytest.mark.parametrize("deadline_s", [0.1, 0.4])
def test_a_reply_is_held_while_the_caller_makes_a_noise(deadline_s: float) -> None:
    noise = (np.sin(np.arange(160) / 2) * 12_000).astype("<i2").tobytes()
    driver = connected(barge_in_deadline_s=deadline_s)
    driver.caller_speaks(SILENCE * 50)
    driver.agent_says(ramp(5_000), 1)
    driver.caller_speaks(noise * 20)
    assert len(driver.of(events.ReplyHeld)) == 1
    driver.run(2)
    (resumed,) = driver.of(events.ReplyResumed)
    assert resumed.held_ms == deadline_s * 1_000
