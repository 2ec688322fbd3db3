"""Text from the manager interface: its encoding and its escapes.

Asterisk passes on the bytes that telephones and trunks send. Callers' names are escaped as in C
(``ast_escape_c``, in every release since June 2015). Values of channel variables aren't: a CR LF in one
starts a new header, and two end the message.
"""

from __future__ import annotations

import re

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {
    character: character for character in "\\'\"?"
}
_ESCAPED = re.compile(r"\\([abfnrtv\\'\"?])")

_LATIN_LEADS = frozenset({0xC3, 0xC4, 0xC5})
"""First bytes of letters such as ü, č or ł in UTF-8. In cp1252 they are Ã, Ä or Å, rarely the last letter of
a name."""

WITHHELD = frozenset(
    {"anonymous", "restricted", "unavailable", "private", "withheld", "unknown", "<unknown>", "(null)"}
)
"""Placeholders for a withheld number or name: of SIP (RFC 3323), trunks, and Asterisk."""


def decoded(block: bytes) -> str:
    """Decode text as UTF-8, and lines that aren't UTF-8 as Windows' Latin-1 (cp1252)."""
    try:
        return block.decode()
    except UnicodeDecodeError:
        return "\r\n".join(map(_decoded_line, block.split(b"\r\n")))


def _decoded_line(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        if _is_cut(line, error):
            return line[: error.start].decode()
        return line.decode("cp1252", errors="replace")


def _is_cut(line: bytes, error: UnicodeDecodeError) -> bool:
    """Return whether it is UTF-8 with an incomplete last character, rather than Latin-1."""
    if error.reason != "unexpected end of data":
        return False
    tail = line[error.start :]
    return len(tail) > 1 or tail[0] in _LATIN_LEADS or not line[: error.start].isascii()


def unescaped(value: str) -> str:
    """Undo ``ast_escape_c`` once: a backslash that is part of the name remains."""
    return _ESCAPED.sub(lambda escape: _ESCAPES[escape[1]], value)


def shown(value: str) -> str:
    """Return a caller's number or name, or an empty text if it is withheld."""
    return "" if value.strip().casefold() in WITHHELD else value


def is_presented(presentation: str) -> bool:
    """Return whether a number or name may be shown, by ``CALLERID(num-pres)``, which is empty if
    unavailable.
    """
    return not presentation.startswith(("prohib", "unavailable"))


def without_cr(variable: str) -> str:
    """Return the expression for a `Status` that gives the variable with each CR LF as LF.

    Asterisk removes backslashes twice before the function reads its second argument (measured on 22.10).
    ``REPLACE()`` is in func_strings. ``QUOTE()``, ``URIENCODE()`` and others would take the name as the
    value, and ``EVAL()`` around them needs write=system.
    """
    return rf"REPLACE({variable},\\\\r)"


def as_answered(question: str) -> str:
    """Return how a `Status` names the expression: with backslashes removed once."""
    return question.replace("\\\\", "\\")
