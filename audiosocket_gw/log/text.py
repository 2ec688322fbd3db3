"""Prepares text from others for the log: masked, escaped and cut. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from audiosocket_gw.redaction import ESCAPED, mask_secrets

VALUE_LIMIT = 200
"""Longest value from others, in characters."""

SENTENCE_LIMIT = 500
"""Longest sentence with values from others, and longest line of another library, in characters."""

WINDOW = 512
"""Characters beyond the limit that are also masked: the cut must not remove the half that identifies a
secret."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of this package with values from others: the log shows `SENTENCE_LIMIT` characters of it."""

    text: str

    def __str__(self) -> str:
        return self.text


def fit(text: str, limit: int = VALUE_LIMIT, *, numbers: bool = False) -> str:
    """Return ``text`` for the log: printable, one line, at most ``limit`` characters and a note on the rest.

    Secrets are masked, and so are the digits of what may be a telephone number, unless ``numbers`` is true.
    What an operator needs stays: addresses, ports, dates, UUIDs, the ids of agents and conversations,
    fractions, and channels except for a number that is their name.
    """
    shown = mask_secrets(text[: limit + WINDOW])
    if not numbers and NUMBER.search(shown):
        shown = _DIGITS.sub(_masked, shown)
    shown = escape(shown)
    if len(shown) <= limit and len(text) <= limit + WINDOW:
        return shown
    return f"{shown[:limit]}... ({len(text):,} characters)"


def escape(text: str) -> str:
    """Escape what isn't printable: line breaks, terminal commands, marks that reverse text."""
    return text if text.isprintable() else repr(text)[1:-1]


_BETWEEN = r"(?:[\s()/.+_\u00ad\u2010-\u2015\u2022\u200b-\u200f\u2060\ufeff-]" rf"|{ESCAPED})"
"""Between the digits of a number. Commas and colons are not: lists of figures, times, IPv6 addresses."""

NUMBER = re.compile(rf"\d(?:{_BETWEEN}{{0,3}}\d){{6,}}")
"""What may be a telephone number: seven digits or more, with or without separators."""

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?![0-9])"

_DIGITS = re.compile(
    r"(?<![0-9A-Za-z])(?:"
    r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"  # a UUID
    r"|[A-Za-z]{2,20}_(?=[0-9]*[A-Za-z])[0-9A-Za-z]{16,}"  # conv_01jz8k4r5ef9vbsm2v7xq9d0an
    r"|(?=[0-9]*[a-f])[0-9a-f]{16,}"  # an id in hexadecimal digits
    r"|(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-[0-3][0-9](?![0-9])"  # 2026-11-25T12:00:00.000
    r"(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)?"
    r"|\d{8}T\d{6}\.\d{3}Z"  # start of the name of a recording
    rf"|{_OCTET}(?:\.{_OCTET}){{3}}(?!\.)(?::\d{{1,5}}(?!\d)|/\d{{1,2}}(?!\d))?"  # 192.168.100.200:40000
    r"|(?P<channel>(?:PJSIP|SIP|IAX2|DAHDI|SCCP|Local)/[\w.@+-]{1,80}-)0[0-9a-f]{7}(?:;[12])?(?!@)"
    r"|(?:0|1\d{9})\.\d{1,9}(?![.\d])"  # a fraction, Asterisk's id of a channel
    rf")(?![0-9A-Za-z])|(?P<number>{NUMBER.pattern})"
)
"""Numbers that an operator needs, which stay, or what may be a telephone number, whose digits become
``#``."""


def _masked(found: re.Match[str]) -> str:
    if found["number"]:
        return _hidden(found)
    if found["channel"]:  # PJSIP/trunk-00000007: the name may be a number, the suffix isn't
        return NUMBER.sub(_hidden, found["channel"]) + found[0].removeprefix(found["channel"])
    return found[0]


def _hidden(found: re.Match[str]) -> str:
    return re.sub(r"\d", "#", found[0])
