"""The agent's turn, as the caller hears it: when it begins, when it is over, and how to wait for that.

An agent's reply arrives faster than it is heard, and in pieces, so that its end shows only by silence.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from uuid import UUID

from audiosocket_gw.call.playout import Playout

logger = logging.getLogger("audiosocket_gw.call")

PLAY_OUT_GRACE_S = 1.0
"""After so long without a frame being played out, the rest is given up."""

LAST_WORDS_S = 30.0
"""How long an agent that wants to leave may go on speaking."""

SPEAKS_ON_S = 0.5
"""After a pause of this length the agent has finished what it was saying."""

BEGINS_TO_SPEAK_S = 2.0
"""So long after a tool's result an agent that has not spoken yet may take to begin: it must think first."""


class Turn:
    """Whether the agent speaks in one call. The call tells what happens; tools wait for the end."""

    def __init__(self, uuid: UUID, playout: Playout) -> None:
        self._uuid = uuid
        self._playout = playout
        self._played_out = asyncio.Event()
        self._played_out.set()
        self._speaks = asyncio.Event()
        self._cuts_in = 0
        self.agent_spoke = False
        """Whether the agent has said anything since the caller last did."""

    @property
    def is_over(self) -> bool:
        """Whether the caller has heard all that there is."""
        return self._played_out.is_set()

    # What the call tells

    def audio_came(self, *, is_speech: bool = True) -> None:
        """There is something to be heard; not ``is_speech``: it may turn out to be background audio."""
        self.agent_spoke = self.agent_spoke or is_speech
        self._speaks.set()
        self._played_out.clear()

    def played_out(self) -> None:
        """The caller has heard all of it, or will hear no more."""
        self._played_out.set()

    def caller_spoke(self) -> None:
        """It is the agent's turn to answer."""
        self.agent_spoke = False

    def caller_cut_in(self) -> None:
        """The caller interrupted what would have been heard."""
        self._cuts_in += 1

    # Waiting for the end

    async def play_out(self) -> None:
        """Wait until the caller has heard all that is queued, or the queue no longer gets any shorter."""
        before_ms = None
        while not self.is_over:
            queued_ms = self._playout.queued_ms
            if queued_ms == before_ms:
                logger.warning("call %s: %d ms could not be played out", self._uuid, queued_ms)
                return
            before_ms = queued_ms
            with suppress(TimeoutError):
                async with asyncio.timeout(PLAY_OUT_GRACE_S):
                    await self._played_out.wait()

    async def last_words(self) -> bool:
        """Wait until the caller has heard what the agent says before it leaves.

        False: the caller cut in. Bounded by the length of what is queued and `LAST_WORDS_S`.
        """
        before = self._cuts_in
        try:
            async with asyncio.timeout(self._playout.queued_ms / 1000 + LAST_WORDS_S):
                await self._played_out.wait()
                while self._cuts_in == before and await self._speaks_on():
                    await self._played_out.wait()
        except TimeoutError:
            logger.warning("call %s: the agent would not stop speaking", self._uuid)
        return self._cuts_in == before

    async def _speaks_on(self) -> bool:
        if not self.is_over:
            return True
        self._speaks.clear()
        try:
            async with asyncio.timeout(SPEAKS_ON_S if self.agent_spoke else BEGINS_TO_SPEAK_S):
                await self._speaks.wait()
        except TimeoutError:
            return False
        return True
