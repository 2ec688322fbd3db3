"""Reports the end of a call to its dialplan, and makes no one wait for that without need."""

from __future__ import annotations

import asyncio

from audiosocket_gw.ami.result import CallResult
from audiosocket_gw.end_reasons import CallEnd


class EndReport:
    """The report of one call. ``result`` is None without a manager interface."""

    __slots__ = ("_late", "_result")

    def __init__(self, result: CallResult | None) -> None:
        self._result = result
        self._late: asyncio.Task[None] | None = None

    async def send(self, end: CallEnd, *, caller_present: bool) -> None:
        """Set the dialplan's result variables before the dialplan continues.

        Without a caller no one waits for them, and they needn't delay the agent's end: `finish` does.
        """
        if self._result is None or self._late is not None:
            return
        report = self._result.report(end.reason, caller_present=caller_present)
        if caller_present:
            await report
        else:
            self._late = asyncio.get_running_loop().create_task(report)

    async def finish(self) -> None:
        """Wait for a report that `send` didn't wait for."""
        if self._late is not None:
            await self._late
