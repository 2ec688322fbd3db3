"""How many runs of one tool may be in progress, in all calls together."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from audiosocket_gw.errors import ToolError, ToolFault
from audiosocket_gw.log.limit import ONCE
from audiosocket_gw.log.text import Sentence

logger = logging.getLogger("audiosocket_gw.tools")

UNSURE = (
    "Don't say that it worked. Tell the caller that it can't be done right now, and offer something else."
)
"""What the agent is told of every failure."""


class Places:
    """``limit`` places for the tool ``name``."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._taken = 0

    @contextmanager
    def taken(self, call: UUID) -> Iterator[None]:
        """Take a place while the context is open.

        Raises:
            ToolError: there is none; the message is for the agent.
        """
        if self._taken >= self._limit:
            raise busy(self._name, call, f"it runs {self._limit} times at once (TOOL_MAX_RUNNING)")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


def busy(name: str, call: UUID, why: str) -> ToolError:
    """Log why a tool isn't started; return the error for the agent."""
    logger.warning("call %s: tool %s was not started: %s", call, name, Sentence(why), extra=ONCE)
    return ToolError(f"{name} is busy. {UNSURE}", ToolFault.BUSY)
