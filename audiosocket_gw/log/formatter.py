"""Formats a log record as a line. Text from others is masked, escaped and cut here, and nowhere else."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from numbers import Number
from pathlib import PurePath
from typing import Any
from uuid import UUID

from audiosocket_gw.log.current_call import current_call
from audiosocket_gw.log.template import CALL_PREFIX, named_values
from audiosocket_gw.log.text import SENTENCE_LIMIT, VALUE_LIMIT, escape, fit
from audiosocket_gw.log.traceback_lines import text_of, traceback_lines

PACKAGE = "audiosocket_gw"

AUDIT = "audiosocket_gw.audit"
"""The audit log, whose purpose is to show transfer destinations: its numbers aren't masked."""


class LogFormat(StrEnum):
    """How a line is written."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log: everything in it may be shown.

    ``created``: in seconds since 1970. ``fields`` are the values that the message names, ``reason=...``.
    """

    created: float
    level: str
    logger: str
    message: str
    call: UUID | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    traceback: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: logging.LogRecord, *, with_fields: bool = True) -> Line:
        """Make a line of a record; ``with_fields``: they cost a third more.

        In a record of this package the template is trusted and the values are not. Numbers, UUIDs,
        enumerations and paths stay, strings are cut at `VALUE_LIMIT`, other objects (errors, events,
        `Sentence`) at `SENTENCE_LIMIT`. A record of another library is untrusted as a whole. A traceback
        keeps its line breaks; its error messages are untrusted.
        """
        traceback: list[str] = []
        if record.exc_info and record.exc_info[1] is not None:
            traceback += traceback_lines(record.exc_info[1])
        if record.stack_info:
            traceback += record.stack_info.splitlines()
        message, fields = _message(record, with_fields)
        return cls(
            record.created, record.levelname, record.name, message, call_of(record), fields, tuple(traceback)
        )

    @property
    def text(self) -> str:
        """``2026-11-25T12:00:00.000Z WARNING call ...: ...``, in UTC, and the lines of a traceback."""
        call = f"call {self.call}: " if self.call else ""
        return "\n".join((f"{self._time} {self.level} {call}{self.message}", *self.traceback))

    @property
    def json(self) -> str:
        """The same as one JSON object."""
        shown: dict[str, Any] = {"time": self._time, "level": self.level, "logger": self.logger}
        if self.call is not None:
            shown["call"] = str(self.call)
        shown["message"] = self.message
        if self.traceback:
            shown["traceback"] = "\n".join(self.traceback)
        for name, value in self.fields.items():
            shown.setdefault(name, value)
        return json.dumps(shown, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    @property
    def _time(self) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.created))
        return f"{seconds}.{int(self.created % 1 * 1000):03}Z"


class LineFormatter(logging.Formatter):
    """Formats records as lines, in one of the formats."""

    def __init__(self, log_format: LogFormat = LogFormat.TEXT) -> None:
        super().__init__()
        self.log_format = log_format

    def format(self, record: logging.LogRecord) -> str:
        return self.write(Line.of(record, with_fields=self.log_format is LogFormat.JSON))

    def write(self, line: Line) -> str:
        """Return the line in the format that is set."""
        return line.json if self.log_format is LogFormat.JSON else line.text


def is_ours(logger: str) -> bool:
    return logger == PACKAGE or logger.startswith(f"{PACKAGE}.")


def call_of(record: logging.LogRecord) -> UUID | None:
    """Return the call that the record is about.

    It is what ``extra={"call": ...}`` says, or the first value of a template with `CALL_PREFIX`, or the call
    that the running code works for.
    """
    given: UUID | None = getattr(record, "call", None)
    if given is not None:
        return given
    first = _first_value(record)
    return first if isinstance(first, UUID) and _names_call(record) else current_call()


def _names_call(record: logging.LogRecord) -> bool:
    return is_ours(record.name) and str(record.msg).startswith(CALL_PREFIX)


def _first_value(record: logging.LogRecord) -> object:
    return record.args[0] if isinstance(record.args, tuple) and record.args else None


def _message(record: logging.LogRecord, with_fields: bool) -> tuple[str, Mapping[str, Any]]:
    """Return the message without the call's UUID, and the values that it names."""
    if not is_ours(record.name):
        return fit(f"{record.name}: {record.getMessage()}", SENTENCE_LIMIT), {}
    numbers = record.name == AUDIT
    template, args = str(record.msg), record.args
    if isinstance(args, Mapping):
        return escape(template % {name: _shown(value, numbers) for name, value in args.items()}), {}
    if not args:
        return escape(template), {}
    if isinstance(args[0], UUID) and _names_call(record):
        template, args = template.removeprefix(CALL_PREFIX), args[1:]
    values = [_shown(value, numbers) for value in args]
    named = named_values(template) if with_fields else ()
    fields = {name: _field(how, values[place]) for name, place, how in named}
    return escape(template % tuple(values)), fields


def _field(placeholder: str, value: object) -> Any:
    """Return a value as it is in JSON: numbers as the template rounds them, everything else as text."""
    if value is None:
        return None
    shown = escape(placeholder % (value,))
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return shown
    if placeholder[-1] in "di":
        return int(value)
    return float(shown) if placeholder[-1] in "feg" else value


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
        return fit(text_of(self._value), self._limit, numbers=self._numbers)

    def __repr__(self) -> str:
        shown = str(self)
        return repr(shown) if isinstance(self._value, str) else shown
