"""``audiosocket-gw originate CHANNEL``: calls a telephone and connects it with the agent."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from audiosocket_gw.ami.address import AmiAddress
from audiosocket_gw.ami.call_control import CallControl
from audiosocket_gw.ami.client import AmiClient
from audiosocket_gw.ami.settings import AmiSettings
from audiosocket_gw.errors import ConfigurationError, ControlError

CONNECT_LIMIT_S = 10.0
"""Time for the manager interface to connect."""


@dataclass(frozen=True, slots=True)
class OutboundCall:
    """The channel to call, for at most ``ring_s`` seconds, and the extension to connect it with.

    ``variables`` are set on the channel: the agent receives those that `CALL_VARIABLES` names.
    """

    channel: str
    extension: str
    context: str
    caller_id: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    ring_s: float = 30.0

    @property
    def destination(self) -> str:
        return f"{self.extension}@{self.context}"


def chosen_pbx(settings: AmiSettings, wanted: str | None) -> AmiAddress:
    """Return the address of the PBX that places the call.

    Raises:
        ConfigurationError: no PBX is set, or ``wanted`` (``--pbx``) doesn't select one.
    """
    known = settings.by_place
    if not known:
        raise ConfigurationError(
            "AMI_HOST is not set: Asterisk's manager interface places the call; set it, and AMI_PASSWORD"
        )
    if wanted is not None and wanted not in known:
        raise ConfigurationError(f"--pbx {wanted}: it is not in AMI_HOST and AMI_HOSTS ({', '.join(known)})")
    if wanted is None and settings.ami_host is None and len(known) > 1:
        raise ConfigurationError(f"AMI_HOSTS={','.join(known)}: select one with --pbx")
    return known[wanted or next(iter(known))]


async def run_originate(call: OutboundCall, pbx: AmiAddress, allowed: re.Pattern[str]) -> int:
    """Place the call, print its progress, and return the exit status: 0 answered, 1 not.

    Raises:
        ConfigurationError: ``allowed`` (``ORIGINATE_CHANNELS``) doesn't match the channel, or the dialplan
            has no such extension. Nothing has rung.
    """
    _check_channel(call.channel, allowed)
    try:
        async with AmiClient(pbx) as client:
            await _connected(client)
            control = CallControl(client)
            await _check_destination(control, call)
            print(f"ringing {call.channel}, for {call.ring_s:g} s at most", flush=True)
            answered = await control.originate(
                call.channel,
                call.context,
                call.extension,
                caller_id=call.caller_id,
                variables=call.variables,
                ring_s=call.ring_s,
            )
    except ControlError as error:
        print(f"audiosocket-gw: {error}", file=sys.stderr)
        return 1
    print(f"answered: {answered} goes to {call.destination}")
    return 0


def _check_channel(channel: str, allowed: re.Pattern[str]) -> None:
    if not allowed.fullmatch(channel):
        raise ConfigurationError(
            f"ORIGINATE_CHANNELS={allowed.pattern!r} doesn't match {channel[:80]!r}, so it is not called. "
            "Name another channel, or widen the pattern, but not to channels that reach numbers with a charge"
        )


async def _check_destination(control: CallControl, call: OutboundCall) -> None:
    """Check that the extension exists, so that no person answers and hears nothing."""
    if not await control.extension_exists(call.context, call.extension):
        raise ConfigurationError(
            f"--extension {call.extension} --context {call.context}: Asterisk's dialplan has no such "
            "extension; name the one that reaches the agent"
        )


async def _connected(client: AmiClient) -> None:
    try:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            while not client.connected:
                await client.wait_for_update()
    except TimeoutError:
        raise ControlError(
            f"no connection to Asterisk's manager interface at {client.address} in {CONNECT_LIMIT_S:g} s"
        ) from None
