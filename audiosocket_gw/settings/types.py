"""Types of the variables: how the text of each becomes a value."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

QUOTES = frozenset({'""', "''", "``", "\u201c\u201d", "\u2018\u2019"})
"""Pairs of quotes around a value."""


class AgentKind(StrEnum):
    """Who answers the calls."""

    ELEVENLABS = "elevenlabs"
    SIMULATOR = "simulator"


class LogLevel(StrEnum):
    """The least severe messages that are logged; ``debug`` includes what is said: not for production."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def read_by(parse: Callable[[str], Any]) -> BeforeValidator:
    """Return a validator that parses text, and leaves a value that isn't text as it is."""
    return BeforeValidator(lambda value: parse(value) if isinstance(value, str) else value)


def _parse_names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _parse_number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


AnyCase = read_by(str.lower)
Names = Annotated[tuple[str, ...], NoDecode, read_by(_parse_names)]
Milliseconds = read_by(_parse_number)
