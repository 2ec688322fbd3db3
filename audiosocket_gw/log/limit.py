"""How many lines of a kind may be logged in a time: a flood of them is counted instead. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

WINDOW_S = 10.0

BURST = 50
"""Lines of one topic in a window."""

CALLS_BURST = 2_000
"""Lines of a template about calls in a window, those of all calls together. Each call has topics of its own,
so that none can hide another's lines; but strangers can pretend to be calls, and disks are finite. 200 calls
a second are more than one core can begin."""


class Topic(NamedTuple):
    """What lines have in common that are alike."""

    logger: str
    level: int
    template: str
    """The line without its values; empty where it isn't ours, since others may have put the values in."""
    call: UUID | None = None
    """The call that the line is about, which is its first value."""

    def __str__(self) -> str:
        """Return what the lines look like: the template, with the call and without other values."""
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
    """Counts the lines of each topic. Times are in seconds, of any clock that doesn't go back."""

    def __init__(self) -> None:
        self._windows: dict[Topic, _Window] = {}  # in order of their ends, as they are all of one length

    def accepts(self, topic: Topic, now: float) -> bool:
        """Tell whether another line of ``topic`` may be logged; if not, it is counted.

        `ended` comes first: it closes the windows that are over.
        """
        if not self._has_room(topic, now, BURST):
            return False
        return topic.call is None or self._has_room(topic._replace(call=None), now, CALLS_BURST)

    def ended(self, now: float) -> list[tuple[Topic, int]]:
        """Return the topics whose window is over, and how many lines were held back: not those with none."""
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
