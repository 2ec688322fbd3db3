"""Detects when the agent speaks, and when only its background audio is left. Pure.

An agent with background audio (ElevenLabs' setting ``background_sound``) may send audio without a pause, so
the end of its audio isn't the end of its speech. No protocol message is reliable either:
``agent_response_complete`` is off unless the agent's ``client_events`` include it, and means that the words
were generated, not that their audio has arrived; ``is_final`` and alignment are optional; event ids may go
on. So the detector uses the audio, and what the protocol offers:

- Level. Speech rises and falls by 20 dB and more within a second; background is flatter and softer. The
  threshold is half-way between the quietest of the last 5 s and the loudest of the last 20 s.
- Lead. A reply is generated faster than it is played, background isn't: audio that gets far ahead is a reply.
- Alignment. There is speech where a character is spoken.
- Event id. Audio with a new id is a reply, until it has been like background for `PAUSE_MS`; but not if each
  chunk has its own id.
- ``is_final``. After it a short pause is enough.

Speech is over when `PAUSE_MS` of audio without speech follow it. In doubt, audio is speech: waiting is better
than cutting a word off. All times are those of `Playout.heard_ms`, which counts the agent's audio as the
caller hears it.
"""

from __future__ import annotations

from array import array
from math import inf, sqrt

import numpy as np

from audiosocket_gw.audio import FRAME_MS

PAUSE_MS = 1_500
"""After this long without speech, the agent isn't between two sentences: these pauses are about a second."""

FINAL_PAUSE_MS = 400
"""The same after ``is_final``."""

LEAD_MS = 2_500
"""Audio that is further ahead than before by this is a reply. After a stall less background comes at once."""

_LEAD_GROWTH = 4
"""A lead that lasts is the usual one, growing by 1 s in this many: after a long stall background keeps it."""

_BLOCK_FRAMES = 2
_BLOCK_MS = _BLOCK_FRAMES * FRAME_MS


def _power(dbfs: float) -> float:
    return 32_768.0**2 * 10 ** (dbfs / 10)


# Levels are powers, mean squares of samples: in decibels each block would cost a logarithm.
_SILENCE = _power(-60)
"""Never speech."""
_LOUD = _power(-25)
"""Above this, audio is speech unless it is `_STEADY`: announcements may be flat."""
_STEADY = 2.0
"""Within 3 dB of the quietest of the last seconds, audio is noise, however loud."""
_CONTRAST = 10**1.2
"""Speech is louder than its background by more than 12 dB."""
_LEAST = _power(-75)
"""Lower bound of levels: against digital silence everything would stand out."""

_WINDOW_BLOCKS = 12
_FLOOR_WINDOWS = 10
_PEAK_WINDOWS = 42


class Endpointer:
    """Follows the audio of one agent, in its order of arrival."""

    __slots__ = (
        "_doubt_ms",
        "_lead_ms",
        "_levels",
        "_pause_ms",
        "_previous",
        "_reply_ms",
        "_rest",
        "end_ms",
        "in_doubt",
        "over_at_ms",
        "speaks",
    )

    def __init__(self) -> None:
        self.speaks = False
        """Whether the latest audio belongs to speech; False: it is only background."""
        self.end_ms = 0
        """End of the speech so far."""
        self.over_at_ms: int | None = None
        """The same, once it is certain that only background follows."""
        self.in_doubt = False
        """Whether what now counts as speech may turn out to be background."""
        self._doubt_ms = PAUSE_MS
        self._reply_ms = PAUSE_MS  # of audio with the current event id
        self._lead_ms = 0
        self._pause_ms = PAUSE_MS
        self._levels = _Levels()
        self._previous = _LEAST
        self._rest = b""

    def take(
        self, audio: bytes, frame_bytes: int, heard_ms: int, until_ms: int, *, aligned_ms: int = 0
    ) -> bool:
        """Take a chunk that will be heard until ``until_ms``; return `speaks`.

        ``audio`` is linear; ``frame_bytes`` are 20 ms of it. The caller has heard everything until
        ``heard_ms``. ``aligned_ms``: the end of the last aligned character in the chunk; 0: there is none.
        """
        length_ms = len(audio) * FRAME_MS // frame_bytes
        start_ms = until_ms - length_ms
        self._reply_ms += length_ms
        self._lead_ms = min(start_ms - heard_ms, self._lead_ms + length_ms // _LEAD_GROWTH)
        spoken_until_ms, audible = self._listen(
            audio, frame_bytes, until_ms, heard_ms + self._lead_ms + LEAD_MS
        )
        if aligned_ms:
            spoken_until_ms = max(spoken_until_ms, min(start_ms + aligned_ms, until_ms))
        if spoken_until_ms:
            self._speaks_until(spoken_until_ms)
            self.in_doubt = False
        elif self._doubt_ms > 0 and (audible if not self.speaks else self.in_doubt):
            if audible:
                self._speaks_until(until_ms)
            self.in_doubt = True
            self._doubt_ms -= length_ms
        is_background = self.in_doubt and self._doubt_ms <= 0 and until_ms > self.end_ms
        if self.speaks and (is_background or until_ms - self.end_ms >= self._pause_ms):
            if audible:
                self._doubt_ms = 0
            self._is_over()
        return self.speaks

    def reply_began(self) -> None:
        """Record that the next chunk has a new event id: it is a reply, unless it proves to be background."""
        if self._reply_ms >= PAUSE_MS:
            self._doubt_ms = PAUSE_MS
        self._reply_ms = 0

    def final_piece(self) -> None:
        """Record that the agent has sent the whole reply."""
        self._pause_ms = FINAL_PAUSE_MS

    def ran_dry(self) -> None:
        """Record that the caller has heard everything: the next audio may be anything."""
        self.speaks = False

    def cut_off(self, until_ms: int) -> None:
        """Record that nothing after ``until_ms`` will be heard."""
        self.end_ms = min(self.end_ms, until_ms)
        self._rest = b""
        self._is_over()

    def _speaks_until(self, end_ms: int) -> None:
        self.speaks = True
        self._pause_ms = PAUSE_MS
        self.end_ms = end_ms
        self.over_at_ms = None

    def _is_over(self) -> None:
        self.speaks = False
        self.over_at_ms = self.end_ms

    def _listen(self, audio: bytes, frame_bytes: int, until_ms: int, ahead_ms: int) -> tuple[int, bool]:
        """Return the end of the last speech in a chunk, or 0, and whether anything in it is audible."""
        if self._rest:
            audio = self._rest + audio
        size = frame_bytes * _BLOCK_FRAMES
        whole = len(audio) // size * size
        self._rest = audio[whole:]
        if not whole:
            return 0, bool(audio) and _powers_of(audio, len(audio))[0] > _SILENCE
        end_ms = until_ms - (len(audio) * FRAME_MS // frame_bytes)
        spoken_until_ms = 0
        levels, previous = self._levels, self._previous
        powers = _powers_of(audio[:whole], size)
        for power in powers:
            end_ms += _BLOCK_MS
            softer, louder = (power, previous) if power < previous else (previous, power)
            levels.take(softer, louder)
            if softer > levels.threshold or (end_ms > ahead_ms and softer > _SILENCE):
                spoken_until_ms = end_ms
            previous = power
        self._previous = previous
        return spoken_until_ms, max(powers) > _SILENCE


class _Levels:
    """The recent quietest and loudest levels. Clicks are neither: both must last for two blocks."""

    __slots__ = (
        "_blocks",
        "_floor",
        "_floors",
        "_peak",
        "_peaks",
        "_window_floor",
        "_window_peak",
        "threshold",
    )

    def __init__(self) -> None:
        self.threshold = _LOUD
        """Louder audio is speech."""
        self._floors = array("d")  # a deque would take 760 bytes per call
        self._peaks = array("d")
        self._floor, self._peak = inf, _LEAST
        self._window_floor, self._window_peak = inf, _LEAST
        self._blocks = 0

    def take(self, softer: float, louder: float) -> None:
        """Record the softer and the louder of two adjacent blocks."""
        if louder < self._window_floor:
            self._window_floor = louder
            if louder < self._floor:
                self._floor = louder
                self._set_threshold()
        if softer > self._window_peak:
            self._window_peak = softer
            if softer > self._peak:
                self._peak = softer
                self._set_threshold()
        self._blocks += 1
        if self._blocks == _WINDOW_BLOCKS:
            self._begin_window()

    def _begin_window(self) -> None:
        self._floors.append(self._window_floor)
        self._peaks.append(self._window_peak)
        del self._floors[:-_FLOOR_WINDOWS], self._peaks[:-_PEAK_WINDOWS]
        self._floor, self._peak = min(self._floors), max(self._peaks)
        self._window_floor, self._window_peak, self._blocks = inf, _LEAST, 0
        self._set_threshold()

    def _set_threshold(self) -> None:
        """Half-way in decibels, which is the geometric mean of powers."""
        floor = max(self._floor, _LEAST)
        threshold = max(floor * _CONTRAST, sqrt(floor * self._peak))
        self.threshold = min(max(threshold, _SILENCE), max(_LOUD, floor * _STEADY))


def _powers_of(audio: bytes, block_bytes: int) -> list[float]:
    """Return the mean square of the samples of each block."""
    samples = np.frombuffer(audio, "<i2").astype(np.float32)
    size = block_bytes // 2
    # Half of what one einsum takes.
    return [
        float((block := samples[start : start + size]).dot(block)) / size
        for start in range(0, len(samples), size)
    ]
