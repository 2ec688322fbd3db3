"""Tools as no one should write them."""

import asyncio
import os
import time
from contextlib import suppress

from audiosocket_gw.tools import ToolContext

HANGS_S = 20

HUGE = "x" * 100_000_000


async def hang_in_a_thread() -> str:
    """Wait in a thread."""
    await asyncio.to_thread(time.sleep, HANGS_S)
    return "done"


async def hang_in_a_request(context: ToolContext, url: str) -> str:
    """Wait for a server that doesn't answer.

    Args:
        url: Where it is.
    """
    return (await context.http.get(url)).text


async def ask(context: ToolContext, url: str) -> str:
    """Ask a server that does answer.

    Args:
        url: Where it is.
    """
    return (await context.http.get(url)).text


async def stubborn() -> str:
    """Swallow the cancellation."""
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(HANGS_S)


async def huge() -> str:
    """Return 100 MB."""
    return HUGE


async def block() -> None:
    """Block the event loop."""
    time.sleep(HANGS_S)  # noqa: ASYNC251 - as no one should


async def crash() -> None:
    """End the process."""
    os._exit(3)
