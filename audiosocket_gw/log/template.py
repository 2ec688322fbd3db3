"""The template of a log line: its call, and the values that it names. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

PLACEHOLDER = re.compile(r"%(?:%|(?:\(\w+\))?[-#0 +.\d*]*[a-zA-Z])")

CALL_PREFIX = "call %s: "
"""How the template of a line about a call begins; the first value is its UUID."""

_NAME = re.compile(r"\b([A-Za-z_]\w*)=$")


@lru_cache(1_024)
def named_values(template: str) -> tuple[tuple[str, int, str], ...]:
    """Return the values that the template names: name, position and placeholder.

    ``reason=%s duration_s=%.1f`` names two.
    """
    found = []
    position = end = 0
    for placeholder in PLACEHOLDER.finditer(template):
        if placeholder[0] == "%%":
            continue
        name = _NAME.search(template, end, placeholder.start())
        if name is not None:
            found.append((name[1], position, placeholder[0]))
        position, end = position + 1, placeholder.end()
    return tuple(found)


def fill(template: str, value: Callable[[], str]) -> str:
    """Replace the placeholders of a template by what ``value`` returns."""
    return PLACEHOLDER.sub(lambda found: "%" if found[0] == "%%" else value(), template)
