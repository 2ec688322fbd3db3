"""Call screening: what a caller must show before an agent is located and connected, which costs money.

``REQUIRE_AMI_MATCH``: the call's UUID belongs to a channel of Asterisk. ``REQUIRE_CALLER_AUDIO``: audio has
arrived from the caller. Both are off by default.
"""

from __future__ import annotations

import asyncio

from audiosocket_gw.call.settings import CallSettings
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import CallRejected, ControlError, UnknownCallError

MATCH_S = 5.0
"""How long a call waits for Asterisk to confirm its UUID; usually Asterisk has reported it before."""

NO_PBX = "no manager interface is set for this address: add the PBX to AMI_HOSTS"


class Screening:
    """The screening of one call."""

    __slots__ = ("_audio", "_match", "_needs_audio", "needs_match")

    def __init__(self, settings: CallSettings) -> None:
        loop = asyncio.get_running_loop()
        self.needs_match = settings.require_ami_match
        self._needs_audio = settings.require_caller_audio
        self._match: asyncio.Future[CallEnd | None] = loop.create_future()
        self._audio: asyncio.Future[None] = loop.create_future()

    async def heard(self) -> None:
        """Wait for the caller's first audio, if that is required."""
        if self._needs_audio:
            await self._audio

    async def matched(self) -> None:
        """Wait until Asterisk confirms the call.

        Raises:
            CallRejected: Asterisk doesn't know the call, or couldn't be asked.
        """
        end = await self._match
        if end is not None:
            raise CallRejected(end)

    def hear_caller(self) -> None:
        """Record the caller's first audio."""
        if not self._audio.done():
            self._audio.set_result(None)

    def confirm(self) -> None:
        """Record that a channel of Asterisk has the call."""
        self._decide(None)

    def refuse(self, why: ControlError | str) -> None:
        """Record that Asterisk doesn't know the call, or couldn't be asked, which counts as much."""
        reason = EndReason.PBX_UNREACHABLE
        if isinstance(why, UnknownCallError):
            reason = EndReason.CALLER_UNKNOWN
        self._decide(CallEnd(reason, f"{why} (REQUIRE_AMI_MATCH)"))

    def _decide(self, end: CallEnd | None) -> None:
        if not self._match.done():
            self._match.set_result(end)
