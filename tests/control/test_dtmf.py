"""Keys: gathered into numbers, and mapped to actions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.control.dtmf_number import MAX_DIGITS, DtmfCollector
from audiosocket_gw.control.key_actions import KeyAction, parse_key_actions
from audiosocket_gw.protocol.audiosocket import DTMF_DIGITS

keys = st.text(alphabet=sorted(DTMF_DIGITS), max_size=200)


def test_hash_ends_a_number() -> None:
    number = DtmfCollector()
    assert [number.add(key) for key in "12#3"] == [None, None, "12", None]
    assert number.end() == "3"
    assert number.end() is None


def test_hash_alone_is_a_key() -> None:
    assert DtmfCollector().add("#") == "#"


@given(keys)
def test_no_key_is_lost_or_doubled_and_no_number_grows_without_bound(typed: str) -> None:
    number = DtmfCollector()
    numbers = [*(number.add(key) for key in typed), number.end()]
    told = [text for text in numbers if text]
    assert all(len(text) <= MAX_DIGITS for text in told)
    assert "".join(told).replace("#", "") == typed.replace("#", "")


def test_key_actions() -> None:
    assert parse_key_actions(" 0=transfer:operator, *=hangup ,") == {
        "0": KeyAction("transfer", "operator"),
        "*": KeyAction("hangup"),
    }
    assert parse_key_actions("") == {}


@pytest.mark.parametrize(
    "text",
    [
        *("hangup", "0", "=hangup", "0=", "0=dance", "0=transfer", "0=transfer:", "0=hangup:now"),
        *("10=hangup", "x=hangup", "0=hangup,0=hangup", "٠=hangup"),
    ],
)
def test_what_is_no_key_action_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is neither|does not begin|two actions"):
        parse_key_actions(text)


@given(st.text())
def test_key_actions_are_read_or_refused(text: str) -> None:
    try:
        actions = parse_key_actions(text)
    except ValueError:
        return
    assert set(actions) <= DTMF_DIGITS
    assert all((action.kind == "transfer") == bool(action.target) for action in actions.values())
