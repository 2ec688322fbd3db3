"""Text as HTML. Everything on a page goes through here: what others wrote never becomes markup. Pure."""

from __future__ import annotations

import re
from html import escape

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Characters that HTML or UTF-8 doesn't have."""

_CODE = re.compile(r"`([^`]+)`")


def plain(text: str) -> str:
    """Return a text as HTML, also for an attribute in quotes."""
    return escape(_CONTROLS.sub("\ufffd", text))


def foreign(text: str) -> str:
    """Return somebody else's text as HTML: its direction, or marks that reverse text, end with it."""
    return f"<bdi>{plain(text)}</bdi>"


def with_code(text: str) -> str:
    """Return a text of this package as HTML, with what is in backticks as code."""
    return _CODE.sub(r"<code>\1</code>", plain(text))


def clock(seconds: float, *, digits: int = 1) -> str:
    """Return a time since the start: ``1:05.3``, or ``1:01:05.3`` in a long call."""
    whole = round(seconds * 10**digits)
    minutes, rest = divmod(whole, 60 * 10**digits)
    shown = f"{rest / 10**digits:0{3 + digits if digits else 2}.{digits}f}"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{shown}" if hours else f"{minutes}:{shown}"


def length(seconds: float) -> str:
    """Return a duration in words: ``18.1 s``, ``5 min 12 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def number(value: float) -> str:
    """Return a coordinate: at most one digit after the point, without zeros."""
    return f"{value:.1f}".removesuffix(".0")
