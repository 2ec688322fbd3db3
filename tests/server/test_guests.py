"""How guests share the places, by counting: without a socket or a clock."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.server.guests import (
    ALL_BURST,
    ALL_CALLS_PER_S,
    BURST,
    CALLS_PER_S,
    MAX_REMEMBERED,
    CallRate,
    Guests,
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
    while guests.reject(guest, next(CLOCK), PLENTY) is None:
        guests.begin(guest)
        began += 1
    return began


def test_one_guest_gets_half_and_each_later_one_half_of_the_rest() -> None:
    guests = Guests(100, reserves=False)
    assert [fill(guests, name) for name in ("a", "b", "c", "d")] == [50, 25, 13, 6]


def test_a_call_that_is_over_leaves_its_place() -> None:
    guests = Guests(2, reserves=False)
    assert fill(guests, "a") == 1
    guests.end("a")
    assert fill(guests, "a") == 1


def test_one_place_is_enough_for_one_call() -> None:
    assert fill(Guests(1, reserves=False), "a") == 1
    assert fill(Guests(1, reserves=True), "a") == 0


@given(st.integers(1, 200), st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=300))
def test_guests_never_have_more_than_their_places(places: int, steps: list[tuple[int, bool]]) -> None:
    guests, calls = Guests(places, reserves=False), [0] * 10
    for now, (guest, begins) in enumerate(steps):
        if begins and guests.reject(str(guest), now, PLENTY) is None:
            guests.begin(str(guest))
            calls[guest] += 1
        elif not begins and calls[guest]:
            guests.end(str(guest))
            calls[guest] -= 1
        assert sum(calls) <= places
    newcomer = "newcomer"
    assert sum(calls) == places or guests.reject(newcomer, len(steps), PLENTY) is None, (
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


def accepted(rate: CallRate, guest: str, times: list[float]) -> int:
    return sum(rate.accepts(guest, now) for now in times)


def test_a_burst_and_then_the_rate() -> None:
    rate = CallRate()
    assert accepted(rate, "a", [0.0] * 1_000) == BURST
    assert accepted(rate, "a", [1.0] * 1_000) == CALLS_PER_S
    assert accepted(rate, "b", [1.0] * 1_000) == BURST, "another guest's rate is its own"
    assert accepted(rate, "a", [100.0] * 1_000) == BURST, "what wasn't used doesn't add up"


def test_all_guests_have_a_rate_together() -> None:
    rate = CallRate()
    assert sum(accepted(rate, str(guest), [0.0] * 2) for guest in range(1_000)) == ALL_BURST
    assert sum(accepted(rate, str(guest), [1.0]) for guest in range(1_000)) == ALL_CALLS_PER_S


def test_any_number_of_guests_takes_bounded_memory() -> None:
    rate = CallRate()
    for number in range(2 * MAX_REMEMBERED):
        assert rate.accepts(str(number), float(number))
    assert len(rate) <= MAX_REMEMBERED
