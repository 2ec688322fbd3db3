"""Which of the agent's audio may be heard. Pure.

The agent speaks faster than it is heard, and learns late of what happens here. Each of its replies has an
event id, which only grows; by that, audio is told from audio that came too late.

Should the ids begin anew after an interruption, all that follows would look late, and the agent would be mute
for the rest of the call. So ids that stay low are taken for new ones: what really came too late comes at once
after the interruption, in the order in which it was said, and soon ends.
"""

from __future__ import annotations

STALE_S = 3.0
"""So long after its beginning, what an interruption has made stale has ended."""


class StaleAudioFilter:
    """Lets the pieces of replies through, or not. All times are in seconds, of one clock."""

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
        """The reply that was let through last."""
        self.restarted_from: int | None = None
        """Below which id all would be stale, had the ids not begun anew; None as long as they haven't."""
        self._stale_below = 0
        self._stale_since: float | None = None
        self._last_allowed: int | None = None
        self._one_allowed = False

    def accepts(self, event_id: int | None, now_s: float = 0.0) -> bool:
        """Tell whether a piece of the reply ``event_id`` may be heard; None: of the current one."""
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
        """Learn that what was let through last is speech, and may be the one of `allow_no_more`."""
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
        """Take the id of a reply whose words have come: they, too, come in order, so a lower one is new."""
        if event_id is not None and event_id < self._stale_below and event_id < self.last_event_id:
            self._restart(event_id)

    def _restart(self, event_id: int) -> None:
        self.restarted_from = self._stale_below
        self._stale_below = self.last_event_id = event_id
        self._stale_since = None
        if self._last_allowed is not None and self._last_allowed >= 0:
            self._last_allowed = event_id - self._one_allowed

    def interrupted(self, event_id: int, *, drop_own: bool) -> None:
        """Keep out what is older than an interruption.

        Whether audio with the interruption's own id is stale (``drop_own``) is disputed between ElevenLabs'
        clients: `Settings.drop_interrupted_audio`.
        """
        self._stale_below = max(self._stale_below, event_id + drop_own)
        self._stale_since = None

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
