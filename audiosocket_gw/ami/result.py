"""The result of a call for its dialplan: ``AVR_RESULT`` and ``AVR_REASON`` on the caller's channel.

A killed process can't report its end. So the variables say ``gateway-lost`` from the start
(`CallResult.preset`), and every orderly end overwrites that.

The order of the two values is safe: Asterisk carries out the actions of one AMI connection in their order,
actions are written in the order in which they were requested, and the preset is requested only while no end
is known.
"""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from audiosocket_gw.ami.call_control import CallControl, CallerData
from audiosocket_gw.ami.caller_channel import CallerChannel
from audiosocket_gw.ami.connection import AmiActionError
from audiosocket_gw.ami.dialplan import DialplanLine
from audiosocket_gw.ami.registry import uuids_named_by
from audiosocket_gw.end_reasons import EndReason, result_of
from audiosocket_gw.errors import ControlError, reason_of

logger = logging.getLogger("audiosocket_gw.ami")

REPORT_S = 1.0
"""How long the end of a call waits for an Asterisk that doesn't answer."""

PRESET_AGAIN_S = 0.5
"""Time before the preset is tried again, if Asterisk didn't answer."""


class CallResult:
    """The two variables of one call. Each takes one AMI action to preset, and one at the end of the call.

    If the caller has gone, one more action first asks for the channel's state; usually it has hung up.
    """

    def __init__(self, control: CallControl, uuid: UUID) -> None:
        self._control = control
        self._uuid = uuid
        self._channel = ""
        self._line: DialplanLine | None = None
        self._located = asyncio.Event()
        self._reason: EndReason | None = None
        self._confirmed: EndReason | None = None
        self._superseded = False

    def locate(self, data: CallerData) -> None:
        """Set the caller's channel, and the dialplan line that called the gateway."""
        self._channel = data.channel.name
        self._line = data.line
        self._located.set()

    async def preset(self) -> None:
        """Set ``error`` and ``gateway-lost`` as soon as the channel is known, unless the end is known."""
        await self._located.wait()
        while self._reason is None:
            try:
                await self._control.set_variables_on(self._channel, variables_of(EndReason.GATEWAY_LOST))
            except AmiActionError as refusal:
                logger.info("call %s: a crash would leave AVR_RESULT empty: %s", self._uuid, refusal)
                return
            except ControlError:  # no answer, or no connection: the call may outlast that
                await asyncio.sleep(PRESET_AGAIN_S)
                await self._control.wait_until_connected()
            else:
                return

    async def set_reason(self, reason: EndReason, channel: CallerChannel | None = None) -> None:
        """Set the variables to the end that the call is about to have.

        ``channel``: the caller's, if it was just located. Without it the variables are set on the channel
        that `locate` named; if that no longer exists, Asterisk is asked for the caller's present one.

        Raises:
            ControlError: Asterisk could not set them.
        """
        if self._confirmed is reason or self._superseded:
            return
        self._reason, self._confirmed = reason, None
        variables = variables_of(reason)
        if channel is not None:
            await channel.set_variables(variables)
        elif not self._channel or not await self._control.set_variables_on(self._channel, variables):
            await (await self._control.locate(self._uuid)).set_variables(variables)
        self._confirmed = reason

    async def withdraw(self, reason: EndReason) -> None:
        """Preset again, if ``reason`` was set last: the call continues."""
        if self._reason is reason and not self._superseded:
            self._reason = self._confirmed = None
            await self.preset()

    async def report(self, reason: EndReason, *, caller_present: bool) -> None:
        """Set the variables at the end of the call, within `REPORT_S`; log a failure."""
        try:
            async with asyncio.timeout(REPORT_S):
                if self._channel:  # there is a preset to replace, and a lost connection may be back at once
                    await self._control.wait_until_connected()
                if caller_present:
                    await self.set_reason(reason)
                else:
                    await self._overwrite_preset(reason)
        except (ControlError, TimeoutError) as error:
            logger.warning(
                "call %s: AVR_RESULT could not be set: %s; the dialplan sees the preset, if any",
                self._uuid,
                reason_of(error, f"no {self._missing} in {REPORT_S:g} s"),
            )

    def supersede(self) -> None:
        """Set nothing more: the caller's channel is in a new call with the same UUID."""
        self._superseded = True
        self._reason = self._reason or EndReason.CALLER_HANGUP  # no preset either

    def close(self) -> None:
        """Drop the caller's channel after the end of the call, unless a new call has it."""
        if not self._superseded:
            self._control.forget(self._uuid)

    @property
    def _missing(self) -> str:
        return "answer" if self._control.connected else "connection to the manager interface"

    async def _overwrite_preset(self, reason: EndReason) -> None:
        """Overwrite the preset on a channel that has left the gateway, unless it is in another call."""
        before, self._reason = self._reason, reason
        if before is not reason and self._channel and await self._is_ours(before or EndReason.GATEWAY_LOST):
            await self.set_reason(reason)

    async def _is_ours(self, last_set: EndReason) -> bool:
        """Return whether the channel still has our values, and no other call has it."""
        state = await self._control.state_of(self._channel, ("AVR_REASON",))
        if state is None:
            return False
        executed = (state.application, state.data)
        if self._line is not None and executed == (self._line.application, self._line.data):
            return True
        return not uuids_named_by(*executed) and state.variables["AVR_REASON"] == last_set


def variables_of(reason: EndReason) -> dict[str, str]:
    """Return the channel variables for an end of this reason."""
    return {"AVR_RESULT": result_of(reason), "AVR_REASON": reason.value}
