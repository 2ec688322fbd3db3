"""Who is calling: every variable is always there, and no name breaks a header."""

from __future__ import annotations

import re
from urllib.parse import unquote
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.ami.call_control import CallerData
from audiosocket_gw.ami.registry import Channel
from audiosocket_gw.call.caller_data import caller_headers, caller_variables

CALL = UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
ALWAYS = {
    "call_uuid",
    "caller_number",
    "caller_name",
    "dialled_number",
    "context",
    "channel",
    "unique_id",
    "linked_id",
}
ASCII_HEADER_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")

anything = st.text(st.characters(exclude_categories=[]))


def caller(text: str, **variables: str) -> CallerData:
    return CallerData(Channel(text, text, text, text, text, text, text, text), variables)


def test_asterisk_could_not_be_asked() -> None:
    variables = caller_variables(CALL, None, {"TIER": "none", "LANG": "unknown"})
    assert set(variables) == ALWAYS | {"TIER", "LANG"}
    assert variables.pop("call_uuid") == str(CALL)
    assert variables.pop("TIER") == "none"
    assert set(variables.values()) == {"unknown"}


@given(anything, st.dictionaries(st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), anything))
def test_every_variable_is_there_and_none_is_empty_without_need(text: str, set_to: dict[str, str]) -> None:
    variables = caller_variables(CALL, caller(text, **set_to), dict.fromkeys(set_to, "default") | {"X": ""})
    assert set(variables) == ALWAYS | set(set_to) | {"X"}
    assert variables["caller_name"] == (text or "unknown")
    for name, value in set_to.items():
        assert variables[name] == (value or ("" if name == "X" else "default"))


@given(anything)
def test_headers_are_legal_whatever_the_caller_is_called(text: str) -> None:
    headers = caller_headers(caller_variables(CALL, caller(text, TIER=text), {"TIER": "", "_": text}))
    for value in headers.values():
        assert ASCII_HEADER_VALUE.fullmatch(value)
    httpx.Request("GET", "http://h/", headers=headers)
    if text.strip(" ") and text.isprintable():
        assert unquote(headers["X-AVR-Caller-Name"]) == text.strip(" ")


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,79}", fullmatch=True))
def test_header_names_are_legal(name: str) -> None:
    (header,) = caller_headers({name: "x"})
    assert re.fullmatch(r"X-AVR-[A-Za-z0-9-]*", header)


@pytest.mark.parametrize(
    ("variable", "header"),
    [
        ("call_uuid", "X-AVR-UUID"),
        ("caller_number", "X-AVR-Caller-Number"),
        ("TIER", "X-AVR-Tier"),
    ],
)
def test_header_names(variable: str, header: str) -> None:
    assert caller_headers({variable: "1"}) == {header: "1"}
