"""Which of the agent's sound may be heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.call.stale_audio import ReplyFence


def test_everything_is_let_through_at_first() -> None:
    fence = ReplyFence()
    assert [fence.admits(event_id) for event_id in (0, 0, 1, 5, 3)] == [True] * 5
    assert fence.last_event_id == 3


def test_what_is_older_than_an_interruption_stays_out() -> None:
    fence = ReplyFence()
    fence.interrupted(4, drop_own=False)
    fence.interrupted(2, drop_own=True)  # an earlier one can't let stale sound in again
    assert [fence.admits(event_id) for event_id in (3, 4, 5)] == [False, True, True]


def test_the_interruptions_own_id_is_kept_out_on_demand() -> None:
    fence = ReplyFence()
    fence.interrupted(4, drop_own=True)
    assert [fence.admits(event_id) for event_id in (4, 5)] == [False, True]


def test_a_goodbye_may_end_and_nothing_may_follow() -> None:
    fence = ReplyFence()
    assert fence.admits(3)
    fence.allow_no_more(but_one=False)
    assert [fence.admits(event_id) for event_id in (3, 4, 3)] == [True, False, True]
    assert fence.last_event_id == 3


def test_one_goodbye_may_begin() -> None:
    fence = ReplyFence()
    assert fence.admits(3)
    fence.interrupted(4, drop_own=False)
    fence.allow_no_more(but_one=True)
    fence.allow_no_more(but_one=True)  # said twice, it is still one
    assert [fence.admits(event_id) for event_id in (3, 4)] == [False, True]
    fence.spoke()
    assert [fence.admits(event_id) for event_id in (5, 4)] == [False, True]


def test_what_is_no_speech_and_the_end_of_the_reply_before_are_not_the_one_goodbye() -> None:
    fence = ReplyFence()
    assert fence.admits(3)
    fence.allow_no_more(but_one=True)
    assert fence.admits(3)
    fence.spoke()
    assert [fence.admits(event_id) for event_id in (4, 5)] == [True, True]
    fence.spoke()
    assert [fence.admits(event_id) for event_id in (6, 5)] == [False, True]


def test_sound_without_an_id_belongs_to_the_current_reply() -> None:
    fence = ReplyFence()
    assert fence.admits(None)
    fence.allow_no_more(but_one=False)
    assert fence.admits(None)
    assert not fence.admits(1)
    fence.close()
    assert not fence.admits(None)
    fence.reopen()
    fence.interrupted(7, drop_own=False)
    assert fence.admits(None)


def test_closed_it_lets_nothing_through_until_it_is_reopened() -> None:
    fence = ReplyFence()
    fence.admits(3)
    fence.close()
    assert not fence.admits(3)
    fence.reopen()
    assert fence.admits(4)


def interrupted_at_20() -> ReplyFence:
    fence = ReplyFence()
    assert fence.admits(19, 0.0)
    fence.interrupted(20, drop_own=False)
    return fence


def test_ids_that_begin_anew_are_heard_when_the_words_have_come() -> None:
    fence = interrupted_at_20()
    assert not fence.admits(1, 1.0)
    fence.named(1)
    assert fence.restarted_from == 20
    assert [fence.admits(event_id, 1.1) for event_id in (1, 1, 2, 3)] == [True] * 4
    fence.interrupted(3, drop_own=False)
    assert [fence.admits(event_id, 1.2) for event_id in (2, 3, 4)] == [False, True, True]


def test_ids_that_begin_anew_are_heard_after_three_seconds_without_words() -> None:
    fence = interrupted_at_20()
    heard = [fence.admits(1, 10 + seconds) for seconds in (0, 1, 2.9, 3.0, 3.1)]
    assert heard == [False, False, False, True, True]
    assert fence.restarted_from == 20
    assert fence.admits(2, 14)


def test_a_stale_tail_stays_out_however_it_is_named() -> None:
    fence = interrupted_at_20()
    fence.named(19)
    fence.named(None)
    fence.named(20)
    assert [fence.admits(19, seconds) for seconds in (0, 0.5, 2.9)] == [False] * 3
    assert fence.admits(20, 2.95)
    assert [fence.admits(19, seconds) for seconds in (3.0, 3.1)] == [False] * 2, "it has begun only now"
    fence.interrupted(21, drop_own=False)
    assert not fence.admits(19, 100), "and this is another tail"
    assert fence.restarted_from is None


@pytest.mark.parametrize("named_first", [True, False])
@pytest.mark.parametrize("drop_own", [True, False])
def test_a_restart_below_and_with_the_interruptions_own_id(named_first: bool, drop_own: bool) -> None:
    fence = ReplyFence()
    assert fence.admits(2)
    fence.interrupted(2, drop_own=drop_own)
    if named_first:
        fence.named(1)
        assert fence.admits(1, 0)
    else:
        assert not fence.admits(1, 0)
        assert fence.admits(1, 3)
    assert fence.admits(2, 3)


@pytest.mark.parametrize("but_one", [True, False])
def test_a_goodbye_with_new_ids_is_still_the_only_one(but_one: bool) -> None:
    fence = interrupted_at_20()
    fence.allow_no_more(but_one=but_one)
    fence.named(1)
    assert fence.admits(1, 5)
    fence.spoke()
    assert [fence.admits(event_id, 5) for event_id in (2, 1)] == [False, True]
    fence.close()
    fence.interrupted(20, drop_own=False)
    fence.named(0)
    assert not fence.admits(0, 5), "closed is closed"


@given(
    st.lists(st.tuples(st.sampled_from(["audio", "named", "interrupted"]), st.integers(0, 30)), max_size=60)
)
def test_nothing_mutes_the_agent_for_ever(steps: list[tuple[str, int]]) -> None:
    """Whatever came before: of a reply that goes on, something is heard after three seconds."""
    fence, now_s = ReplyFence(), 0.0
    for what, event_id in steps:
        now_s += 0.7
        if what == "audio":
            fence.admits(event_id, now_s)
        elif what == "named":
            fence.named(event_id)
        else:
            fence.interrupted(event_id, drop_own=True)
    assert any(fence.admits(1, now_s + 0.2 * n) for n in range(20))
