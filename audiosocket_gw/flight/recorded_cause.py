"""What ended a call, as JSON in a flight recording, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args, get_type_hints

from audiosocket_gw.causes import Cause, StructuredCause

_KINDS: Mapping[str, type[StructuredCause]] = {kind.__name__: kind for kind in get_args(StructuredCause)}

_TYPES: Mapping[type, type | tuple[type, ...]] = {str: str, int: int, float: (int, float)}
"""Types after JSON: a whole number of seconds may come back as an integer."""


def cause_fields(cause: Cause) -> dict[str, Any] | None:
    """Return the cause as a JSON object; None for a text, which is recorded as the detail."""
    return None if isinstance(cause, str) else {"kind": type(cause).__name__, **asdict(cause)}


def read_cause(recorded: Any, detail: str) -> Cause:
    """Read the result of `cause_fields`.

    ``detail``, the same as a text, is returned for None, as an earlier gateway recorded it, and for a kind
    that this gateway doesn't know.
    """
    if not isinstance(recorded, dict):
        return detail
    fields = dict(recorded)
    kind = _KINDS.get(str(fields.pop("kind", "")))
    if kind is None:
        return detail
    types = get_type_hints(kind)
    if fields.keys() != types.keys() or not all(_is_a(fields[name], types[name]) for name in types):
        return detail
    return kind(**fields)


def _is_a(value: Any, wanted: type) -> bool:
    return isinstance(value, _TYPES[wanted]) and not isinstance(value, bool)
