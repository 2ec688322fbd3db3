"""Text as Asterisk writes it to the manager interface: its encoding, its escapes, and what it leaves raw.

Asterisk passes on the bytes that telephones and trunks send. Names of callers are escaped as in C
(``ast_escape_c``, in every release since June 2015). Values of channel variables aren't: a CR LF in one
begins a header of its own, and two of them end the message.
"""

from __future__ import annotations

import re

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {
    character: character for character in "\\'\"?"
}
_ESCAPED = re.compile(r"\\([abfnrtv\\'\"?])")

_LATIN_LEADS = frozenset({0xC3, 0xC4, 0xC5})
"""The first byte of a letter such as ü, č or ł in UTF-8. In cp1252 it is Ã, Ä or Å: hardly a name's last."""

WITHHELD = frozenset(
    {"anonymous", "restricted", "unavailable", "private", "withheld", "unknown", "<unknown>", "(null)"}
)
"""What stands in place of a number or a name that isn't told: by SIP (RFC 3323), by trunks, by Asterisk."""


def decoded(block: bytes) -> str:
    """Return the text: UTF-8, and each line that isn't as Windows' Latin-1 (cp1252)."""
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
    """Tell whether it is UTF-8 whose last character isn't all there, rather than Latin-1."""
    if error.reason != "unexpected end of data":
        return False
    tail = line[error.start :]
    return len(tail) > 1 or tail[0] in _LATIN_LEADS or not line[: error.start].isascii()


def unescaped(value: str) -> str:
    """Undo ``ast_escape_c``, once: a backslash that is part of the name survives."""
    return _ESCAPED.sub(lambda escape: _ESCAPES[escape[1]], value)


def shown(value: str) -> str:
    """Return a caller's number or name, or nothing when it is withheld."""
    return "" if value.strip().casefold() in WITHHELD else value


def is_presented(presentation: str) -> bool:
    """Tell whether a number or name may be told: by ``CALLERID(num-pres)``, empty when it can't be asked."""
    return not presentation.startswith(("prohib", "unavailable"))


def without_cr(variable: str) -> str:
    """Return what to ask a `Status` for, to get the variable with each CR LF as LF.

    Asterisk undoes backslashes twice before the function looks at its second argument (measured on 22.10).
    ``REPLACE()`` is of func_strings. ``QUOTE()``, ``URIENCODE()`` and others would take a name for the value,
    and ``EVAL()`` around them needs write=system.
    """
    return rf"REPLACE({variable},\\\\r)"


def as_answered(question: str) -> str:
    """Return how a `Status` names what it was asked for: with backslashes undone once."""
    return question.replace("\\\\", "\\")
