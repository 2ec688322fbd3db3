"""The result of a tool: text of limited length, whatever the function returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from audiosocket_gw.errors import ToolError, ToolFault

MAX_RESULT_CHARS = 8_000
"""About 2,000 tokens; longer results mainly slow the agent down."""

MAX_ENCODED = 2**20
"""Approximate size of the largest object that is converted to text, which blocks the calls for some
milliseconds."""

VALUE_SIZE = 16
"""What a value counts in addition to its characters."""

MAX_DEPTH = 256
"""More than can be converted: an object that contains itself is an error there."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The text for the agent: never empty, at most slightly longer than ``MAX_RESULT_CHARS``."""

    text: str
    is_error: bool
    fault: ToolFault = field(default=ToolFault.ERROR, compare=False)
    """Of an error: which."""

    @property
    def outcome(self) -> str:
        """What became of the tool call, in a word, for the log."""
        return self.fault.value if self.is_error else "ok"


def text_of(name: str, result: object) -> str:
    """Return what the tool ``name`` returned as text: text as it is, everything else as JSON.

    Raises:
        ToolError: it is too large; the message is for the agent.
    """
    if result is None:
        return ""
    if isinstance(result, str):
        return result
    if _is_large(result):
        raise ToolError(f"The result of {name} is far too large. Ask for less at a time.")
    return to_json(result).decode()


def agent_text(text: str, empty: str) -> str:
    """Return a text that can be sent: valid Unicode, of limited length, and ``empty`` if it is blank."""
    window = text[: 2 * MAX_RESULT_CHARS]
    shown = window.strip()
    more = len(shown if len(window) == len(text) else text) - MAX_RESULT_CHARS
    shown = shown[:MAX_RESULT_CHARS].encode(errors="replace").decode()
    if more > 0:
        return f"{shown} [cut here: {more} more characters; ask for less at a time]"
    return shown or empty


def _is_large(result: object) -> bool:
    """Return whether the result is larger than `MAX_ENCODED`, without looking at all of it."""
    size = 0
    waiting: list[Iterator[Any]] = [iter((result,))]
    while waiting:
        for value in waiting[-1]:
            size += VALUE_SIZE + (len(value) if isinstance(value, (str, bytes, bytearray)) else 0)
            if size > MAX_ENCODED:
                return True
            inner = _values_of(value)
            if inner is not None and len(waiting) < MAX_DEPTH:
                waiting.append(inner)
                break
        else:
            waiting.pop()
    return False


def _values_of(value: object) -> Iterator[Any] | None:
    match value:
        case str() | bytes() | bytearray() | int() | float() | None:
            return None
        case Mapping():
            return (part for item in value.items() for part in item)
        case BaseModel():
            return iter(value.__dict__.values())
        case list() | tuple() | set() | frozenset():
            return iter(value)
        case Iterator():
            raise TypeError("an iterator can't be a result: it may never end; return a list")
        case _ if is_dataclass(value):
            return (getattr(value, field.name) for field in fields(value))
        case _:
            return None
