"""Which of the agent's audio may be heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.call.stale_audio import StaleAudioFilter


def test_everything_is_let_through_at_first() -> None:
    stale_audio = StaleAudioFilter()
    assert [stale_audio.accepts(event_id) for event_id in (0, 0, 1, 5, 3)] == [True] * 5
    assert stale_audio.last_event_id == 3


def test_what_is_older_than_an_interruption_stays_out() -> None:
    stale_audio = StaleAudioFilter()
    stale_audio.interrupted(4, drop_own=False)
    stale_audio.interrupted(2, drop_own=True)  # an earlier one can't let stale audio in again
    assert [stale_audio.accepts(event_id) for event_id in (3, 4, 5)] == [False, True, True]


def test_the_interruptions_own_id_is_kept_out_on_demand() -> None:
    stale_audio = StaleAudioFilter()
    stale_audio.interrupted(4, drop_own=True)
    assert [stale_audio.accepts(event_id) for event_id in (4, 5)] == [False, True]


def test_a_goodbye_may_end_and_nothing_may_follow() -> None:
    stale_audio = StaleAudioFilter()
    assert stale_audio.accepts(3)
    stale_audio.allow_no_more(but_one=False)
    assert [stale_audio.accepts(event_id) for event_id in (3, 4, 3)] == [True, False, True]
    assert stale_audio.last_event_id == 3


def test_one_goodbye_may_begin() -> None:
    stale_audio = StaleAudioFilter()
    assert stale_audio.accepts(3)
    stale_audio.interrupted(4, drop_own=False)
    stale_audio.allow_no_more(but_one=True)
    stale_audio.allow_no_more(but_one=True)  # said twice, it is still one
    assert [stale_audio.accepts(event_id) for event_id in (3, 4)] == [False, True]
    stale_audio.spoke()
    assert [stale_audio.accepts(event_id) for event_id in (5, 4)] == [False, True]


def test_what_is_no_speech_and_the_end_of_the_reply_before_are_not_the_one_goodbye() -> None:
    stale_audio = StaleAudioFilter()
    assert stale_audio.accepts(3)
    stale_audio.allow_no_more(but_one=True)
    assert stale_audio.accepts(3)
    stale_audio.spoke()
    assert [stale_audio.accepts(event_id) for event_id in (4, 5)] == [True, True]
    stale_audio.spoke()
    assert [stale_audio.accepts(event_id) for event_id in (6, 5)] == [False, True]


def test_audio_without_an_id_belongs_to_the_current_reply() -> None:
    stale_audio = StaleAudioFilter()
    assert stale_audio.accepts(None)
    stale_audio.allow_no_more(but_one=False)
    assert stale_audio.accepts(None)
    assert not stale_audio.accepts(1)
    stale_audio.close()
    assert not stale_audio.accepts(None)
    stale_audio.reopen()
    stale_audio.interrupted(7, drop_own=False)
    assert stale_audio.accepts(None)


def test_closed_it_lets_nothing_through_until_it_is_reopened() -> None:
    stale_audio = StaleAudioFilter()
    stale_audio.accepts(3)
    stale_audio.close()
    assert not stale_audio.accepts(3)
    stale_audio.reopen()
    assert stale_audio.accepts(4)


def interrupted_at_20() -> StaleAudioFilter:
    stale_audio = StaleAudioFilter()
    assert stale_audio.accepts(19, 0.0)
    stale_audio.interrupted(20, drop_own=False)
    return stale_audio


def test_ids_that_begin_anew_are_heard_when_the_words_have_come() -> None:
    stale_audio = interrupted_at_20()
    assert not stale_audio.accepts(1, 1.0)
    stale_audio.named(1)
    assert stale_audio.restarted_from == 20
    assert [stale_audio.accepts(event_id, 1.1) for event_id in (1, 1, 2, 3)] == [True] * 4
    stale_audio.interrupted(3, drop_own=False)
    assert [stale_audio.accepts(event_id, 1.2) for event_id in (2, 3, 4)] == [False, True, True]


def test_ids_that_begin_anew_are_heard_after_three_seconds_without_words() -> None:
    stale_audio = interrupted_at_20()
    heard = [stale_audio.accepts(1, 10 + seconds) for seconds in (0, 1, 2.9, 3.0, 3.1)]
    assert heard == [False, False, False, True, True]
    assert stale_audio.restarted_from == 20
    assert stale_audio.accepts(2, 14)


def test_a_stale_tail_stays_out_however_it_is_named() -> None:
    stale_audio = interrupted_at_20()
    stale_audio.named(19)
    stale_audio.named(None)
    stale_audio.named(20)
    assert [stale_audio.accepts(19, seconds) for seconds in (0, 0.5, 2.9)] == [False] * 3
    assert stale_audio.accepts(20, 2.95)
    assert [stale_audio.accepts(19, seconds) for seconds in (3.0, 3.1)] == [False] * 2, (
        "it has begun only now"
    )
    stale_audio.interrupted(21, drop_own=False)
    assert not stale_audio.accepts(19, 100), "and this is another tail"
    assert stale_audio.restarted_from is None


@pytest.mark.parametrize("named_first", [True, False])
@pytest.mark.parametrize("drop_own", [True, False])
def test_a_restart_below_and_with_the_interruptions_own_id(named_first: bool, drop_own: bool) -> None:
    stale_audio = StaleAudioFilter()
    assert stale_audio.accepts(2)
    stale_audio.interrupted(2, drop_own=drop_own)
    if named_first:
        stale_audio.named(1)
        assert stale_audio.accepts(1, 0)
    else:
        assert not stale_audio.accepts(1, 0)
        assert stale_audio.accepts(1, 3)
    assert stale_audio.accepts(2, 3)


@pytest.mark.parametrize("but_one", [True, False])
def test_a_goodbye_with_new_ids_is_still_the_only_one(but_one: bool) -> None:
    stale_audio = interrupted_at_20()
    stale_audio.allow_no_more(but_one=but_one)
    stale_audio.named(1)
    assert stale_audio.accepts(1, 5)
    stale_audio.spoke()
    assert [stale_audio.accepts(event_id, 5) for event_id in (2, 1)] == [False, True]
    stale_audio.close()
    stale_audio.interrupted(20, drop_own=False)
    stale_audio.named(0)
    assert not stale_audio.accepts(0, 5), "closed is closed"


@given(
    st.lists(st.tuples(st.sampled_from(["audio", "named", "interrupted"]), st.integers(0, 30)), max_size=60)
)
def test_nothing_mutes_the_agent_for_ever(steps: list[tuple[str, int]]) -> None:
    """Whatever came before: of a reply that goes on, something is heard after three seconds."""
    stale_audio, now_s = StaleAudioFilter(), 0.0
    for what, event_id in steps:
        now_s += 0.7
        if what == "audio":
            stale_audio.accepts(event_id, now_s)
        elif what == "named":
            stale_audio.named(event_id)
        else:
            stale_audio.interrupted(event_id, drop_own=True)
    assert any(stale_audio.accepts(1, now_s + 0.2 * n) for n in range(20))
