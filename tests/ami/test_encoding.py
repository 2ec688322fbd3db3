"""Asterisk's text: escapes undone once, any encoding read, and what is withheld."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.ami.encoding import as_answered, decoded, shown, unescaped, without_cr
from audiosocket_gw.ami.registry import Channel

ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "?": "\\?",
}
"""What ``ast_escape_c`` makes of what."""


def escaped(name: str) -> str:
    return "".join(ESCAPES.get(character, character) for character in name)


@given(st.text(st.sampled_from([*ESCAPES, *"nrtvabf0 O"])))
def test_a_name_is_unescaped_once(name: str) -> None:
    assert unescaped(escaped(name)) == name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (r"O\'Brien", "O'Brien"),
        (r"Any questions\?", "Any questions?"),
        (r"Ann \"Bee\"", 'Ann "Bee"'),
        (r"DOMAIN\\user", r"DOMAIN\user"),
        (r"\\\\n", r"\\n"),
        (r"odd \x and \\", "odd \\x and \\"),
        ("ends with \\", "ends with \\"),
    ],
)
def test_names(written: str, name: str) -> None:
    assert unescaped(written) == name
    assert Channel.from_headers({"CallerIDName": written}).caller_name == name


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Müller €".encode(), "Müller €"),
        (b"M\xfcller", "Müller"),
        (b"Andr\xe9", "André"),
        (b"Gro\xdf", "Groß"),
        (b"M\xc4KEL\xc4", "MÄKELÄ"),
        (b"price \x80", "price €"),
        ("Müller-Lü".encode()[:-1], "Müller-L"),
        ("Jos\u00e9".encode()[:-1], "Jos"),
        ("price €".encode()[:-1], "price "),
        ("Ада".encode()[:-1], "Ад"),
        (b"\x81", "\ufffd"),
        ("one\r\nM\u00fc\r\n".encode() + b"M\xfc\r\n" + "€".encode(), "one\r\nMü\r\nMü\r\n€"),
    ],
)
def test_text_in_any_encoding(raw: bytes, text: str) -> None:
    assert decoded(raw) == text


@given(st.binary())
def test_any_bytes_are_some_text(raw: bytes) -> None:
    assert isinstance(decoded(raw), str)


@pytest.mark.parametrize(
    "word", ["anonymous", "Anonymous", "restricted", "unavailable", "private", "<unknown>", "(null)", ""]
)
def test_withheld(word: str) -> None:
    assert shown(word) == ""
    channel = Channel.from_headers({"CallerIDNum": word, "CallerIDName": word})
    assert (channel.caller_number, channel.caller_name) == ("", "")


@pytest.mark.parametrize("name", ["Ann Nonymous", "Private Bank", "0"])
def test_told(name: str) -> None:
    assert shown(name) == name


@pytest.mark.parametrize(
    ("headers", "dialled"),
    [
        ({"DNID": "4930123", "Exten": "s"}, "4930123"),
        ({"DNID": "4930123", "Exten": "5001"}, "4930123"),
        ({"DNID": "<unknown>", "Exten": "5001"}, "5001"),
        ({"DNID": "", "Exten": "support"}, "support"),
        ({"DNID": "", "Exten": "s"}, ""),
        ({"DNID": "", "Exten": "i"}, ""),
        ({}, ""),
    ],
)
def test_dialled_number(headers: dict[str, str], dialled: str) -> None:
    assert Channel.from_headers(headers).dialled_number == dialled


def test_how_a_variable_is_asked_for() -> None:
    """Measured on Asterisk 22.10: with fewer backslashes, or more, the letters r are taken out."""
    assert without_cr("X") == r"REPLACE(X,\\\\r)"
    assert as_answered(without_cr("X")) == r"REPLACE(X,\\r)"
