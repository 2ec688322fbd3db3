"""The caller's channel: found by the UUID of the call, then redirected or hung up.

The registry may be out of date, and then another caller would be moved. So one `Status` checks that the
channel is still in the call before anything is done to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from uuid import UUID

from audiosocket_gw.ami.channel_state import ChannelActions
from audiosocket_gw.ami.client import AmiClient
from audiosocket_gw.ami.dialplan import check_destination, executed
from audiosocket_gw.ami.registry import Channel, Headers, uuids_named_by
from audiosocket_gw.errors import ControlError, UnknownCallError

logger = logging.getLogger("audiosocket_gw.ami")

LANDING_POLL_S = 0.05

NORMAL_CLEARING = "16"
"""The cause of a hang-up, by Q.850."""


class CallerChannel:
    """The channel that was in the call at the time of the `Status`. Use it at once: it may leave at any time.

    ``name`` is Asterisk's (``PJSIP/100-00000001``).
    """

    def __init__(self, channels: ChannelActions, uuid: UUID, status: Headers) -> None:
        self.name = status["Channel"]
        self._channels = channels
        self._uuid = uuid
        self._executed = executed(status)

    async def set_variables(self, variables: Mapping[str, str]) -> None:
        """Set variables for the dialplan, which continues.

        Raises:
            ControlError: a name or value can't be set, the caller has hung up, or Asterisk refused.
        """
        if not await self._channels.set_variables(self.name, variables):
            raise ControlError(f"the channel {self.name} of the call {self._uuid} has just hung up")

    async def redirect(self, context: str, extension: str, priority: int | str = 1) -> None:
        """Redirect the caller to an extension, and return when the channel has arrived.

        Send audio on the AudioSocket connection until Asterisk closes it: if the gateway closed it first, the
        old dialplan would continue.

        Raises:
            ControlError: Asterisk rejected it, or the channel didn't arrive; the message says whether the
            caller has hung up.
        """
        check_destination(context, extension, priority)
        await self._channels.perform(
            "Redirect",
            {"Channel": self.name, "Context": context, "Exten": extension, "Priority": str(priority)},
        )
        destination = f"{extension}@{context}"
        landing_s = self._channels.timing.landing_s
        try:
            async with asyncio.timeout(landing_s):
                await self._wait_for_landing(destination)
        except TimeoutError:
            raise ControlError(
                f"redirected, but the caller did not reach {destination} within {landing_s:g} s"
            ) from None

    async def hang_up(self) -> None:
        """Hang the caller up.

        Raises:
            ControlError: the caller has hung up, or Asterisk refused.
        """
        await self._channels.perform("Hangup", {"Channel": self.name, "Cause": NORMAL_CLEARING})

    async def _wait_for_landing(self, destination: str) -> None:
        """Wait until the channel executes something else, at the new place."""
        while (status := await self._channels.status(self.name)) is not None:
            # Between two applications it executes nothing, or again the application that called
            # AudioSocket().
            application, data = executed(status)
            has_left = (application, data) != self._executed
            if application and has_left and self._uuid not in uuids_named_by(application, data):
                _check_landing(status, destination)
                return
            await asyncio.sleep(LANDING_POLL_S)
        raise ControlError(
            f"the caller was hung up on the way to {destination}: Asterisk found nothing to execute there, "
            "or it ended at once"
        )


class ChannelFinder:
    """Finds the channel that has a call, by the registry's hint or by listing all channels."""

    def __init__(self, client: AmiClient, channels: ChannelActions) -> None:
        self._client = client
        self._channels = channels
        self._is_miss_reported = False

    async def status(self, uuid: UUID, variables: Sequence[str] = ()) -> Headers:
        """Return the `Status` of the channel that has the call, wherever it is.

        Raises:
            UnknownCallError: no channel has the call.
            ControlError: Asterisk can't be asked.
        """
        hinted = await self._hinted(uuid)
        if hinted is not None:
            status = await self._channels.status(hinted.name, variables)
            if status is not None and uuid in uuids_named_by(*executed(status)):
                return status
        listed = await self._listed(uuid, hinted)
        status = await self._channels.status(listed.name, variables)
        if status is None:
            raise UnknownCallError(f"the channel {listed.name} of the call {uuid} has just hung up")
        return status

    async def _hinted(self, uuid: UUID) -> Channel | None:
        client = self._client
        try:
            async with asyncio.timeout(client.timing.registry_wait_s):
                while (channel := client.registry.channel_of(uuid)) is None and client.connected:
                    await client.wait_for_update()
        except TimeoutError:
            return None
        return channel

    async def _listed(self, uuid: UUID, hinted: Channel | None) -> Channel:
        self._client.registry.forget(uuid)
        await self._client.refresh()
        channel = self._client.registry.channel_of(uuid)
        if channel is None:
            raise UnknownCallError(f"no channel of Asterisk at {self._client.address} is in the call {uuid}")
        if hinted is None and not self._is_miss_reported:
            self._is_miss_reported = True
            logger.info(_NOT_REPORTED, self._client.address)
        return channel


def _check_landing(status: Headers, destination: str) -> None:
    if status.get("Exten") == "i" and not destination.startswith("i@"):
        raise ControlError(
            f"{destination} is invalid: the caller is at the extension `i` of {status.get('Context', '')}"
        )


_NOT_REPORTED = (
    "%s: Asterisk did not report a call in time, so all its channels were listed to find it; if this happens "
    "for every call, give the user of manager.conf read=call,dialplan and its eventfilter lines"
)
