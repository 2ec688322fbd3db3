"""Calls on one PBX: describe the caller, locate the channel, check an extension, place a call.

Every failure is a `ControlError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from audiosocket_gw.ami.caller_channel import CallerChannel, ChannelFinder
from audiosocket_gw.ami.channel_state import ChannelActions, answers
from audiosocket_gw.ami.client import AmiClient
from audiosocket_gw.ami.dialplan import (
    DialplanLine,
    calling_line,
    check_call_to_originate,
    check_destination,
    check_variable_to_read,
    executed,
)
from audiosocket_gw.ami.encoding import is_presented
from audiosocket_gw.ami.registry import Channel, Headers
from audiosocket_gw.errors import ControlError

_PRESENTATIONS = ("CALLERID(num-pres)", "CALLERID(name-pres)")

_ORIGINATE_FAILURES = {
    "0": "no such extension, or not reachable",
    "1": "hung up",
    "3": "no answer",
    "5": "busy",
    "8": "congestion",
}


@dataclass(frozen=True, slots=True)
class CallerData:
    """Caller data: the caller's channel, its variables, and the dialplan line that called the gateway.

    ``variables`` has every requested variable; unset ones are empty. ``line`` is None if the channel executes
    something else and was connected by another one, such as a queue. ``codec`` is the codec that Asterisk
    sends in this call, by Asterisk's name (``slin``, ``ulaw``, ``g722``); empty if unknown.
    """

    channel: Channel
    variables: Mapping[str, str]
    line: DialplanLine | None = None
    codec: str = ""


@dataclass(frozen=True, slots=True)
class ChannelState:
    """What a channel executes now, empty between two applications; and the requested variables."""

    application: str
    data: str
    variables: Mapping[str, str]


class CallControl:
    """Controls the calls of one PBX."""

    def __init__(self, client: AmiClient) -> None:
        self._client = client
        self._channels = ChannelActions(client)
        self._finder = ChannelFinder(client, self._channels)

    @property
    def host(self) -> str:
        """The host of the PBX's manager interface, as it is set."""
        return self._client.address.host

    @property
    def connected(self) -> bool:
        """Whether the PBX's manager interface is connected now."""
        return self._client.connected

    async def wait_until_connected(self) -> None:
        """Wait for a connection to the PBX's manager interface."""
        while not self.connected:
            await self._client.wait_for_update()

    async def locate(self, uuid: UUID) -> CallerChannel:
        """Return the caller's channel, confirmed by one `Status`.

        Raises:
            ControlError: no channel has the call, or Asterisk can't be asked.
        """
        return CallerChannel(self._channels, uuid, await self._finder.status(uuid))

    async def describe(self, uuid: UUID, variables: Sequence[str] = ()) -> CallerData:
        """Return the caller data, with channel variables or functions such as ``CHANNEL(language)``.

        Raises:
            ControlError: the call isn't known, a name is invalid, or Asterisk can't be asked.
        """
        for name in variables:
            check_variable_to_read(name)
        # Ask for variables separately: no value of a variable can falsify the caller data.
        presentations = _PRESENTATIONS if "CALLERID" in self._client.functions else ()
        status = await self._finder.status(uuid, presentations)
        line = calling_line(uuid, status)
        return CallerData(
            channel=_presented(status),
            variables=await self._channels.read_variables(status["Channel"], variables),
            line=line,
            codec=await self._codec(uuid, line) if line else "",
        )

    async def extension_exists(self, context: str, extension: str, priority: int | str = 1) -> bool:
        """Return whether the dialplan has the extension, patterns included.

        Raises:
            ControlError: the extension is invalid, or Asterisk can't be asked.
        """
        check_destination(context, extension, priority)
        question = f"DIALPLAN_EXISTS({context},{extension},{priority})"
        answer = await self._client.perform("Getvar", {"Variable": question})
        value = answer.headers.get("Value", "")
        if value not in {"0", "1"}:
            raise ControlError(
                f"Asterisk can't tell whether {extension}@{context} exists: it says {value!r}; "
                "is func_dialplan.so loaded?"
            )
        return value == "1"

    async def set_variables_on(self, channel: str, variables: Mapping[str, str]) -> bool:
        """Set variables on a channel without a prior `Status`; return False if no channel has this name.

        Raises:
            ControlError: a name or value can't be set, or Asterisk refused.
        """
        return await self._channels.set_variables(channel, variables)

    async def state_of(self, channel: str, variables: Sequence[str] = ()) -> ChannelState | None:
        """Return the state of a channel, or None if no channel has this name.

        Raises:
            ControlError: Asterisk can't be asked.
        """
        status = await self._channels.status(channel, variables)
        if status is None:
            return None
        return ChannelState(*executed(status), answers(status, {name: name for name in variables}))

    async def originate(
        self,
        channel: str,
        context: str,
        extension: str,
        priority: int | str = 1,
        *,
        caller_id: str = "",
        variables: Mapping[str, str] | None = None,
        ring_s: float = 30.0,
    ) -> str:
        """Call ``channel`` (``PJSIP/100``) and connect it to an extension when it answers.

        Return the name of the answered channel (``PJSIP/100-00000001``).

        Raises:
            ControlError: an argument is invalid, Asterisk rejected it, or there was no answer; the message
            says which.
        """
        variables = variables or {}
        check_call_to_originate(channel, caller_id, variables)
        check_destination(context, extension, priority)
        values: dict[str, str | list[str]] = {
            "Channel": channel,
            "Context": context,
            "Exten": extension,
            "Priority": str(priority),
            "Timeout": str(round(ring_s * 1_000)),
            "Async": "true",
            "Variable": [f"{name}={value}" for name, value in variables.items()],
            **({"CallerID": caller_id} if caller_id else {}),
        }
        deadline_s = ring_s + self._client.timing.originate_grace_s
        received = await self._channels.perform("Originate", values, deadline_s)
        return _originated(channel, received)

    def forget(self, uuid: UUID) -> None:
        """Drop the channel of a call that is over."""
        self._client.registry.forget(uuid)

    async def _codec(self, uuid: UUID, line: DialplanLine) -> str:
        """Return the codec that Asterisk sends: the line's, or with the channel driver the caller's."""
        if line.application == "AudioSocket":
            return "slin"
        driver = line.driver_channel(uuid)
        if driver is None:
            return ""
        if driver.codec:
            return driver.codec
        try:
            status = await self._channels.status(driver.name)
        except ControlError:
            return ""
        formats = status.get("Nativeformats", "") if status else ""
        return formats.strip("()").partition("|")[0]


def _presented(status: Headers) -> Channel:
    """Return the channel, without a withheld number or name."""
    channel = Channel.from_headers(status)
    number, name = answers(status, {name: name for name in _PRESENTATIONS}).values()
    return replace(
        channel,
        caller_number=channel.caller_number if is_presented(number) else "",
        caller_name=channel.caller_name if is_presented(name) else "",
    )


def _originated(channel: str, received: Sequence[Headers]) -> str:
    """Parse Asterisk's report, which follows "queued", or replaces it after an immediate failure."""
    for headers in received:
        if headers.get("Event") == "OriginateResponse":
            if headers.get("Response") == "Success":
                return headers.get("Channel", "")
            reason = headers.get("Reason", "")
            why = _ORIGINATE_FAILURES.get(reason, f"Asterisk's reason {reason}")
            raise ControlError(f"the call to {channel} failed: {why}")
    raise ControlError(f"Asterisk did not report on the call to {channel}")
