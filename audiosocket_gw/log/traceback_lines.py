"""A traceback as lines of bounded number and length; its error messages are text from others."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from audiosocket_gw.log.text import SENTENCE_LIMIT, escape, fit

MAX_FRAMES = 30
MAX_CHAIN = 10
"""Limits of a traceback: functions, and chained or grouped errors."""


def traceback_lines(error: BaseException) -> Iterator[str]:
    """Yield the lines of a traceback, preceded by those of its causes, the earliest first."""
    yield from _chain(error, set())


def text_of(value: object) -> str:
    """Return ``str(value)``, whatever it raises."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 (whatever somebody's __str__ raises)
        return f"<{type(value).__qualname__} that can't be shown: {type(error).__name__}>"


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
    yield f"{type(error).__qualname__}: {fit(text_of(error), SENTENCE_LIMIT)}"
    for note in getattr(error, "__notes__", ()):
        yield fit(text_of(note), SENTENCE_LIMIT)
    if isinstance(error, BaseExceptionGroup):
        for number, part in enumerate(error.exceptions, 1):
            yield f"Error {number} of {len(error.exceptions)}:"
            yield from _chain(part, seen)


def _frames(error: BaseException) -> Iterator[str]:
    yield "Traceback (most recent call last):"
    for entry in traceback.format_tb(error.__traceback__, -MAX_FRAMES):
        yield from (escape(line) for line in entry.splitlines())
