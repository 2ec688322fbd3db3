"""Which of the agent's sound may be heard."""

from __future__ import annotations

from audiosocket_gw.fence import ReplyFence


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
    assert [fence.admits(event_id) for event_id in (3, 4, 5, 4)] == [False, True, False, True]


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
