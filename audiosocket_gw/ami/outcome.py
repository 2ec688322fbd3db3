"""What became of an action that was sent to Asterisk, for those who count. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class ActionOutcome(StrEnum):
    """What became of an action."""

    OK = "ok"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    """The connection was lost first, or the answer was unusable."""


OnAction = Callable[[str, ActionOutcome, float], None]
"""Receives the name of each action that is over, its outcome, and how many seconds it took."""
