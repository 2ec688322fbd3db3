"""Formats a log record as a line. Text from others is masked, escaped and cut here, and nowhere else."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator, Mapping
from enum import Enum
from numbers import Number
from pathlib import PurePath
from uuid import UUID

from audiosocket_gw.log.text import SENTENCE_LIMIT, VALUE_LIMIT, escape, fit

PACKAGE = "audiosocket_gw"

AUDIT = "audiosocket_gw.audit"
"""The audit log, whose purpose is to show transfer destinations: its numbers aren't masked."""

MAX_FRAMES = 30
MAX_CHAIN = 10
"""Limits of a traceback: functions, and chained or grouped errors."""


class LineFormatter(logging.Formatter):
    """``2026-11-25T12:00:00.000Z WARNING ...``, in UTC.

    In a line of this package the template is trusted and the values are not. Numbers, UUIDs, enumerations and
    paths stay, strings are cut at `VALUE_LIMIT`, other objects (errors, events, `Sentence`) at
    `SENTENCE_LIMIT`. A line of another library is untrusted as a whole. A traceback keeps its line breaks;
    its error messages are untrusted.
    """

    def format(self, record: logging.LogRecord) -> str:
        lines = [stamped(record.created, record.levelname, _message(record))]
        if record.exc_info and record.exc_info[1] is not None:
            lines += traceback_lines(record.exc_info[1])
        if record.stack_info:
            lines += record.stack_info.splitlines()
        return "\n".join(lines)


def stamped(created: float, level: str, message: str) -> str:
    """Prefix the message with the time, in seconds since 1970, and the level."""
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(created))
    return f"{seconds}.{int(created % 1 * 1000):03}Z {level} {message}"


def is_ours(logger: str) -> bool:
    return logger == PACKAGE or logger.startswith(f"{PACKAGE}.")


def _message(record: logging.LogRecord) -> str:
    if not is_ours(record.name):
        return fit(f"{record.name}: {record.getMessage()}", SENTENCE_LIMIT)
    numbers = record.name == AUDIT
    template = str(record.msg)
    if isinstance(record.args, Mapping):
        message = template % {name: _shown(value, numbers) for name, value in record.args.items()}
    elif record.args:
        message = template % tuple([_shown(value, numbers) for value in record.args])
    else:
        message = template
    return escape(message)


def _shown(value: object, numbers: bool) -> object:
    if isinstance(value, (int, float, UUID, Enum, Number, PurePath, type(None))):
        return value
    return _Foreign(value, numbers)


class _Foreign:
    """Wraps a value that the log may show only in part."""

    __slots__ = ("_limit", "_numbers", "_value")

    def __init__(self, value: object, numbers: bool) -> None:
        self._value = value
        self._numbers = numbers
        is_value = isinstance(value, (str, bytes)) and not numbers
        self._limit = VALUE_LIMIT if is_value else SENTENCE_LIMIT

    def __str__(self) -> str:
        return fit(_text_of(self._value), self._limit, numbers=self._numbers)

    def __repr__(self) -> str:
        shown = str(self)
        return repr(shown) if isinstance(self._value, str) else shown


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 (whatever somebody's __str__ raises)
        return f"<{type(value).__qualname__} that can't be shown: {type(error).__name__}>"


def traceback_lines(error: BaseException) -> Iterator[str]:
    """Yield the lines of a traceback, preceded by those of its causes, the earliest first."""
    yield from _chain(error, set())


def _chain(error: BaseException, seen: set[int]) -> Iterator[str]:
    if id(error) in seen or len(seen) >= MAX_CHAIN:
        return
    seen.add(id(error))
    cause = error.__cause__
    origin = error.__context__ if cause is None and not error.__suppress_context__ else cause
    if origin is not None:
        yield from _chain(origin, seen)
        yield "While that was handled:" if cause is None else "Which led to:"
    yield from _frames(error)
    yield f"{type(error).__qualname__}: {fit(_text_of(error), SENTENCE_LIMIT)}"
    for note in getattr(error, "__notes__", ()):
        yield fit(_text_of(note), SENTENCE_LIMIT)
    if isinstance(error, BaseExceptionGroup):
        for number, part in enumerate(error.exceptions, 1):
            yield f"Error {number} of {len(error.exceptions)}:"
            yield from _chain(part, seen)


def _frames(error: BaseException) -> Iterator[str]:
    yield "Traceback (most recent call last):"
    for entry in traceback.format_tb(error.__traceback__, -MAX_FRAMES):
        yield from (escape(line) for line in entry.splitlines())
