"""Tells an agent that floods from one that speaks. Pure.

An agent sends a reply faster than real time, in any number of messages, so each limit is a bucket that leaks
(ITU-T I.371, "leaky bucket"): what it holds may come at once, what leaks from it may come for ever.
"""

from __future__ import annotations

from audiosocket_gw.causes import Flooding
from audiosocket_gw.errors import RemoteProtocolError

FRAMES_AT_ONCE = 10_000
FRAMES_PER_S = 500
"""WebSocket frames. A reply of three minutes in pieces of 20 ms has 9,000. An agent that speaks in real time
sends fewer than 200 a second, even with all events enabled."""

VALUES_PER_FRAME = 64
"""JSON values that count as another frame, since parsing them costs as much. A second of aligned speech has
some 45."""

BYTES_AT_ONCE = 16 * 2**20
BYTES_PER_S = 2 * 2**20
"""Two minutes of pcm_48000, or 12 of pcm_8000, in base64; and 16 or 98 times real time."""


class FloodError(RemoteProtocolError):
    """The agent sends more than any conversation has; ``cause`` says what."""

    def __init__(self, what: str) -> None:
        self.cause = Flooding(what)
        super().__init__(str(self.cause))


class FloodLimit:
    """Counts what one agent sends. Times are in seconds of one clock."""

    __slots__ = ("_at", "_bytes", "_frames")

    def __init__(self) -> None:
        self._at = 0.0
        self._frames = 0.0
        self._bytes = 0.0

    def count(self, frames: int, size: int, now: float) -> None:
        """Count frames and bytes.

        Raises:
            FloodError: they are too many.
        """
        passed_s = now - self._at
        self._at = now
        self._frames = max(0.0, self._frames - passed_s * FRAMES_PER_S) + frames
        self._bytes = max(0.0, self._bytes - passed_s * BYTES_PER_S) + size
        if self._frames > FRAMES_AT_ONCE:
            raise FloodError(f"{FRAMES_AT_ONCE:,} messages faster than {FRAMES_PER_S} a second")
        if self._bytes > BYTES_AT_ONCE:
            raise FloodError(f"{BYTES_AT_ONCE // 2**20} MiB faster than {BYTES_PER_S // 2**20} MiB a second")
