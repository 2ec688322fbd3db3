"""The list of all channels of a PBX, shared by those who ask for it: at most one a second.

A list of 400 channels costs Asterisk and the gateway milliseconds, and anyone who can connect causes one by
sending a UUID that Asterisk doesn't know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from audiosocket_gw.errors import ControlError

INTERVAL_S = 1.0
"""The least time between the beginnings of two lists."""


class SharedListing:
    """Runs ``list_channels`` for all who ask, and lets them wait for its next run.

    A run that has begun serves only those who asked before: a later channel may be missing from it.
    """

    def __init__(self, list_channels: Callable[[], Awaitable[None]]) -> None:
        self._list_channels = list_channels
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._next_at = 0.0

    async def run(self) -> None:
        """Wait until the list has been read, by a run that began after this call.

        Raises:
            ControlError: as ``list_channels``; or the client was closed.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._run_in_turn(self._running))
            self._next.add_done_callback(_retrieve)
        listing = self._next
        await asyncio.wait([listing])  # `await` would pass a cancellation on to all others who wait
        if listing.cancelled():
            raise ControlError("the gateway closed the connection")
        listing.result()

    def close(self) -> None:
        """Fail all who wait."""
        for listing in (self._running, self._next):
            if listing is not None:
                listing.cancel()

    async def _run_in_turn(self, previous: asyncio.Task[None] | None) -> None:
        clock = asyncio.get_running_loop().time
        if previous is not None:
            await asyncio.wait([previous])
        await asyncio.sleep(self._next_at - clock())
        self._running, self._next = self._next, None
        self._next_at = clock() + INTERVAL_S
        await self._list_channels()


def _retrieve(listing: asyncio.Task[None]) -> None:
    """Take the exception, since asyncio logs one that no one takes: those who waited may have gone."""
    if not listing.cancelled():
        listing.exception()
