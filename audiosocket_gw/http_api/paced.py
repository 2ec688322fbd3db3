"""Long work in short steps: the event loop sends frames in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

STEP_S = 0.001
"""Length of a step: a twentieth of a tick."""

REST_S = 0.004
"""Time between two steps. So work of this kind takes a fifth of the thread at most."""

T = TypeVar("T")
R = TypeVar("R")


async def map_in_steps(function: Callable[[T], R], values: Iterable[T]) -> list[R]:
    """Return ``function`` of each value."""
    clock = asyncio.get_running_loop().time
    results: list[R] = []
    ends_at = clock() + STEP_S
    for value in values:
        if clock() >= ends_at:
            await asyncio.sleep(REST_S)
            ends_at = clock() + STEP_S
        results.append(function(value))
    return results
