"""Waits that end, and say what they saw when what they wait for doesn't come."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = float(os.environ.get("AUDIOSOCKET_GW_TEST_PATIENCE", "1"))
"""Factor on every limit of the tests, for slow machines."""

WAIT_LIMIT_S = 30.0


async def until(
    condition: Callable[[], T],
    saw: Callable[[], object],
    *,
    limit_s: float = WAIT_LIMIT_S,
    every_s: float = 0.005,
) -> T:
    """Wait until ``condition`` returns something true, and return that.

    Args:
        condition: looked at every ``every_s`` seconds of the loop's clock.
        saw: says what there is instead, for the message of the failure.
        limit_s: seconds of real time, also where the loop's clock is virtual; scaled by `PATIENCE`.

    Raises:
        AssertionError: it didn't come true within the limit.
    """
    limit_s *= PATIENCE
    deadline = time.monotonic() + limit_s
    try:
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited {limit_s:g} s; there is only: {saw()}"
            await asyncio.sleep(every_s)
    except asyncio.CancelledError as cancelled:  # the limit of the whole test
        cancelled.add_note(f"waited for what did not come; there was only: {saw()}")
        raise
    return found
