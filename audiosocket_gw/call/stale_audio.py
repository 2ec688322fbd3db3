"""Decides by event ids which of the agent's audio may be heard. Pure.

The agent sends faster than real time, and learns late of an interruption. Each of its replies has an event
id, and the ids only grow: a low id identifies stale audio.

If the ids restarted after an interruption, all later audio would look stale, and the agent would be mute for
the rest of the call. So ids that stay low count as new ones: really stale audio comes directly after the
interruption, in order, and soon ends.
"""

from __future__ import annotations

STALE_S = 3.0
"""Stale audio ends this long after its start at the latest."""


class StaleAudioFilter:
    """Accepts or rejects chunks of replies. All times are in seconds of one clock."""

    __slots__ = (
        "_last_allowed",
        "_one_allowed",
        "_stale_below",
        "_stale_since",
        "last_event_id",
        "restarted_from",
    )

    def __init__(self) -> None:
        self.last_event_id = -1
        """The id of the last accepted reply."""
        self.restarted_from: int | None = None
        """The id below which audio would be stale if the ids had not restarted; None if they haven't."""
        self._stale_below = 0
        self._stale_since: float | None = None
        self._last_allowed: int | None = None
        self._one_allowed = False

    def accepts(self, event_id: int | None, now_s: float = 0.0) -> bool:
        """Return whether a chunk of the reply ``event_id`` may be heard; None: of the current one."""
        if event_id is None:
            event_id = max(self.last_event_id, self._stale_below)
        if event_id < self._stale_below and not self._is_new(event_id, now_s):
            return False
        self._stale_since = None
        if self._last_allowed is not None and event_id > self._last_allowed and not self._one_allowed:
            return False
        self.last_event_id = event_id
        return True

    def spoke(self) -> None:
        """Record that the last accepted audio is speech, and may be the one reply of `allow_no_more`."""
        if self._one_allowed and self._last_allowed is not None and self.last_event_id > self._last_allowed:
            self._one_allowed = False
            self._last_allowed = self.last_event_id

    def _is_new(self, event_id: int, now_s: float) -> bool:
        if self._stale_since is None:
            self._stale_since = now_s
        if now_s - self._stale_since < STALE_S:
            return False
        self._restart(event_id)
        return True

    def named(self, event_id: int | None) -> None:
        """Record the id of a reply whose words have arrived: words also come in order, so a lower id is
        new.
        """
        if event_id is not None and event_id < self._stale_below and event_id < self.last_event_id:
            self._restart(event_id)

    def _restart(self, event_id: int) -> None:
        self.restarted_from = self._stale_below
        self._stale_below = self.last_event_id = event_id
        self._stale_since = None
        if self._last_allowed is not None and self._last_allowed >= 0:
            self._last_allowed = event_id - self._one_allowed

    def interrupted(self, event_id: int, *, drop_own: bool) -> None:
        """Reject audio from before an interruption.

        Whether audio with the interruption's own id is stale (``drop_own``) is disputed between ElevenLabs'
        clients: `Settings.drop_interrupted_audio`.
        """
        self._stale_below = max(self._stale_below, event_id + drop_own)
        self._stale_since = None

    def allow_no_more(self, *, but_one: bool) -> None:
        """Let the current reply end, or one begin, and reject others until `reopen`."""
        if self._last_allowed is None:
            self._one_allowed = but_one
            self._last_allowed = self.last_event_id

    def close(self) -> None:
        """Reject everything until `reopen`."""
        self._last_allowed = -1
        self._one_allowed = False

    def reopen(self) -> None:
        """Accept replies again, except stale ones."""
        self._last_allowed = None
        self._one_allowed = False
