"""Waits for the agent to finish, before a hand-over and before the end. Pure.

An agent's reply arrives faster than it is heard, and in chunks, so only silence shows its end. Both waits are
checked after every tick, also while the connection to Asterisk is blocked, and both are limited.
"""

from __future__ import annotations

from audiosocket_gw.call.agent_speech import AgentSpeech
from audiosocket_gw.call.outputs import Drained, LastWordsOver

LAST_WORDS_S = 30.0
"""How long the agent may continue to speak before a hand-over, beyond what is queued."""

SPEAKS_ON_S = 0.5
"""After a pause of this length the agent has finished."""

BEGINS_TO_SPEAK_S = 2.0
"""An agent that has not spoken since the caller did may take this long to begin, since it generates a reply
first."""

STUCK_S = 1.0
"""If the queue doesn't get shorter in this time, the rest is discarded."""


class LastWords:
    """The wait for the agent's last words before a hand-over."""

    __slots__ = ("_deadline", "_quiet_until")

    def __init__(self, now: float, queued_ms: int) -> None:
        self._deadline = now + queued_ms / 1000 + LAST_WORDS_S
        self._quiet_until: float | None = None

    def tick(self, now: float, speech: AgentSpeech) -> LastWordsOver | None:
        """Return how the wait ended, or None while it lasts."""
        if now >= self._deadline:
            return LastWordsOver(timed_out=True)
        if not speech.is_over:
            self._quiet_until = None
            return None
        if self._quiet_until is None:
            # What the caller says during the pause doesn't prolong it.
            self._quiet_until = now + (SPEAKS_ON_S if speech.has_spoken else BEGINS_TO_SPEAK_S)
        return LastWordsOver() if now >= self._quiet_until else None


class Draining:
    """The wait until the caller has heard the queue at the end of the call."""

    __slots__ = ("_checked_at", "_deadline", "_queued_ms")

    def __init__(self, now: float, queued_ms: int, limit_s: float) -> None:
        self._deadline = now + limit_s
        self._checked_at = now
        self._queued_ms = queued_ms

    def tick(self, now: float, speech: AgentSpeech, queued_ms: int) -> Drained | None:
        """Return how the wait ended, or None while it lasts."""
        if speech.is_over or now >= self._deadline:
            return Drained()
        if now - self._checked_at < STUCK_S:
            return None
        if queued_ms == self._queued_ms:
            return Drained(left_ms=queued_ms)
        self._checked_at, self._queued_ms = now, queued_ms
        return None
