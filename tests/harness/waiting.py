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


def shown(value: object) -> str:
    """Return a value for the message of a failure: of audio the length, the end of a long text."""
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes"
    return value[-4_000:] if isinstance(value, str) else repr(value)[:4_000]


async def until(
    look: Callable[[], T],
    suffices: Callable[[T], object] = bool,
    *,
    show: Callable[[T], str] = shown,
    limit_s: float = WAIT_LIMIT_S,
    every_s: float = 0.005,
) -> T:
    """Wait until what ``look`` returns suffices, and return it.

    Args:
        look: called every ``every_s`` seconds of the loop's clock.
        suffices: whether that is what the test waits for; any true value, unless given.
        show: says in the message of the failure what was seen last.
        limit_s: seconds of real time, also where the loop's clock is virtual; scaled by `PATIENCE`.

    Raises:
        AssertionError: nothing sufficed within the limit.
    """
    limit_s *= PATIENCE
    deadline = time.monotonic() + limit_s
    try:
        while not suffices(seen := look()):
            assert time.monotonic() < deadline, f"waited {limit_s:g} s; there is only: {show(seen)}"
            await asyncio.sleep(every_s)
    except asyncio.CancelledError as cancelled:  # the limit of the whole test
        cancelled.add_note(f"waited for what did not come; there was only: {show(seen)}")
        raise
    return seen
