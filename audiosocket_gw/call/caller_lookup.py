"""Asks Asterisk for the caller data and the caller's channel."""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from audiosocket_gw.ami.call_control import CallControl, CallerData
from audiosocket_gw.ami.result import CallResult
from audiosocket_gw.call.caller_data import caller_variables
from audiosocket_gw.call.caller_format import CallerFormatReport
from audiosocket_gw.call.screening import MATCH_S, NO_PBX, Screening
from audiosocket_gw.call.settings import CallSettings
from audiosocket_gw.elevenlabs.setup_steps import SetupSteps
from audiosocket_gw.errors import ControlError
from audiosocket_gw.events import CallerIdentified, Observer, SetupStep

logger = logging.getLogger("audiosocket_gw.call")

LOCATE_AGAIN_S = 5.0
"""Time after which Asterisk is asked again for an unknown channel."""


class CallerLookup:
    """The look-up of one call. ``control`` and ``result`` are None without a manager interface."""

    def __init__(
        self,
        uuid: UUID,
        control: CallControl | None,
        result: CallResult | None,
        settings: CallSettings,
        screening: Screening,
        steps: SetupSteps,
        emit: Observer,
    ) -> None:
        self._uuid = uuid
        self._control = control
        self._result = result
        self._settings = settings
        self._screening = screening
        self._steps = steps
        self._emit = emit

    async def run(self, tasks: asyncio.TaskGroup, caller_format: CallerFormatReport) -> dict[str, str]:
        """Return the dynamic variables of the call, with defaults where Asterisk doesn't answer in time.

        AVR_RESULT is preset as soon as the channel is known, also in a task of ``tasks``.
        """
        data = None
        if self._control is not None and self._result is not None:
            tasks.create_task(self._result.preset())
            with self._steps.timed(SetupStep.CALLER_DATA):
                data = await self._ask_in_time(tasks, self._control, self._result)
        else:
            self._screening.refuse(NO_PBX)
        caller_format.set_caller(data)
        return caller_variables(self._uuid, data, self._settings.call_variables)

    async def _ask_in_time(
        self, tasks: asyncio.TaskGroup, control: CallControl, result: CallResult
    ) -> CallerData | None:
        timeout_s, setting = self._settings.caller_data_timeout, " (CALLER_DATA_TIMEOUT)"
        if self._screening.needs_match and timeout_s < MATCH_S:
            timeout_s, setting = MATCH_S, ""
        asking = tasks.create_task(self._ask(tasks, control, result))
        await asyncio.wait([asking], timeout=timeout_s)
        if asking.done():
            return asking.result()
        # The task continues: `CallResult` needs the channel.
        reason = f"Asterisk gave no answer in {timeout_s:g} s{setting}"
        logger.warning("call %s: no caller data: %s", self._uuid, reason)
        self._screening.refuse(reason)
        return None

    async def _ask(
        self, tasks: asyncio.TaskGroup, control: CallControl, result: CallResult
    ) -> CallerData | None:
        try:
            data = await control.describe(self._uuid, list(self._settings.call_variables))
        except ControlError as error:
            logger.warning("call %s: no caller data: %s", self._uuid, error)
            self._screening.refuse(error)
            tasks.create_task(self._ask_again(control, result))
            return None
        self._screening.confirm()
        self._identify(control, result, data)
        return data

    async def _ask_again(self, control: CallControl, result: CallResult) -> None:
        """Find the channel once Asterisk knows it."""
        if control.connected:  # too slow, or Asterisk has not reported the channel yet
            await asyncio.sleep(LOCATE_AGAIN_S)
        await control.wait_until_connected()
        try:
            data = await control.describe(self._uuid)
        except ControlError as error:
            logger.info("call %s: its channel could not be found: %s", self._uuid, error)
        else:
            self._identify(control, result, data)

    def _identify(self, control: CallControl, result: CallResult, data: CallerData) -> None:
        result.locate(data)
        channel, now = data.channel, asyncio.get_running_loop().time()
        self._emit(
            CallerIdentified(
                self._uuid,
                now,
                control.host,
                channel.caller_number,
                channel.caller_name,
                channel.dialled_number,
                channel.name,
            )
        )
