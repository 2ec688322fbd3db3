"""Reads JSON that may be damaged, or that others have written. Pure."""

from __future__ import annotations

import json
from typing import Any


def json_object(text: bytes) -> dict[str, Any] | None:
    """Return a JSON object; None if it isn't one, as the last line of a file may be incomplete."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
