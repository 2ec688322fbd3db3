"""Which peers may connect, and which calls may begin: without a socket."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.server.admission import SPARE_CONNECTIONS, Admission
from audiosocket_gw.server.settings import ServerSettings, parse_networks

BOUND = 3 + SPARE_CONNECTIONS


def admission(
    allowed_peers: str = "127.0.0.0/8",
    is_pbx: Callable[[str], bool] | None = None,
    *,
    refuse_overload: bool = True,
    host: str = "127.0.0.1",
) -> Admission:
    settings = ServerSettings(
        host=host,
        port=0,
        max_calls=3,
        allowed_peers=tuple(parse_networks(allowed_peers)),
        uuid_secret=None,
        uuid_max_age=60.0,
        handshake_timeout=5.0,
        drain_timeout=0.0,
        refuse_overload=refuse_overload,
    )
    return Admission(settings, is_pbx)


def test_a_connection_is_admitted_up_to_the_spare_ones() -> None:
    assert admission().reject_connection("127.0.0.1", BOUND - 1, 0.0) is None
    rejection = admission().reject_connection("127.0.0.1", BOUND, 0.0)
    assert rejection == f"{BOUND} connections are open already (MAX_CALLS=3)"


def test_a_connection_from_elsewhere_is_rejected_by_name_of_the_setting() -> None:
    rejection = admission().reject_connection("192.0.2.1", 0, 0.0)
    assert rejection == "its address is not in ALLOWED_PEERS=127.0.0.0/8"


def test_no_connection_is_admitted_once_the_gateway_stops() -> None:
    stopping = admission()
    stopping.is_stopping = True
    assert stopping.reject_connection("127.0.0.1", 0, 0.0) == "the gateway is stopping"


@pytest.mark.parametrize(
    ("callers", "calls", "reason"),
    [
        (0, 0, None),
        (2, 2, None),
        (2, BOUND - 1, None),  # callers who have gone leave their place, though their calls still close
        (3, 3, EndReason.GATEWAY_FULL),
        (2, BOUND, EndReason.GATEWAY_FULL),
    ],
)
def test_a_call_needs_a_place(callers: int, calls: int, reason: EndReason | None) -> None:
    assert admission().reject_call(callers, calls, overloaded=False) is reason


def test_a_call_is_rejected_under_overload_unless_set_otherwise() -> None:
    assert admission().reject_call(0, 0, overloaded=True) is EndReason.OVERLOADED
    assert admission(refuse_overload=False).reject_call(0, 0, overloaded=True) is None
    assert admission().reject_call(3, 3, overloaded=True) is EndReason.GATEWAY_FULL


@pytest.mark.parametrize(
    ("allowed_peers", "host", "guest"),
    [
        ("", "127.0.0.1", None),  # the listener is on the loopback
        ("10.0.0.0/24", "10.0.0.5", "10.0.0.5"),
        ("10.0.0.0/24,10.0.0.5", "10.0.0.5", None),
        ("10.0.0.0/24,10.0.0.5", "::ffff:10.0.0.5", None),
        ("any", "10.0.0.5", "10.0.0.5"),
        ("any,10.0.0.5", "10.0.0.5", None),
        ("any,10.0.0.5", "10.0.0.6", "10.0.0.6"),
        ("any", "2001:db8::5", "2001:db8::/64"),
        ("2001:db8::5", "2001:db8::5", None),
        ("10.0.0.0/24", "10.0.0.99", None),  # it has a manager interface
    ],
)
def test_who_is_a_guest(allowed_peers: str, host: str, guest: str | None) -> None:
    assert admission(allowed_peers, lambda address: address == "10.0.0.99").guest_at(host) == guest


@pytest.mark.parametrize(
    ("allowed_peers", "is_pbx", "places"),
    [
        ("any", None, 3),
        ("any,10.0.0.5", None, 1),
        ("any", lambda _: False, 1),
    ],
)
def test_half_of_the_places_are_reserved_if_there_are_known_pbxs(
    allowed_peers: str, is_pbx: Callable[[str], bool] | None, places: int
) -> None:
    assert admission(allowed_peers, is_pbx).guests.places(1_000) == places


def test_allowed_peers_can_be_replaced() -> None:
    subject = admission("192.0.2.0/24")
    assert subject.reject_connection("192.0.2.7", 0, 0.0) is None
    assert subject.guest_at("192.0.2.7") == "192.0.2.7"
    assert not subject.knows_pbxs
    subject.admit_peers(parse_networks("192.0.2.7,198.51.100.0/24"))
    assert subject.reject_connection("192.0.2.7", 0, 0.0) is None
    assert subject.guest_at("192.0.2.7") is None, "its address is listed by itself now"
    assert subject.guest_at("198.51.100.1") == "198.51.100.1"
    assert (subject.knows_pbxs, subject.guests.places(3)) == (True, 1)
    rejection = subject.reject_connection("192.0.2.8", 0, 0.0)
    assert rejection == "its address is not in ALLOWED_PEERS=192.0.2.7/32,198.51.100.0/24"
