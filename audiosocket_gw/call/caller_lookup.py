"""Asks Asterisk who is calling, and where the caller's channel is."""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from audiosocket_gw.ami.call_control import CallControl, CallerData
from audiosocket_gw.ami.result import CallResult
from audiosocket_gw.call.settings import CallSettings
from audiosocket_gw.errors import ControlError

logger = logging.getLogger("audiosocket_gw.call")

LOCATE_AGAIN_S = 5.0
"""When an Asterisk that could not tell the caller's channel is asked for the second time."""


class CallerLookup:
    """The look-up of one call. Its tasks are those of the call."""

    def __init__(self, uuid: UUID, control: CallControl, result: CallResult, settings: CallSettings) -> None:
        self._uuid = uuid
        self._control = control
        self._result = result
        self._settings = settings

    async def run(self, tasks: asyncio.TaskGroup) -> CallerData | None:
        """Return who is calling; None when Asterisk doesn't say in time (``CALLER_DATA_TIMEOUT``).

        Presets AVR_RESULT as soon as the channel is known.
        """
        timeout_s = self._settings.caller_data_timeout
        tasks.create_task(self._result.preset())
        asking = tasks.create_task(self._ask(tasks))
        await asyncio.wait([asking], timeout=timeout_s)
        if asking.done():
            return asking.result()
        # The task goes on: `CallResult` needs the channel.
        reason = f"no answer in {timeout_s:g} s (CALLER_DATA_TIMEOUT)"
        logger.warning("call %s: no caller data: %s", self._uuid, reason)
        return None

    async def _ask(self, tasks: asyncio.TaskGroup) -> CallerData | None:
        try:
            data = await self._control.describe(self._uuid, list(self._settings.call_variables))
        except ControlError as error:
            logger.warning("call %s: no caller data: %s", self._uuid, error)
            tasks.create_task(self._ask_again())
            return None
        self._result.locate(data)
        return data

    async def _ask_again(self) -> None:
        """Find the channel when Asterisk can tell."""
        if self._control.connected:  # it was too slow, or Asterisk has not told of the channel yet
            await asyncio.sleep(LOCATE_AGAIN_S)
        await self._control.wait_until_connected()
        try:
            self._result.locate(await self._control.describe(self._uuid))
        except ControlError as error:
            logger.info("call %s: its channel could not be found: %s", self._uuid, error)
