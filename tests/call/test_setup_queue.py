"""Which call is set up when: without a loop and without a clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.call.setup_queue import (
    COUNTED_S,
    LONGEST_WAIT_S,
    SETUPS_AT_ONCE,
    STEP_S,
    SetupQueue,
    Ticket,
)


@dataclass
class FakeLoad:
    """A load that says what the test wants."""

    waiting: int = 0
    setups: int = 0
    overloaded: bool = False
    has_room: bool = True
    setup_interval_s: float = 0.0

    def begin_setup(self) -> None:
        self.setups += 1

    def end_setup(self) -> None:
        self.setups -= 1


def begun_over(queue: SetupQueue, since: float, seconds: float) -> list[Ticket]:
    """Advance for so many seconds, and return whose set-up began."""
    found: list[Ticket] = []
    for step in range(round(seconds / STEP_S)):
        found += queue.advance(since + step * STEP_S)[0]
    return found


def join(queue: SetupQueue, count: int, host: str = "pbx", at: float = 1.0) -> list[Ticket]:
    """Add calls that have waited long enough for a turn ``at`` then."""
    return [queue.join(host, at - STEP_S) for _ in range(count)]


def test_set_ups_begin_in_the_order_of_arrival_at_the_interval() -> None:
    queue = SetupQueue(load := FakeLoad(setup_interval_s=0.008))
    tickets = join(queue, 30, at=10.0)
    begun = begun_over(queue, 10.0, 0.08)
    assert begun == tickets[: len(begun)]
    assert 9 <= len(begun) <= 12
    assert load.waiting == len(queue) == 30 - len(begun)
    assert load.setups == len(begun)


def test_a_rest_saves_nothing_up() -> None:
    queue = SetupQueue(FakeLoad(setup_interval_s=0.05))
    join(queue, 10, at=1_000.0)
    assert len(queue.advance(1_000.0)[0]) == 1


def test_so_many_at_once() -> None:
    queue = SetupQueue(FakeLoad())
    tickets = join(queue, SETUPS_AT_ONCE + 2)
    assert queue.advance(1.0)[0] == tickets[:SETUPS_AT_ONCE]
    assert queue.advance(1.1)[0] == []
    queue.leave(tickets[3])
    assert queue.advance(1.2)[0] == [tickets[SETUPS_AT_ONCE]]


def test_agents_that_do_not_answer_keep_no_one_waiting() -> None:
    queue = SetupQueue(load := FakeLoad())
    join(queue, 3 * SETUPS_AT_ONCE)
    assert len(begun_over(queue, 1.0, 2.1 * COUNTED_S)) == 3 * SETUPS_AT_ONCE
    assert load.setups == 3 * SETUPS_AT_ONCE


def test_hosts_take_turns() -> None:
    queue = SetupQueue(FakeLoad(setup_interval_s=STEP_S))
    join(queue, 100, "flood")
    honest = [ticket for host in ("a", "b", "a") for ticket in join(queue, 1, host)]
    begun = begun_over(queue, 1.0, 7 * STEP_S)
    assert set(honest) <= set(begun)


def test_no_turn_comes_at_once() -> None:
    queue = SetupQueue(FakeLoad())
    first = queue.join("pbx", 1.0)
    queue.join("pbx", 1.002)
    assert queue.advance(1.001 + STEP_S) == ([first], {})


def test_a_call_that_leaves_has_no_turn() -> None:
    queue = SetupQueue(load := FakeLoad())
    first, second = join(queue, 2)
    queue.leave(first)
    assert queue.advance(1.0) == ([second], {})
    queue.leave(second)
    assert (load.waiting, load.setups, len(queue)) == (0, 0, 0)


def test_a_call_that_has_ended_has_no_turn_though_it_has_not_left_yet() -> None:
    queue = SetupQueue(load := FakeLoad())
    ended = queue.join("pbx", 1.0, lambda: True)
    second = queue.join("pbx", 1.0)
    assert queue.advance(2.0) == ([second], {})
    queue.leave(ended)
    assert (load.waiting, load.setups) == (0, 1)


def test_without_room_calls_wait_and_are_rejected_under_overload() -> None:
    queue = SetupQueue(load := FakeLoad(has_room=False))
    tickets = join(queue, 1) + join(queue, 1, "other")
    assert queue.advance(2.0) == ([], {})
    load.overloaded = True
    begun, rejected = queue.advance(2.1)
    assert not begun
    assert list(rejected) == tickets
    assert all("harmed" in cause for cause in rejected.values())
    for ticket in tickets:
        queue.leave(ticket)  # as the call does that was rejected
    assert (load.waiting, len(queue)) == (0, 0)


def test_the_wait_for_a_turn_is_bounded() -> None:
    queue = SetupQueue(FakeLoad(setup_interval_s=1.5))
    tickets = join(queue, 6)
    assert queue.advance(1.0)[0] == tickets[:1]
    late = queue.join("pbx", 5.0)
    begun, rejected = queue.advance(1.0 + LONGEST_WAIT_S)
    assert list(rejected) == tickets[1:]
    assert begun == [late]


def test_if_no_one_may_be_rejected_calls_wait_for_their_turn_only() -> None:
    queue = SetupQueue(FakeLoad(overloaded=True, has_room=False, setup_interval_s=4.0), may_reject=False)
    tickets = join(queue, 4)
    assert [queue.advance(now) for now in (1.0, 5.0, 9.0, 13.0)] == [([ticket], {}) for ticket in tickets]


def _join(queue: SetupQueue, host: str, now: float, over: set[Ticket]) -> Ticket:
    ticket = queue.join(host, now, lambda: ticket in over)
    return ticket


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.sampled_from(["a", "b", "c"])),
        st.tuples(st.just("leave"), st.integers(0, 50)),
        st.tuples(st.just("end"), st.integers(0, 50)),
        st.tuples(st.just("pass"), st.floats(0.0, 2.0)),
        st.tuples(st.just("load"), st.tuples(st.booleans(), st.booleans(), st.floats(0.0, 0.1))),
    )
)


@given(STEPS, st.booleans())
def test_every_call_has_one_answer_at_most_and_is_counted_once(
    steps: list[tuple[str, Any]], may_reject: bool
) -> None:
    queue, now = SetupQueue(load := FakeLoad(), may_reject=may_reject), 1.0
    present: list[Ticket] = []
    over: set[Ticket] = set()
    begun: set[Ticket] = set()
    rejected: set[Ticket] = set()
    for step, value in steps:
        if step == "join":
            present.append(_join(queue, value, now, over))
        elif step == "leave" and present:
            queue.leave(present.pop(value % len(present)))
        elif step == "end" and present:
            over.add(present[value % len(present)])
        elif step == "load":
            load.has_room, load.overloaded, load.setup_interval_s = value
        elif step == "pass":
            now += value
        answered, refused = queue.advance(now)
        assert not (set(answered) | set(refused)) & (begun | rejected)
        assert all(now - ticket.joined_at >= STEP_S - 1e-9 for ticket in answered)
        begun |= set(answered)
        rejected |= set(refused)
        assert not rejected or may_reject
        assert load.setups == len(begun & set(present))
        assert load.waiting == len(queue) <= len(set(present) - begun - rejected)
    for ticket in present:
        queue.leave(ticket)
    assert (load.waiting, load.setups, len(queue)) == (0, 0, 0)
