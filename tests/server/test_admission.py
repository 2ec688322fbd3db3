"""Which peers may connect, and which calls may begin: without a socket."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.server.admission import SPARE_CONNECTIONS, Admission
from audiosocket_gw.server.settings import ServerSettings

BOUND = 3 + SPARE_CONNECTIONS


def admission(*, refuse_overload: bool = True) -> Admission:
    settings = ServerSettings(
        host="127.0.0.1",
        port=0,
        max_calls=3,
        allowed_peers=(ip_network("127.0.0.0/8"),),
        handshake_timeout=5.0,
        drain_timeout=0.0,
        refuse_overload=refuse_overload,
    )
    return Admission(settings)


def test_a_connection_is_admitted_up_to_the_spare_ones() -> None:
    assert admission().reject_connection("127.0.0.1", BOUND - 1) is None
    rejection = admission().reject_connection("127.0.0.1", BOUND)
    assert rejection == f"{BOUND} connections are open already (MAX_CALLS=3)"


def test_a_connection_from_elsewhere_is_rejected_by_name_of_the_setting() -> None:
    rejection = admission().reject_connection("192.0.2.1", 0)
    assert rejection == "its address is not in ALLOWED_PEERS=127.0.0.0/8"


def test_no_connection_is_admitted_once_the_gateway_stops() -> None:
    stopping = admission()
    stopping.is_stopping = True
    assert stopping.reject_connection("127.0.0.1", 0) == "the gateway is stopping"


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
