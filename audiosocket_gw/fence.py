"""Which of the agent's sound may be heard. Pure.

The agent speaks faster than it is heard, and learns late of what happens here. Each of its replies has an
event id, which only grows; by that, sound is told from sound that came too late.
"""

from __future__ import annotations


class ReplyFence:
    """Lets the pieces of replies through, or not."""

    __slots__ = ("_last_allowed", "_one_allowed", "_stale_below", "last_event_id")

    def __init__(self) -> None:
        self.last_event_id = -1
        """The reply that was let through last."""
        self._stale_below = 0
        self._last_allowed: int | None = None
        self._one_allowed = False

    def admits(self, event_id: int | None) -> bool:
        """Tell whether a piece of the reply ``event_id`` may be heard; None: of the current one."""
        if event_id is None:
            event_id = max(self.last_event_id, self._stale_below)
        if event_id < self._stale_below:
            return False
        if self._one_allowed:
            self._one_allowed = False
            self._last_allowed = event_id
        if self._last_allowed is not None and event_id > self._last_allowed:
            return False
        self.last_event_id = event_id
        return True

    def interrupted(self, event_id: int, *, drop_own: bool) -> None:
        """Keep out what is older than an interruption.

        Whether sound with the interruption's own id is stale (``drop_own``) is disputed between ElevenLabs'
        clients: `Settings.drop_interrupted_audio`.
        """
        self._stale_below = max(self._stale_below, event_id + drop_own)

    def allow_no_more(self, *, but_one: bool) -> None:
        """Let the current reply end, or one begin, and keep the others out until `reopen`."""
        if self._last_allowed is None:
            self._one_allowed = but_one
            self._last_allowed = self.last_event_id

    def close(self) -> None:
        """Keep everything out until `reopen`."""
        self._last_allowed = -1
        self._one_allowed = False

    def reopen(self) -> None:
        """Let replies through again; stale ones stay out."""
        self._last_allowed = None
        self._one_allowed = False
