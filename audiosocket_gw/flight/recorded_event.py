"""The events of a call, read back from a flight recording. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, get_args, get_type_hints
from uuid import UUID

from audiosocket_gw import events
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.flight.format import Event
from audiosocket_gw.flight.recorded_cause import read_cause

LARGEST = 2**53
"""Numbers beyond it didn't come from a call."""


def read_event(recorded: Event, uuid: UUID) -> events.CallEvent | None:
    """Return the event of the call ``uuid``, at seconds since its start, with its texts as they are masked.

    Return None if this gateway doesn't know the event, or a field has another type: the recording is of
    another version. A field that the recording lacks has its default, if there is one; one that this gateway
    doesn't know is ignored.
    """
    kind = _kinds().get(recorded.name)
    if kind is None:
        return None
    at = recorded.at_us / 1e6
    found = dict(recorded.fields)
    if kind is events.CallEnded:
        found["end"] = _read_end(found)
    types, required = _fields(recorded.name)
    values = {}
    for name, wanted in types.items():
        if name in found:
            try:
                values[name] = _read(found[name], wanted)
            except ValueError:
                return None
        elif name in required:
            return None
    return kind(uuid, at, **values)


@cache
def _kinds() -> Mapping[str, type[events.CallEvent]]:
    return {kind.__name__: kind for kind in events.CallEvent.__subclasses__()}


@cache
def _fields(name: str) -> tuple[Mapping[str, Any], frozenset[str]]:
    """Return the types of an event's fields that are recorded, and the names of those without a default."""
    kind = _kinds()[name]
    hints = get_type_hints(kind)
    own = [field for field in fields(kind) if field.name not in ("uuid", "at")]
    return (
        {field.name: hints[field.name] for field in own},
        frozenset(field.name for field in own if field.default is MISSING),
    )


def _read(value: Any, wanted: Any) -> Any:
    """Return a value after JSON as the type that it had before.

    Raises:
        ValueError: it has another type.
    """
    if isinstance(wanted, UnionType):  # X | None
        return None if value is None else _read(value, get_args(wanted)[0])
    if isinstance(wanted, type) and issubclass(wanted, StrEnum):
        return wanted(value)
    if wanted in (int, float):
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST:
            return wanted(value)
    elif isinstance(value, wanted):
        return value
    raise ValueError(f"{value!r:.40} is not a {wanted.__name__}")


def _read_end(found: Mapping[str, Any]) -> CallEnd | None:
    reason = found.get("reason")
    if not isinstance(reason, str) or reason not in set(EndReason):
        return None
    return CallEnd(EndReason(reason), read_cause(found.get("cause"), str(found.get("detail") or "")))
