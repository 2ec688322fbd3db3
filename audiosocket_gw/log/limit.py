"""Rate limit of similar log lines: those beyond it are counted instead. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

WINDOW_S = 10.0

BURST = 50
"""Lines per topic and window."""

CALLS_BURST = 2_000
"""Lines per template and window, of all calls together. Each call has its own topics, so that no call hides
another's lines; but a peer can open any number of calls, and disks are finite. 200 calls a second are more
than one core can start."""


class Topic(NamedTuple):
    """What similar lines have in common."""

    logger: str
    level: int
    template: str
    """The line without its values; empty for other libraries, whose lines may already contain values."""
    call: UUID | None = None
    """The call that the line is about, which is its first value."""

    def __str__(self) -> str:
        """Return the template, with the call and without other values."""
        if not self.template:
            return self.logger
        call = iter((str(self.call),) if self.call else ())
        return _PLACEHOLDER.sub(lambda found: "%" if found[0] == "%%" else next(call, "..."), self.template)


_PLACEHOLDER = re.compile(r"%(?:%|(?:\(\w+\))?[-#0 +.\d*]*[a-zA-Z])")


@dataclass(slots=True)
class _Window:
    ends_at: float
    lines: int = 0
    held_back: int = 0


class RateLimit:
    """Counts the lines of each topic. Times are in seconds, of any monotonic clock."""

    def __init__(self) -> None:
        self._windows: dict[Topic, _Window] = {}  # ordered by their ends, since all have the same length

    def accepts(self, topic: Topic, now: float) -> bool:
        """Return whether another line of ``topic`` may be logged; if not, count it.

        Call `ended` first: it closes the windows that are over.
        """
        if not self._has_room(topic, now, BURST):
            return False
        return topic.call is None or self._has_room(topic._replace(call=None), now, CALLS_BURST)

    def ended(self, now: float) -> list[tuple[Topic, int]]:
        """Return the topics whose window is over with the number of lines withheld, if any."""
        ended = []
        while self._windows:
            topic, window = next(iter(self._windows.items()))
            if now < window.ends_at:
                break
            del self._windows[topic]
            if window.held_back:
                ended.append((topic, window.held_back))
        return ended

    def _has_room(self, topic: Topic, now: float, burst: int) -> bool:
        window = self._windows.get(topic)
        if window is None:
            window = self._windows[topic] = _Window(now + WINDOW_S)
        if window.lines >= burst:
            window.held_back += 1
            return False
        window.lines += 1
        return True
