"""Voice activity detection of the simulated agent: by energy, 20 ms at a time."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

WINDOW_MS = 20


class Heard(StrEnum):
    """A change of the caller's speech."""

    SPEECH_STARTED = "speech-started"
    SPEECH_ENDED = "speech-ended"


class EnergyVad:
    """Detects speech in linear audio of ``rate`` samples per second.

    ``level`` is the root mean square above which a window counts as loud. ``speech_ms`` of consecutive loud
    windows start speech, ``silence_ms`` of quiet ones end it. Time is counted in samples.
    """

    __slots__ = (
        "_buffer",
        "_power",
        "_row",
        "_silence_windows",
        "_speaking",
        "_speech_windows",
        "_window_bytes",
    )

    def __init__(self, rate: int, level: float, speech_ms: int, silence_ms: int) -> None:
        self._window_bytes = rate * WINDOW_MS // 1000 * 2
        self._power = level * level
        self._speech_windows = speech_ms // WINDOW_MS
        self._silence_windows = silence_ms // WINDOW_MS
        self._speaking = False
        self._row = 0
        """Consecutive windows that contradict the current state."""
        self._buffer = b""

    @property
    def is_speech(self) -> bool:
        """Whether the caller is speaking, at the end of the audio so far."""
        return self._speaking

    def feed(self, linear: bytes) -> list[Heard]:
        """Process audio of any length, and return the changes, in order."""
        buffer = self._buffer + linear
        whole = len(buffer) // self._window_bytes * self._window_bytes
        self._buffer = buffer[whole:]
        windows = np.frombuffer(buffer[:whole], "<i2").reshape(-1, self._window_bytes // 2).astype(np.float64)
        loud: list[bool] = ((windows * windows).mean(axis=1) > self._power).tolist()
        return [heard for window in loud if (heard := self._window(window)) is not None]

    def _window(self, loud: bool) -> Heard | None:
        if loud is self._speaking:
            self._row = 0
            return None
        self._row += 1
        if self._row < (self._silence_windows if self._speaking else self._speech_windows):
            return None
        self._speaking, self._row = loud, 0
        return Heard.SPEECH_STARTED if loud else Heard.SPEECH_ENDED
