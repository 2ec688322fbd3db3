"""Before a transfer or a hang-up the caller hears the agent's last words, over background audio, too."""

from __future__ import annotations

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.call.last_words import BEGINS_TO_SPEAK_S, LAST_WORDS_S, SPEAKS_ON_S
from audiosocket_gw.call.lifecycle import State
from audiosocket_gw.call.outputs import LastWordsOver
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.end_reasons import CallEnd, EndReason
from tests.call.driver import Driver, connected
from tests.harness.agent_audio import at_level, babble, linear, silence, white_noise, words
from tests.harness.audio import ramp, without_silence

SPEECH = ramp(1_000)
PIECE = 4_000
"""250 ms, in bytes."""

BACKGROUND = {
    "silence": linear(silence(60 * 8_000)),
    "white noise": linear(at_level(white_noise(60 * 8_000), -42)),
    "babble": linear(at_level(babble(60 * 8_000), -42)),
}
NOISE = BACKGROUND["white noise"]
every_background = pytest.mark.parametrize("background", BACKGROUND.values(), ids=BACKGROUND.keys())


class Background:
    """Has the agent send background audio without a pause, 250 ms every 250 ms, and its words over it."""

    def __init__(self, driver: Driver, audio: bytes, said: bytes = b"", *, ids_change: bool = False) -> None:
        self._driver = driver
        self._audio = audio
        self._said = said
        self._ids_change = ids_change
        self._count = 0

    @property
    def has_said_all(self) -> bool:
        return self._count * PIECE > len(self._said)

    def play(self, event_id: int = 1) -> None:
        start = self._count * PIECE
        piece = np.frombuffer(self._audio[start % len(self._audio) :][:PIECE], "<i2").copy()
        said = np.frombuffer(self._said[start : start + PIECE], "<i2")
        piece[: len(said)] += said
        self._driver.agent_says(piece.tobytes(), event_id + self._count * self._ids_change)
        self._count += 1
        self._driver.pass_ms(250)

    def play_until_last_words_are_over(self, event_id: int = 1) -> float:
        """Return how many seconds that took."""
        begun = len(self._driver.frames)
        while self._driver.last_words is None:
            self.play(event_id)
        return (len(self._driver.frames) - begun) * FRAME_MS / 1_000


def hang_up(driver: Driver) -> None:
    """Do what the agent's tool does."""
    driver.conversation.speech.refuse_new_replies()
    driver.await_last_words()


# The pause


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


def test_what_the_caller_says_during_the_pause_does_not_prolong_it() -> None:
    driver = connected()
    driver.agent_says(SPEECH)
    driver.await_last_words()
    driver.run(1.2)
    driver.receive(messages.UserTranscript("Thank you."))
    driver.run(SPEAKS_ON_S - 0.1)
    assert driver.of(LastWordsOver) == [LastWordsOver()]


def test_last_words_are_waited_for_while_the_callers_side_takes_no_audio() -> None:
    driver = connected()
    driver.await_last_words()
    driver.run(BEGINS_TO_SPEAK_S + 0.1, blocked=True)
    assert driver.of(LastWordsOver) == [LastWordsOver()]


def test_an_announcement_that_is_still_arriving_is_heard_out() -> None:
    driver = connected()
    driver.agent_says(ramp(200))
    driver.await_last_words()
    driver.run(0.1)
    driver.agent_says(ramp(3_000, start=7))
    driver.run(3.2)
    assert not driver.of(LastWordsOver)
    driver.run(0.5)
    assert driver.last_words == LastWordsOver()
    assert ramp(200) + ramp(3_000, start=7) in driver.heard


def test_an_agent_that_goes_on_speaking_is_not_waited_for_for_ever() -> None:
    driver = connected()
    driver.await_last_words()
    for number in range(round(LAST_WORDS_S) + 1):
        driver.agent_says(SPEECH, number)
        driver.run(1)
    assert driver.last_words is not None
    assert driver.last_words.timed_out


# The goodbye


def test_a_goodbye_that_begins_after_the_result_is_played() -> None:
    driver = connected()
    hang_up(driver)
    driver.run(BEGINS_TO_SPEAK_S - 0.1)  # the model thinks
    driver.agent_says(ramp(300))
    driver.run(1)
    assert driver.last_words == LastWordsOver()
    assert ramp(300) in driver.heard


@pytest.mark.parametrize("said_before", [True, False])
def test_an_agent_that_hangs_up_says_one_goodbye(said_before: bool) -> None:
    driver = connected()
    if said_before:
        driver.agent_says(ramp(500), 1)
    hang_up(driver)
    if not said_before:
        driver.agent_says(ramp(500), 1)
    driver.agent_says(b"\x02\x02" * 4_000, 2)
    driver.run(0.7)
    driver.agent_says(b"\x02\x02" * 4_000, 3)
    driver.run(3)
    assert driver.last_words == LastWordsOver()
    assert ramp(500) in driver.heard
    assert b"\x02\x02" not in driver.heard


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
    driver.go_on()
    driver.agent_says(SPEECH, 3)
    driver.run(1.2)
    assert SPEECH in driver.heard


# Background audio


@every_background
def test_background_audio_does_not_keep_the_caller_from_leaving(background: bytes) -> None:
    """No agent is waited for that has only its background left."""
    driver = connected()
    agent = Background(driver, background)
    for _ in range(4):
        agent.play()
    hang_up(driver)
    assert agent.play_until_last_words_are_over() <= BEGINS_TO_SPEAK_S + 2.5
    driver.end(EndReason.AGENT_HANGUP)
    driver.run(0.5)
    assert driver.is_drained


@pytest.mark.parametrize("ids_change", [False, True])
def test_background_audio_does_not_keep_the_caller_from_a_transfer(ids_change: bool) -> None:
    driver = connected()
    agent = Background(driver, NOISE, ids_change=ids_change)
    for _ in range(4):
        agent.play()
    driver.await_last_words()
    assert agent.play_until_last_words_are_over() <= BEGINS_TO_SPEAK_S + 2.5
    assert driver.last_words == LastWordsOver()


@every_background
@pytest.mark.parametrize("ends_itself", [False, True])
def test_a_goodbye_over_background_audio_is_heard_to_its_end(background: bytes, ends_itself: bool) -> None:
    """Whether the agent hangs up by our tool or by its own."""
    said = linear(words("opening-hours", "go-ahead", "apology", "goodbye"))
    driver = connected()
    agent = Background(driver, background, said)
    while not driver.of(events.ReplyStarted):
        agent.play()
    if ends_itself:
        while not agent.has_said_all:
            agent.play()
        driver.agent_gone()
        driver.run(3)
        assert driver.is_drained
    else:
        hang_up(driver)
        agent.play_until_last_words_are_over()
        heard = np.frombuffer(driver.heard, "<i2")
        over_s = (len(heard) - int(np.flatnonzero(heard)[0]) - len(said) // 2) / 8_000
        assert 0 < over_s <= 3
    reply = driver.of(events.ReplyFinished)[-1]
    assert len(said) // 16 <= reply.heard_ms <= len(said) // 16 + 2_000


@pytest.mark.parametrize("turn_id", [1, 2])
def test_a_goodbye_after_the_result_is_heard_over_background_audio(turn_id: int) -> None:
    """Background audio is no goodbye, whether it has the event id of the caller's turn or an older one."""
    said = linear(at_level(words("goodbye"), -21))
    driver = connected()
    agent = Background(driver, NOISE)
    for _ in range(12):
        agent.play()
    driver.receive(messages.UserTranscript("Goodbye."))
    agent.play(turn_id)
    hang_up(driver)
    for _ in range(3):  # the model thinks
        agent.play(turn_id)
    driver.agent_says(said, 3)
    agent.play_until_last_words_are_over(3)
    assert driver.last_words == LastWordsOver()
    assert said in driver.heard


def test_audio_without_end_does_not_keep_the_caller_for_ever() -> None:
    """It can't be told from speech; its pieces are long, so that more is queued all the time."""
    beep = linear(np.repeat([3_000.0, 0.0], 4_000)) * 2
    driver = connected()
    driver.agent_says(beep)
    hang_up(driver)
    while driver.last_words is None:
        driver.run(2)
        driver.agent_says(beep)
    assert driver.last_words.timed_out
    assert len(driver.frames) * FRAME_MS / 1_000 <= LAST_WORDS_S + 4
    driver.end(EndReason.AGENT_HANGUP)
    driver.run(2.1)
    assert driver.is_drained


def test_a_caller_who_speaks_over_background_audio_does_not_cut_in() -> None:
    driver = connected()
    agent = Background(driver, BACKGROUND["silence"])
    agent.play()
    agent.play()
    hang_up(driver)
    driver.interrupt(1)
    agent.play_until_last_words_are_over()
    assert driver.last_words == LastWordsOver()


# What comes of it


def test_a_caller_who_cuts_in_during_the_last_words_stays() -> None:
    driver = connected()
    driver.agent_says(ramp(3_000))
    hang_up(driver)
    driver.run(1)
    driver.interrupt(2)
    assert driver.last_words is not None
    assert driver.last_words.interrupted
    driver.go_on()
    assert driver.is_in(State.TALKING)
    driver.agent_says(SPEECH, 2)
    driver.run(1.2)
    assert SPEECH in driver.heard
    hang_up(driver)  # it can be tried again
    driver.run(1)
    assert len(driver.of(LastWordsOver)) == 2


def test_a_transfer_that_has_begun_outlives_its_agent() -> None:
    driver = connected()
    driver.agent_says(SPEECH)
    driver.await_last_words()
    driver.agent_gone()
    driver.run(3)
    assert driver.is_in(State.HANDING_OVER)
    assert driver.last_words == LastWordsOver()
    assert SPEECH in driver.heard
    assert driver.ending is None
    driver.hang_up()
    driver.close(CallEnd(EndReason.TRANSFERRED, "put through"))
    assert driver.of(events.CallEnded)[0].reason is EndReason.TRANSFERRED


def test_a_transfer_that_failed_without_an_agent_ends_the_call() -> None:
    driver = connected()
    driver.await_last_words()
    driver.agent_gone(EndReason.AGENT_LOST)
    driver.go_on(agent_present=False)
    assert driver.ending is not None
    assert driver.ending.reason is EndReason.AGENT_LOST


def test_a_hand_over_that_fails_after_the_end_does_not_let_the_agent_speak_on() -> None:
    driver = connected()
    driver.agent_says(ramp(500), 1)
    driver.await_last_words()
    driver.end(EndReason.AGENT_PROTOCOL)
    driver.go_on()
    driver.agent_says(SPEECH, 2)
    driver.run(2)
    assert driver.is_in(State.ENDED)
    assert SPEECH not in driver.heard
