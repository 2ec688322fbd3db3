"""Which connections of guests make room for newer ones: without a socket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.server.connections import IN_ALL, PER_GUEST, Connections


def test_the_oldest_of_a_guest_makes_room_for_its_newest() -> None:
    connections = Connections[int]()
    replaced = [connections.add(number, "a") for number in range(PER_GUEST + 3)]
    assert replaced == [*[None] * PER_GUEST, 0, 1, 2]


def test_the_oldest_of_all_makes_room_when_there_are_many_guests() -> None:
    connections = Connections[int]()
    replaced = [connections.add(number, str(number)) for number in range(IN_ALL + 2)]
    assert replaced == [*[None] * IN_ALL, 0, 1]


def test_known_pbxs_make_room_for_no_one() -> None:
    connections = Connections[int]()
    for number in range(1_000):
        assert connections.add(number, None) is None
    for number in range(1_000, 3_000):
        assert (connections.add(number, "a") or 1_000) >= 1_000
    assert len(connections) == 3_000


def test_a_connection_in_a_call_makes_room_for_no_one() -> None:
    connections = Connections[int]()
    connections.add(0, "a")
    connections.begin_call(0)
    assert all(connections.add(number, "a") != 0 for number in range(1, 2 * PER_GUEST))
    assert 0 in set(connections)


@given(st.lists(st.tuples(st.sampled_from(["add", "call", "close"]), st.integers(0, 9)), max_size=400))
def test_few_are_outside_a_call_and_none_is_forgotten(steps: list[tuple[str, int]]) -> None:
    connections = Connections[tuple[int, int]]()
    waiting: dict[tuple[int, int], None] = {}
    is_open: set[tuple[int, int]] = set()
    for number, (step, guest) in enumerate(steps):
        connection = (guest, number)
        if step == "add":
            replaced = connections.add(connection, str(guest))
            is_open.add(connection)
            waiting[connection] = None
            if replaced is not None:
                assert replaced in waiting
                del waiting[replaced]
        elif waiting:
            connection, _ = waiting.popitem()
            if step == "call":
                connections.begin_call(connection)
            else:
                connections.discard(connection)
                is_open.discard(connection)
        assert len(waiting) <= IN_ALL
        assert sum(1 for each, _ in waiting if each == guest) <= PER_GUEST
        assert set(connections) == is_open
