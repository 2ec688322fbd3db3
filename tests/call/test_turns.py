"""Turns, interruptions and the watch on the agent: whole conversations without a clock."""

from __future__ import annotations

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import linear_to_ulaw
from audiosocket_gw.audio.hold_audio import HoldAudio, HoldAudioFile, HoldAudioMode
from audiosocket_gw.call.lifecycle import State
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.protocol.audiosocket import Kind
from tests.audio.g722 import wideband
from tests.audio.signals import Samples, speech, to_samples, tone
from tests.call.driver import Driver, connected
from tests.harness.audio import SILENCE

FRAME = 160


def trimmed(samples: Samples) -> Samples:
    """Return speech without the silence at its ends, in whole frames: its last sample is known."""
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 300)
    spoken = samples[loud[0] : loud[-1]]
    return np.concatenate((np.zeros(-len(spoken) % FRAME, np.int16), spoken))


QUESTION = trimmed(speech("opening-hours"))
ANSWER = trimmed(speech("goodbye")).tobytes()


def noise(seconds: float, rms: float) -> Samples:
    count = round(seconds * 8_000)
    return to_samples(np.random.default_rng(count).normal(0, rms, count))


def line_noise(seconds: float) -> bytes:
    return noise(seconds, 8).tobytes()


class Talk:
    """A caller on a line with a little noise, and an agent."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def caller_is_quiet(self, seconds: float) -> None:
        self.driver.caller_speaks(line_noise(seconds))

    def caller_says(self, samples: Samples) -> None:
        self.driver.caller_speaks((samples + noise(len(samples) / 8_000, 8)).astype("<i2").tobytes())

    def agent_says(self, audio: bytes = ANSWER, event_id: int = 1) -> None:
        self.driver.agent_says(audio, event_id)

    def agent_finishes(self) -> None:
        self.caller_is_quiet(len(ANSWER) / 16_000 + 0.1)

    @property
    def latencies(self) -> list[int]:
        return [event.latency_ms for event in self.driver.of(events.TurnTaken)]


def talk(**options: object) -> Talk:
    return Talk(connected(**{"silent_agent_s": 5.0, "late_answer_s": 3.0} | options))


def test_a_greeting_is_no_turn() -> None:
    call = talk()
    call.caller_is_quiet(1)
    call.agent_says()
    call.agent_finishes()
    assert call.latencies == []


@pytest.mark.parametrize("batch_frames", [1, 3, 10])
def test_an_answer_is_timed_from_the_end_of_the_speech(batch_frames: int) -> None:
    call = talk(batch_frames=batch_frames)
    call.agent_says()
    call.agent_finishes()
    for number, pause_s in enumerate((0.7, 1.1, 2.0), 2):
        call.caller_is_quiet(0.5)
        call.caller_says(QUESTION)
        call.caller_is_quiet(pause_s)
        call.agent_says(event_id=number)
        call.agent_finishes()
    assert call.latencies == pytest.approx([710, 1_110, 2_010], abs=100)


def test_audio_that_is_read_in_batches_has_the_time_of_its_frames() -> None:
    """The reader reads 200 ms at once: the frames come late, and their number tells when they were spoken."""
    call = talk()
    spoken = np.concatenate((noise(1.0, 8), QUESTION, noise(1.0, 8)))
    size = 10 * FRAME
    for start in range(0, len(spoken) - size + 1, size):
        call.driver.tick(10)
        for frame in range(start, start + size, FRAME):
            call.driver.caller_says(spoken[frame : frame + FRAME].tobytes())
    pause_ms = 1_000 - (len(spoken) % size) / 8
    call.agent_says()
    assert call.latencies == pytest.approx([pause_ms + 10], abs=100)


@pytest.mark.parametrize("packet_ms", [10, 30, 60])
def test_packets_of_other_lengths(packet_ms: int) -> None:
    call = talk()
    call.driver.caller_speaks(np.concatenate((noise(1.0, 8), QUESTION)).tobytes(), packet_ms=packet_ms)
    call.driver.caller_speaks(line_noise(1.2), packet_ms=packet_ms)
    call.agent_says()
    assert call.latencies == pytest.approx([1_210], abs=100)


def test_a_telephones_codec_and_wideband() -> None:
    ulaw, wide = talk(), talk()
    said = np.concatenate((noise(1.0, 8), QUESTION, noise(1.0, 8)))
    coded = linear_to_ulaw(said.tobytes() * 2)
    for start in range(0, len(coded) - 159, 160):
        ulaw.driver.caller_says(coded[start : start + 160])
        ulaw.driver.tick()
    wide.driver.caller_speaks(wideband(said).tobytes(), Kind.SLIN16)
    for call in (ulaw, wide):
        call.agent_says()
        assert call.latencies == pytest.approx([1_010], abs=100)


def test_silence_that_is_not_sent_is_silence() -> None:
    """A telephone that suppresses silence sends nothing while the caller listens."""
    call = talk()
    call.caller_is_quiet(1)
    call.caller_says(QUESTION)
    call.driver.run(1.5)
    call.agent_says()
    assert call.latencies == pytest.approx([1_510], abs=100)


def test_a_second_reply_without_speech_is_no_turn() -> None:
    call = talk()
    call.caller_is_quiet(0.5)
    call.caller_says(QUESTION)
    call.caller_is_quiet(0.8)
    for event_id in (1, 2):
        call.agent_says(event_id=event_id)
        call.agent_finishes()
        call.caller_is_quiet(2)
    assert len(call.latencies) == 1


def test_a_reply_while_the_caller_speaks_is_no_turn() -> None:
    """A tool took 9 s, and the caller speaks again when its answer comes."""
    call = talk()
    call.caller_is_quiet(0.5)
    call.caller_says(QUESTION)
    call.caller_is_quiet(0.8)
    call.agent_says(event_id=1)
    call.agent_finishes()
    call.caller_is_quiet(8)
    call.caller_says(QUESTION)
    call.agent_says(event_id=2)
    assert call.latencies == pytest.approx([810], abs=100)
    assert call.driver.of(events.AnswerLate) == []


def test_a_late_answer_that_comes_while_the_caller_asks_again_counts_from_the_first_question() -> None:
    call = asked()
    call.caller_is_quiet(5)
    call.caller_says(QUESTION)
    call.agent_says(event_id=2)
    assert call.latencies == pytest.approx([5_010 + len(QUESTION) / 8], abs=100)
    assert len(call.driver.of(events.AnswerLate)) == 1


def test_an_answer_that_begins_before_the_reply_has_quite_ended_counts() -> None:
    call = talk()
    call.agent_says(ANSWER + bytes(6_400))
    call.caller_is_quiet(len(ANSWER) / 16_000)
    call.caller_says(QUESTION)
    call.caller_is_quiet(0.9)
    call.agent_says(event_id=2)
    assert call.latencies == pytest.approx([910], abs=100)


def test_the_echo_of_the_agent_is_no_speech() -> None:
    call = talk()
    echo = np.frombuffer(ANSWER, "<i2") // 4
    for event_id in range(1, 5):
        call.agent_says(event_id=event_id)
        call.caller_is_quiet(0.12)
        call.caller_says(echo)
        call.caller_is_quiet(4)
    assert call.latencies == []
    assert call.driver.of(events.AnswerLate) == []


def test_hold_audio_is_not_the_agent_and_its_echo_not_the_caller() -> None:
    music = np.tile(speech("opening-hours"), 4)[: 400 * FRAME]
    file = HoldAudioFile(8_000, music.reshape(-1, FRAME))
    call = talk(hold_audio=HoldAudio(file, HoldAudioMode.GAPS, 8_000))
    for start in range(0, len(music) - FRAME, FRAME):
        call.driver.caller_says((music[start : start + FRAME] // 6).astype("<i2").tobytes())
        call.driver.tick()
    assert len(call.driver.of(events.AgentSilent)) == 1
    assert call.driver.of(events.AnswerLate) == []


# An interruption


def interrupted(call: Talk, heard_s: float) -> events.Interrupted:
    call.caller_is_quiet(1)
    call.agent_says(ANSWER * 5)
    call.caller_is_quiet(1.5)
    call.caller_says(QUESTION[: round(heard_s * 8_000) // FRAME * FRAME])
    call.driver.interrupt()
    return call.driver.of(events.Interrupted)[-1]


def test_an_interruption_is_timed_from_the_beginning_of_the_speech() -> None:
    assert interrupted(talk(), 0.6).silence_ms == pytest.approx(610, abs=100)


def test_a_reply_that_is_held_is_silent_at_once() -> None:
    call = talk(barge_in_deadline_s=1.5)
    silence_ms = interrupted(call, 0.6).silence_ms
    assert call.driver.of(events.ReplyHeld)
    assert silence_ms is not None
    assert 40 <= silence_ms <= 350


def test_an_interruption_without_speech_has_no_time() -> None:
    call = talk()
    call.agent_says(ANSWER * 5)
    call.caller_is_quiet(1.5)
    call.driver.interrupt()
    assert call.driver.of(events.Interrupted)[-1].silence_ms is None


def test_the_question_that_the_reply_answers_does_not_interrupt_it() -> None:
    call = talk()
    call.caller_is_quiet(1)
    call.caller_says(QUESTION)
    call.caller_is_quiet(0.5)
    call.agent_says(ANSWER * 5)
    call.caller_is_quiet(1)
    call.driver.interrupt()  # ElevenLabs has heard something that wasn't heard here
    assert call.driver.of(events.Interrupted)[-1].silence_ms is None


def test_a_turn_follows_an_interruption() -> None:
    call = talk()
    interrupted(call, 0.6)
    call.caller_says(QUESTION[round(0.6 * 8_000) :])
    call.caller_is_quiet(1)
    call.agent_says(event_id=9)
    assert call.latencies == pytest.approx([1_010], abs=100)


# An agent that says nothing


def test_an_agent_that_says_nothing_is_reported_once() -> None:
    call = talk()
    call.caller_is_quiet(4.9)
    assert call.driver.of(events.AgentSilent) == []
    call.caller_is_quiet(10)
    (silent,) = call.driver.of(events.AgentSilent)
    assert 5_000 <= silent.waited_ms < 6_000
    assert call.driver.ending is None


def test_a_call_with_a_silent_agent_ends_if_the_operator_wants_it() -> None:
    call = talk(end_silent_agent=True)
    call.caller_is_quiet(6)
    assert call.driver.ending is not None
    assert call.driver.ending.reason is EndReason.SILENT_AGENT
    assert "SILENT_AGENT_SECONDS" in call.driver.ending.detail


def test_an_agent_that_has_spoken_once_does_not_end_the_call() -> None:
    call = talk(end_silent_agent=True)
    call.agent_says()
    call.caller_is_quiet(60)
    assert call.driver.of(events.AgentSilent) == []
    assert call.driver.ending is None


def test_an_agent_with_background_audio_alone_is_silent() -> None:
    call = talk()
    for _ in range(20):
        call.driver.agent_says(noise(0.5, 30).tobytes(), 1)
        call.caller_is_quiet(0.5)
    assert len(call.driver.of(events.AgentSilent)) == 1
    assert call.latencies == []


def test_a_call_that_waits_in_elevenlabs_queue_has_no_silent_agent() -> None:
    call = talk()
    call.driver.receive(messages.QueueStatus("waiting"))
    call.caller_is_quiet(8)
    assert call.driver.of(events.AgentSilent) == []
    call.driver.receive(messages.QueueStatus("admitted"))
    call.caller_is_quiet(6)
    assert len(call.driver.of(events.AgentSilent)) == 1


def test_no_agent_is_silent_before_it_has_connected() -> None:
    driver = Driver(silent_agent_s=5.0, late_answer_s=3.0)
    driver.run(30)
    assert driver.of(events.AgentSilent) == []


def test_without_limits_nothing_is_reported() -> None:
    call = talk(silent_agent_s=None, late_answer_s=None)
    call.caller_says(QUESTION)
    call.caller_is_quiet(10)
    call.agent_says()
    assert len(call.latencies) == 1
    assert call.driver.of(events.AgentSilent) == []
    assert call.driver.of(events.AnswerLate) == []


# An answer that is late


def asked(**options: object) -> Talk:
    call = talk(**options)
    call.agent_says()
    call.agent_finishes()
    call.caller_is_quiet(0.5)
    call.caller_says(QUESTION)
    return call


def test_a_late_answer_is_reported_while_the_caller_waits() -> None:
    call = asked()
    call.caller_is_quiet(2.9)
    assert call.driver.of(events.AnswerLate) == []
    call.caller_is_quiet(1.0)
    (late,) = call.driver.of(events.AnswerLate)
    assert 3_000 <= late.waited_ms <= 4_000
    call.caller_is_quiet(5)
    call.agent_says(event_id=2)
    assert call.latencies == pytest.approx([8_910], abs=100)
    assert len(call.driver.of(events.AnswerLate)) == 1


def test_each_late_answer_is_reported() -> None:
    call = asked()
    for event_id in (2, 3):
        call.caller_is_quiet(4)
        call.agent_says(event_id=event_id)
        call.agent_finishes()
        call.caller_says(QUESTION)
    assert len(call.driver.of(events.AnswerLate)) == 2


def test_an_answer_that_comes_between_two_looks_is_reported_when_it_comes() -> None:
    for pause_s in np.arange(3.1, 3.6, 0.06):
        call = asked()
        call.caller_is_quiet(float(pause_s))
        call.agent_says(event_id=2)
        assert len(call.driver.of(events.AnswerLate)) == 1, pause_s


def test_an_answer_in_time_is_not_late() -> None:
    call = asked()
    call.caller_is_quiet(2.8)
    call.agent_says(event_id=2)
    call.caller_is_quiet(20)
    assert call.driver.of(events.AnswerLate) == []


def test_a_caller_who_says_nothing_waits_for_nothing() -> None:
    call = talk()
    call.agent_says()
    call.caller_is_quiet(30)
    assert call.driver.of(events.AnswerLate) == []


@pytest.mark.parametrize("rms", [60, 400, 2_000])
def test_noise_that_begins_suddenly_waits_for_nothing(rms: float) -> None:
    call = talk()
    call.agent_says()
    call.caller_is_quiet(4)
    call.driver.caller_speaks(noise(20, rms).tobytes())
    call.caller_is_quiet(6)
    assert call.driver.of(events.AnswerLate) == []


def test_keys_wait_for_nothing() -> None:
    call = talk()
    call.agent_says()
    call.caller_is_quiet(4)
    key = tone(770, 8_000, peak=4_000, s=0.1) + tone(1_336, 8_000, peak=4_000, s=0.1)
    for _ in range(6):
        call.driver.caller_speaks(np.concatenate((key, noise(0.1, 8))).astype("<i2").tobytes())
    call.caller_is_quiet(8)
    assert call.driver.of(events.AnswerLate) == []


def test_a_late_answer_is_noticed_on_a_noisy_line() -> None:
    call = asked()
    call.driver.caller_speaks(noise(4.5, 60).tobytes())
    assert len(call.driver.of(events.AnswerLate)) == 1


def test_nothing_is_reported_once_a_hand_over_has_begun() -> None:
    call = asked()
    call.driver.await_last_words()
    assert call.driver.is_in(State.HANDING_OVER)
    call.caller_is_quiet(30)
    assert call.driver.of(events.AnswerLate) == []
    silent = talk()
    silent.driver.await_last_words()
    silent.caller_is_quiet(1)
    assert silent.driver.of(events.AgentSilent) == []


def test_silence_alone_costs_nothing_that_grows() -> None:
    """What is kept of an hour is what is kept of a minute."""
    call = talk()
    for _ in range(5_000):
        call.driver.caller_says(SILENCE)
        call.driver.tick()
    turns = call.driver.conversation._turns
    assert len(turns._heard) < 2_000
    assert len(turns.frames) < 10
    assert len(turns._sent) < 10
    assert len(turns._times._heard._levels) <= 2 * 3 * 1_500
