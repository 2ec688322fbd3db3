"""When the agent speaks, and when only its background is left: on the clock of what the caller hears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from audiosocket_gw.audio.endpointing import FINAL_PAUSE_MS, PAUSE_MS, Endpointer
from tests.harness.agent_audio import (
    BACKGROUNDS,
    RATE,
    Samples,
    at_level,
    linear,
    silence,
    white_noise,
    words,
)

GOODBYE = words("opening-hours", "go-ahead", "apology", "goodbye")
"""Ten seconds, with a second between the sentences."""
BEFORE_S, AFTER_S = 5, 6
LEVELS_DBFS = dict.fromkeys(BACKGROUNDS, (-60, -50, -45, -40, -35)) | {"typing": (-60, -50, -45, -40)}
"""The words have -21."""


@dataclass(frozen=True)
class Turn:
    """From when on the agent was taken to speak, until when, and when that was known."""

    from_ms: int
    end_ms: int
    known_ms: int


def turns_in(audio: Samples, pieces_ms: Sequence[int] = (250,), ahead_ms: int = 0) -> list[Turn]:
    """Send audio in pieces of these lengths, in turn, each just in time or ``ahead_ms`` before."""
    speech, turns, from_ms = Endpointer(), [], None
    until_ms = number = 0
    while until_ms < len(audio) // 8:
        piece_ms = pieces_ms[number % len(pieces_ms)]
        piece = audio[until_ms * 8 : (until_ms + piece_ms) * 8]
        heard_ms = max(0, until_ms - ahead_ms)
        until_ms += len(piece) // 8
        number += 1
        speech.take(linear(piece), 320, heard_ms, until_ms)
        if speech.speaks and from_ms is None:
            from_ms = until_ms - piece_ms
        if from_ms is not None and speech.over_at_ms is not None:
            turns.append(Turn(from_ms, speech.over_at_ms, until_ms))
            from_ms = None
    assert from_ms is None, f"the agent still speaks; before that: {turns}"
    return turns


def over_background(background: Samples) -> Samples:
    said = np.concatenate([np.zeros(BEFORE_S * RATE), GOODBYE, np.zeros(AFTER_S * RATE)])
    return said + background


def check_goodbye(turns: list[Turn]) -> None:
    """Heard as one, to its end, and its end known within two seconds."""
    start_ms = BEFORE_S * 1000
    end_ms = start_ms + len(GOODBYE) // 8
    goodbye = turns[-1]
    assert len(GOODBYE) // 8 > 9_000
    assert goodbye.from_ms <= start_ms + 500, turns
    assert end_ms - 200 <= goodbye.end_ms <= end_ms + 300, (end_ms, turns)
    assert goodbye.known_ms <= end_ms + 2_000, (end_ms, turns)


def size_of_all() -> int:
    return len(GOODBYE) + (BEFORE_S + AFTER_S) * RATE


@pytest.mark.parametrize(
    ("background", "level"), [(name, level) for name, levels in LEVELS_DBFS.items() for level in levels]
)
def test_a_goodbye_is_heard_to_its_end_and_no_longer(background: str, level: float) -> None:
    audio = at_level(BACKGROUNDS[background](size_of_all()), level)
    check_goodbye(turns_in(over_background(audio)))


@pytest.mark.parametrize("background", ["white noise", "hum"])
@pytest.mark.parametrize("level", [-25, -20, -10])
def test_steady_noise_is_no_speech_however_loud(background: str, level: float) -> None:
    turns = turns_in(at_level(BACKGROUNDS[background](size_of_all()), level))
    assert [turn for turn in turns if turn.known_ms > PAUSE_MS + 250] == []


@pytest.mark.parametrize("background", ["white noise", "hum"])
def test_a_goodbye_no_louder_than_steady_noise_is_heard_to_its_end(background: str) -> None:
    check_goodbye(turns_in(over_background(at_level(BACKGROUNDS[background](size_of_all()), -25))))


def test_silence_is_never_speech() -> None:
    assert turns_in(silence(20 * RATE)) == []
    check_goodbye(turns_in(over_background(silence(size_of_all()))))


@pytest.mark.parametrize("pieces_ms", [(20,), (33, 47), (100,), (1_000,), (2_000, 500, 20)])
@pytest.mark.parametrize("ahead_ms", [0, 300])
@pytest.mark.parametrize("background", ["white noise", "babble"])
def test_pieces_and_bursts_of_any_length(background: str, pieces_ms: Sequence[int], ahead_ms: int) -> None:
    audio = at_level(BACKGROUNDS[background](size_of_all()), -45)
    turns = turns_in(over_background(audio), pieces_ms, ahead_ms)
    end_ms = BEFORE_S * 1000 + len(GOODBYE) // 8
    assert turns[-1].from_ms <= BEFORE_S * 1000 + 500
    assert end_ms - 200 <= turns[-1].end_ms <= end_ms + 300


@pytest.mark.parametrize("stall_ms", [300, 800, 2_000])
@pytest.mark.parametrize("level", [-60, -45])
def test_background_that_stalls_begins_no_speech(level: float, stall_ms: int) -> None:
    """After each second the network stalls, the caller hears all there is, and the rest comes at once."""
    speech = Endpointer()
    said = linear(GOODBYE + at_level(white_noise(len(GOODBYE)), level))
    noise = at_level(white_noise(4 * RATE), level)
    until_ms = len(said) // 16
    speech.take(said, 320, 0, until_ms)
    for _ in range(8):
        for piece_ms in (250, 250, 250, 250, stall_ms):
            until_ms += piece_ms
            speech.take(linear(noise[: piece_ms * 8]), 320, until_ms - piece_ms, until_ms)
        if speech.over_at_ms is None:
            continue
        assert not speech.speaks
        speech.ran_dry()
    assert speech.over_at_ms == speech.end_ms
    assert abs(speech.end_ms - len(said) // 16) <= 300


def test_background_alone_is_doubted_once() -> None:
    """Before anything has been said it may be a reply; when it has turned out to be none, it stays none."""
    speech = Endpointer()
    noise = linear(at_level(white_noise(RATE // 4), -45))
    spoke = [speech.take(noise, 320, n * 250, n * 250 + 250) for n in range(40)]
    assert spoke == [True] * 6 + [False] * 34
    speech.ran_dry()
    assert not speech.take(noise, 320, 10_000, 10_250)
    assert speech.take(linear(GOODBYE[: 2 * RATE]), 320, 10_250, 12_250)
    assert speech.over_at_ms is None


@pytest.mark.parametrize("piece_ms", [20, 250, 1_000])
@pytest.mark.parametrize("background", ["white noise", "babble", "tune", "hum"])
def test_an_event_id_for_each_piece_does_not_make_background_a_reply(background: str, piece_ms: int) -> None:
    audio = linear(at_level(BACKGROUNDS[background](20 * RATE), -45))
    speech, spoke = Endpointer(), []
    for until_ms in range(piece_ms, 20_000, piece_ms):
        speech.reply_began()
        piece = audio[(until_ms - piece_ms) * 16 : until_ms * 16]
        spoke.append(speech.take(piece, 320, until_ms - piece_ms, until_ms))
    assert not any(spoke[5_000 // piece_ms :])


@pytest.mark.parametrize("piece_ms", [20, 40, 250])
def test_sparse_background_is_doubted_no_longer_than_other(piece_ms: int) -> None:
    clicks = np.zeros(10 * RATE)
    clicks[:: RATE // 5] = 1_000
    (turn,) = turns_in(clicks, (piece_ms,))
    assert turn.known_ms <= PAUSE_MS + 200 + piece_ms


@pytest.mark.parametrize("stall_ms", [3_000, 4_000])
def test_background_that_stays_ahead_after_a_long_stall_is_none_the_less_background(stall_ms: int) -> None:
    speech = Endpointer()
    noise = linear(at_level(white_noise(RATE // 4), -45))
    heard_ms = until_ms = 0
    spoke = []
    for pieces in (*[1] * 20, *[0] * (stall_ms // 250), 1 + stall_ms // 250, *[1] * 50):
        heard_ms = min(heard_ms + 250, until_ms)
        for _ in range(pieces):
            until_ms += 250
            spoke.append(speech.take(noise, 320, heard_ms, until_ms))
    assert until_ms - heard_ms >= stall_ms, "it is ahead for the rest of the call"
    assert not any(spoke[-24:])


def test_what_comes_far_ahead_of_the_caller_is_a_reply_whatever_it_is_like() -> None:
    speech = Endpointer()
    flat = linear(at_level(white_noise(10 * RATE), -45))
    assert speech.take(flat, 320, 0, 10_000)
    assert speech.end_ms == 10_000
    assert not speech.take(linear(silence(10 * RATE)), 320, 0, 20_000), "but silence is none"
    assert speech.end_ms == 10_000


@pytest.mark.parametrize("level", [-20, -40])
def test_a_tone_is_a_reply_until_it_turns_out_to_be_background(level: float) -> None:
    speech = Endpointer()
    tone = linear(at_level(np.sin(np.arange(2 * RATE) / 2), level))
    assert speech.take(tone, 320, 0, 2_000)
    assert speech.end_ms == 2_000, "and all of it is to be heard"
    assert not speech.take(tone, 320, 2_000, 4_000)
    speech.ran_dry()
    assert not speech.take(tone, 320, 4_000, 6_000)
    speech.ran_dry()
    speech.reply_began()
    assert speech.take(tone, 320, 6_000, 8_000)
    assert (speech.end_ms, speech.over_at_ms) == (8_000, None)


def test_where_a_character_is_spoken_there_is_speech() -> None:
    speech = Endpointer()
    whisper = linear(silence(2 * RATE))
    assert speech.take(whisper, 320, 0, 2_000, aligned_ms=1_800)
    assert speech.end_ms == 1_800
    assert speech.take(whisper, 320, 2_000, 4_000, aligned_ms=9_000)
    assert speech.end_ms == 4_000


@pytest.mark.parametrize(("final", "pause_ms"), [(True, FINAL_PAUSE_MS), (False, PAUSE_MS)])
def test_after_the_final_piece_a_short_pause_is_enough(final: bool, pause_ms: int) -> None:
    speech = Endpointer()
    said = linear(GOODBYE)
    until_ms = len(said) // 16
    speech.take(said, 320, 0, until_ms)
    if final:
        speech.final_piece()
    end_ms = speech.end_ms
    while speech.speaks:
        until_ms += 20
        speech.take(linear(silence(160)), 320, until_ms - 20, until_ms)
    assert end_ms + pause_ms <= until_ms <= end_ms + pause_ms + 100
    assert speech.over_at_ms == end_ms


def test_what_was_cut_off_is_over_and_what_follows_is_not() -> None:
    speech = Endpointer()
    said = linear(GOODBYE)
    speech.take(said, 320, 0, len(said) // 16)
    speech.cut_off(1_000)
    assert (speech.speaks, speech.over_at_ms) == (False, 1_000)
    assert speech.take(said, 320, 1_000, 1_000 + len(said) // 16)
    assert speech.over_at_ms is None


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_other_rates(rate: int) -> None:
    factor = rate // RATE
    speech = Endpointer()
    said = linear(np.repeat(GOODBYE, factor))
    assert speech.take(said, 320 * factor, 0, len(GOODBYE) // 8)
    assert abs(speech.end_ms - len(GOODBYE) // 8) < 200


@pytest.mark.parametrize("size", [2, 160, 318, 320, 640, 642])
def test_a_short_audio_after_quiet_is_a_reply(size: int) -> None:
    speech = Endpointer()
    assert speech.take(linear(np.full(size // 2, 400.0)), 320, 0, 40)
    speech.ran_dry()
    assert not speech.speaks
