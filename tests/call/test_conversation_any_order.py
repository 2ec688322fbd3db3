"""A conversation holds whatever comes, in any order: the `Rules` of the driver, and an end in good time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw import events
from audiosocket_gw.audio import AGENT_FORMATS, TELEPHONE_RATE
from audiosocket_gw.audio.hold_audio import HoldAudio, HoldAudioFile, HoldAudioMode
from audiosocket_gw.call.last_words import LAST_WORDS_S, STUCK_S
from audiosocket_gw.call.lifecycle import State
from audiosocket_gw.call.outputs import EndDecided, LastWordsOver
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES
from tests.audio.wav_bytes import wav
from tests.call.driver import HUNG_UP, Driver
from tests.harness.audio import ramp
from tests.hypothesis_profiles import a_part_of_the_examples

HOLD_AUDIO = HoldAudioFile.parse(wav(np.full(8_000, 1_000, "<i2")))
SPEECH = ramp(1_000)
QUIET = bytes(16_000)

_ids = st.one_of(st.none(), st.integers(-1, 5))
_formats = st.one_of(
    st.sampled_from(["pcm_8000", "ulaw_8000", "pcm_16000", "opus_48000"]),
    st.sampled_from(AGENT_FORMATS).map(str),
)
_kinds = st.sampled_from(sorted(SAMPLE_RATES))
_text = st.text("ab ", max_size=8)
_sizes = st.one_of(st.integers(0, 400), st.sampled_from([1_600, 4_000, 16_000]))
_alignment = st.lists(st.tuples(st.integers(0, 300), st.sampled_from("ab ")), max_size=4).map(tuple)
_caller_audio = st.one_of(
    st.binary(max_size=400),
    st.tuples(st.booleans(), st.integers(0, 2_000)).map(lambda it: (SPEECH if it[0] else QUIET)[: it[1]]),
)
_other_messages = st.one_of(
    st.builds(messages.UserTranscript, _text),
    st.builds(messages.AgentResponse, _text, _ids),
    st.builds(messages.AgentResponseCorrection, _text),
    st.builds(messages.ClientToolCall, st.just("t"), st.just("id"), st.just({})),
    st.builds(messages.McpToolCall, st.just("t"), st.just("id"), st.just("loading")),
    st.builds(messages.QueueStatus, st.just("waiting")),
    st.just(messages.GuardrailTriggered()),
)
_ends = st.sampled_from(EndReason).map(lambda reason: CallEnd(reason, "x"))


def _an(name: str, *values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *values)


INPUTS: dict[str, Callable[..., object]] = {
    "tick": lambda d, count: d.tick(count),
    "blocked": lambda d, count: d.tick(count, blocked=True),
    "mid-frame": lambda d, count: d.tick(count, mid_frame=True),
    "frame": lambda d, kind, audio: d.caller_says(audio, kind),
    "speech": lambda d, kind: d.caller_speaks(SPEECH[:3_200], kind),
    "other frame": lambda d: d.conversation.count_frame(100, d.now),
    "digit": lambda d, digit: d.conversation.receive_digit(digit, d.now),
    "audio": lambda d, size, *other: d.receive(messages.Audio(SPEECH[:size], *other)),
    "quiet audio": lambda d, size, event_id: d.agent_says(QUIET[:size], event_id),
    "message": lambda d, message: d.receive(message),
    "ready": lambda d: d.agent_ready(),
    "agent gone": lambda d, reason: d.agent_gone(reason),
    "caller gone": lambda d: d.hang_up(),
    "hang up": lambda d: d.conversation.lifecycle.hang_up(),
    "end": lambda d, end: d.conversation.lifecycle.end(end, d.now),
    "end after hand-over": lambda d, end: d.conversation.lifecycle.end_after_handover(end, d.now),
    "cut": lambda d: d.conversation.lifecycle.cut(CallEnd(EndReason.DRAINED, "x"), d.now),
    "last words": lambda d: d.await_last_words(),
    "refuse": lambda d: d.conversation.speech.refuse_new_replies(),
    "silence": lambda d: d.conversation.speech.silence(d.now),
    "go on": lambda d, present: d.go_on(agent_present=present),
    "send": lambda d: d.conversation.send(b"{}"),
    "codec": lambda d, codec: d.conversation.caller_audio.set_codec(codec),
    "batch": lambda d, frames: setattr(d, "batch_frames", frames),
    "close": lambda d, end: d.close(end),
}

_talk = st.one_of(
    _an("tick", st.integers(1, 60)),
    _an("frame", _kinds, _caller_audio),
    _an("speech", _kinds),
    _an("digit", st.sampled_from("0#*a")),
    _an("audio", _sizes, _ids, _alignment, st.booleans()),
    _an("quiet audio", _sizes, _ids),
    _an("message", st.builds(messages.Interruption, _ids)),
    _an("message", st.builds(messages.Metadata, st.just("c"), _formats, _formats)),
    _an("message", _other_messages),
    _an("last words"),
    _an("refuse"),
    _an("silence"),
    _an("go on", st.booleans()),
    _an("send"),
    _an("codec", st.sampled_from(["ulaw", "alaw", "slin", "g722", ""])),
    _an("batch", st.sampled_from([1, 2, 5])),
    _an("other frame"),
)
_trouble = st.one_of(
    _an("blocked", st.integers(1, 300)),
    _an("mid-frame", st.integers(1, 300)),
    _an("ready"),
    _an("agent gone", st.sampled_from(EndReason)),
    _an("caller gone"),
    _an("hang up"),
    _an("end", _ends),
    _an("end after hand-over", _ends),
    _an("cut"),
    _an("close", _ends),
)
_inputs = st.tuples(
    st.lists(_talk, min_size=10, max_size=30),  # or most conversations would be over before they have begun
    st.lists(st.one_of(_talk, _trouble), max_size=20),
).map(lambda both: both[0] + both[1])

_drivers = st.builds(
    Driver,
    st.sampled_from([1, 3]),
    measures_rate=st.booleans(),
    hold_audio=st.sampled_from([None, *HoldAudioMode]).map(
        lambda mode: mode and HoldAudio(HOLD_AUDIO, mode, TELEPHONE_RATE)
    ),
    interruptible=st.booleans(),
    barge_in_deadline_s=st.sampled_from([None, 0.1, 5]),
    drop_interrupted_audio=st.booleans(),
    report_heard=st.booleans(),
)


@pytest.mark.hypothesis
@given(_drivers, st.booleans(), _inputs)
def test_no_order_of_inputs_breaks_a_conversation(
    driver: Driver, agent_is_there: bool, inputs: list[tuple[Any, ...]]
) -> None:
    if agent_is_there:
        driver.connect()
    for name, *values in inputs:
        INPUTS[name](driver, *values)
        driver.collect()
        assert driver.state.name in repr(driver.conversation)
    driver.end(EndReason.CALLER_HANGUP)
    drains_in_time(driver)
    driver.close(HUNG_UP)
    driver.tick(2)
    assert driver.is_in(State.CLOSED)
    assert len(driver.of(events.CallEnded)) == 1
    assert len(driver.of(EndDecided)) <= 1


def drains_in_time(driver: Driver) -> None:
    """Whatever the end is, it doesn't take longer than what is queued, by more than a second."""
    lifecycle = driver.conversation.lifecycle
    if driver.is_in(State.CLOSED):
        return
    limit_s = driver.conversation.agent_audio.playout.queued_ms / 1000 + STUCK_S + 0.1
    while not driver.is_drained:
        assert lifecycle.caller_present, "a caller who has gone is waited for"
        driver.tick()
        limit_s -= 0.02
        assert limit_s > 0, driver.conversation


@pytest.mark.hypothesis
@a_part_of_the_examples(4)  # each plays the limit of the last words, 30 s
@given(_drivers, _inputs, st.integers(1, 20))
def test_a_hand_over_waits_for_the_last_words_once_and_not_for_ever(
    driver: Driver, inputs: list[tuple[Any, ...]], pieces: int
) -> None:
    """Whatever happens before it; and then the agent doesn't stop speaking."""
    driver.connect()
    for name, *values in inputs:
        INPUTS[name](driver, *values)
        driver.collect()
    if not driver.conversation.lifecycle.caller_present:
        return
    before = len(driver.of(LastWordsOver))
    queued_s = driver.conversation.agent_audio.playout.queued_ms / 1000
    driver.await_last_words()
    for number in range(pieces):
        driver.agent_says(SPEECH, number)
        driver.run(1)
    driver.run(queued_s + LAST_WORDS_S + 0.1)
    assert len(driver.of(LastWordsOver)) == before + 1
