"""Rate limit of similar log lines: those beyond it are counted instead. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from audiosocket_gw.log.template import CALL_PREFIX, fill

WINDOW_S = 10.0

BURST = 50
"""Lines per topic and window, unless the line says otherwise (`at_most`); and of all subjects together."""

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
    about: UUID | str | None = None
    """The call that the line is about, or what else distinguishes it, such as a host."""

    def __str__(self) -> str:
        """Return the template without its values, except what it is about, if that is its first value."""
        if not self.template:
            return self.logger
        template = self.template
        if isinstance(self.about, UUID):
            return fill(template.removeprefix(CALL_PREFIX), lambda: "...")
        first = iter((self.about,) if self.about else ())
        return fill(template, lambda: next(first, "..."))


def at_most(lines: int, about: str = "") -> Mapping[str, object]:
    """Return the ``extra`` of a line that may repeat: so many in a window, of those ``about`` the same."""
    return {"burst": lines, "about": about or None}


ONCE = at_most(1)
"""The ``extra`` of a line that is logged once in a window; of a call's lines, once for each call."""


@dataclass(slots=True)
class _Window:
    ends_at: float
    lines: int = 0
    held_back: int = 0


class RateLimit:
    """Counts the lines of each topic. Times are in seconds, of any monotonic clock."""

    def __init__(self) -> None:
        self._windows: dict[Topic, _Window] = {}  # ordered by their ends, since all have the same length

    def accepts(self, topic: Topic, now: float, burst: int = BURST) -> bool:
        """Return whether another line of ``topic`` may be logged; if not, count it.

        Call `ended` first: it closes the windows that are over.
        """
        if not self._has_room(topic, now, burst):
            return False
        if topic.about is None:
            return True
        together = CALLS_BURST if isinstance(topic.about, UUID) else BURST
        return self._has_room(topic._replace(about=None), now, together)

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
