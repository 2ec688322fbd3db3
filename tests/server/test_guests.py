"""How guests share the places, by counting: without a socket or a clock."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.server.guests import (
    ALL_CALLS_AT_ONCE,
    ALL_CALLS_PER_S,
    ALL_CONNECTIONS_AT_ONCE,
    ALL_CONNECTIONS_PER_S,
    CONNECTIONS_AT_ONCE,
    CONNECTIONS_PER_S,
    MAX_REMEMBERED,
    Guests,
    Rate,
    guest_name,
)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("2001:db8:0:1::", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_one_machine_is_one_guest(address: str, name: str) -> None:
    assert guest_name(address) == name


PLENTY = 1_000_000
"""More calls fit than anyone begins."""

CLOCK = count(0.0)
"""So slow that the rate is no limit."""


def fill(guests: Guests, guest: str) -> int:
    """Begin calls until one is rejected; return how many began."""
    began = 0
    while guests.reject_call(guest, next(CLOCK), PLENTY) is None:
        guests.begin_call(guest)
        began += 1
    return began


def test_one_guest_gets_half_and_each_later_one_half_of_the_rest() -> None:
    guests = Guests(100, reserves=False)
    assert [fill(guests, name) for name in ("a", "b", "c", "d")] == [50, 25, 13, 6]


def test_a_call_that_is_over_leaves_its_place() -> None:
    guests = Guests(2, reserves=False)
    assert fill(guests, "a") == 1
    guests.end_call("a")
    assert fill(guests, "a") == 1


def test_one_place_is_enough_for_one_call() -> None:
    assert fill(Guests(1, reserves=False), "a") == 1
    assert fill(Guests(1, reserves=True), "a") == 0


@given(st.integers(1, 200), st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=300))
def test_guests_never_have_more_than_their_places(places: int, steps: list[tuple[int, bool]]) -> None:
    guests, calls = Guests(places, reserves=False), [0] * 10
    for now, (guest, begins) in enumerate(steps):
        if begins and guests.reject_call(str(guest), now, PLENTY) is None:
            guests.begin_call(str(guest))
            calls[guest] += 1
        elif not begins and calls[guest]:
            guests.end_call(str(guest))
            calls[guest] -= 1
        assert sum(calls) <= places
    newcomer = "newcomer"
    assert sum(calls) == places or guests.reject_call(newcomer, len(steps), PLENTY) is None, (
        "a newcomer finds a place"
    )


@pytest.mark.parametrize(
    ("max_calls", "reserves", "capacity", "places"),
    [(500, True, 600, 250), (500, True, 130, 65), (500, False, 130, 500), (500, True, 0, 0)],
)
def test_half_of_what_fits_is_reserved_whatever_max_calls_says(
    max_calls: int, reserves: bool, capacity: int, places: int
) -> None:
    """Otherwise guests alone could overload the gateway, which then rejects the known PBXs' calls."""
    assert Guests(max_calls, reserves=reserves).places(capacity) == places


def opened(guests: Guests, guest: str, times: list[float]) -> int:
    return sum(guests.reject_connection(guest, now) is None for now in times)


def test_a_guest_opens_some_connections_at_once_and_then_a_few_a_second() -> None:
    guests = Guests(100, reserves=False)
    assert opened(guests, "a", [0.0] * 1_000) == CONNECTIONS_AT_ONCE
    assert opened(guests, "a", [1.0] * 1_000) == CONNECTIONS_PER_S
    assert opened(guests, "b", [1.0] * 1_000) == CONNECTIONS_AT_ONCE, "another guest's rate is its own"
    assert opened(guests, "a", [100.0] * 1_000) == CONNECTIONS_AT_ONCE, "what wasn't used doesn't add up"


def test_all_guests_have_a_rate_together() -> None:
    guests = Guests(1_000, reserves=False)
    assert sum(opened(guests, str(guest), [0.0]) for guest in range(1_000)) == ALL_CONNECTIONS_AT_ONCE
    assert sum(opened(guests, str(guest), [1.0]) for guest in range(1_000)) == ALL_CONNECTIONS_PER_S
    began = [guests.reject_call(str(guest), 0.0, PLENTY) is None for guest in range(1_000)]
    assert sum(began) == ALL_CALLS_AT_ONCE
    began = [guests.reject_call(str(guest), 1.0, PLENTY) is None for guest in range(1_000)]
    assert sum(began) == ALL_CALLS_PER_S


def test_a_flood_of_one_guest_takes_nothing_from_the_others() -> None:
    guests = Guests(100, reserves=False)
    for quarter in range(1_000):
        opened(guests, "flood", [quarter / 4] * 100)
        assert opened(guests, "honest", [quarter / 4]) == 1


def test_any_number_of_guests_takes_bounded_memory() -> None:
    guests = Guests(100, reserves=False)
    for number in range(2 * MAX_REMEMBERED):
        guests.reject_connection(str(number), float(number))
    assert len(guests) == MAX_REMEMBERED


@given(st.floats(0.1, 1_000), st.integers(1, 1_000), st.lists(st.floats(0, 10), max_size=200))
def test_a_rate_is_never_exceeded(per_s: float, at_once: int, pauses: list[float]) -> None:
    rate, now, accepted = Rate(per_s, at_once), 0.0, 0
    for pause in pauses:
        now += pause
        accepted += rate.accepts(now)
        assert accepted <= at_once + now * per_s + 1
