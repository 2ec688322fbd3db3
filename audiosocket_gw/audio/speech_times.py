"""When did the caller begin and stop speaking? Answered afterwards, from the levels of both directions. Pure.

It runs in every call, so it does almost nothing until someone asks: once a second the levels of the latest
audio are measured at once (`LevelTrack`). Looking back, speech and noise are told apart more easily than at
the moment. Speech is

- loud: above the line's noise, more than half-way up to the loudest, and above any echo of what the caller
  was sent in the last 320 ms; how strong the echo is shows in the levels of the last half minute;
- no click: 120 ms of it, with pauses of 600 ms at most;
- uneven: its level changes by more than a decibel from one 20 ms to the next, unlike that of DTMF and other
  tones, of noise that begins suddenly, and of breathing.

Time comes from the number of frames and not from their arrival: where the process is busy, the caller's
frames are read in batches. So the newest one ends when it was read, and the others lie before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio.formats import FRAME_MS, PCM_8000, AudioFormat, Encoding
from audiosocket_gw.audio.level_track import FULL_SCALE, Levels, LevelTrack, extract_of, levels_of

SENT_TICKS = 4
"""Of what the caller is sent, one frame in this many is measured: an echo is as loud in the others."""

FRAME_S = FRAME_MS / 1000
KEPT_S = 30

_LEAST = FULL_SCALE - 58
"""Softer audio isn't speech."""
_OVER_SOFT_NOISE = FULL_SCALE - 38
"""Soft noise, a bit in the extract, has 7 dB less."""
_LEAST_FLOOR = FULL_SCALE - 75
_OVER_FLOOR = 8
_FLOOR_SHARE, _PEAK_SHARE = 0.1, 0.95
"""The quietest tenth is noise: people pause, and the agent answers only after a pause."""
_CONTEXT = 5_000 // FRAME_MS
"""The noise is measured in at least this many frames."""

_PAUSE = 600 // FRAME_MS
_LEAST_FRAMES = 120 // FRAME_MS
_LEAST_CHANGES = 4
_UNEVEN = 1.7
"""Noise, tones and breathing change by 1.1 dB at most, bursts of noise seldom by more; speech by 2 to 5."""
_STEADY_FRAMES = 1_000 // FRAME_MS
"""What is even for this long is noise, and there may be speech in it."""

_AUDIBLE_END = 6
_FADES = 100 // FRAME_MS
"""The last syllable fades: it ends when the level comes this near to the noise, within this many frames."""

_ECHO = 320 // FRAME_MS
_AUDIBLE = FULL_SCALE - 45
_WORST_ECHO = -6.0
"""A telephone's hybrid, until the echo is known."""
_ECHO_KNOWN = 1_000 // FRAME_MS
_ECHO_SHARE = 0.75
_OVER_ECHO = 9
"""Above the echo's usual level, which most of it doesn't reach."""

_Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of the caller's speech; loop times in seconds."""

    began: float
    ended: float


class SpeechTimes:
    """The levels of one call, and the caller's speech in them."""

    __slots__ = (
        "_began",
        "_echo_gain",
        "_encoding",
        "_frame_bytes",
        "_heard",
        "_rest",
        "_sent",
        "speech_level",
    )

    def __init__(self, began: float) -> None:
        """``began``: the loop time (seconds) from which positions count."""
        self._began = began
        self._heard = LevelTrack(KEPT_S * 1000 // FRAME_MS)
        self._sent = LevelTrack(KEPT_S * 1000 // FRAME_MS // SENT_TICKS)
        self._echo_gain = _WORST_ECHO
        self.speech_level: float = _OVER_SOFT_NOISE
        """Only above this level audio may be speech, as far as known."""
        self._rest, self._encoding, self._frame_bytes = b"", Encoding.PCM, 0
        self.set_format(PCM_8000)

    def take(self, heard: bytes, ended: float, sent: Sequence[bytes | None], now: float) -> float:
        """Take what was said since the last time until ``now``; return the caller's loudest level.

        ``heard``: the extract of the caller's audio, of any length, which ended at ``ended``. ``sent``: that
        of every `SENT_TICKS`th frame that was sent to the caller, linear; None is silence.
        """
        size, encoding = self._frame_bytes, self._encoding
        extract = self._rest + heard
        whole = len(extract) // size
        self._rest = extract[whole * size :]
        extract = extract[: whole * size]
        loud = [frame for frame in sent if frame is not None]
        if len(set(map(len, loud))) > 1:  # the caller's rate has changed
            loud = []
        if loud and len(loud[0]) == size and encoding is Encoding.PCM:  # together they cost half as much
            levels = levels_of(b"".join((extract, *loud)), encoding, size)
            self._put_sent(sent, levels[whole:], now)
            levels = levels[:whole]
        else:
            levels = levels_of(extract, encoding, size)
            if loud:
                self._put_sent(sent, levels_of(b"".join(loud), Encoding.PCM, len(loud[0])), now)
        return self._heard.put(levels, self._position(ended)) if whole else 0.0

    def _put_sent(self, sent: Sequence[bytes | None], levels: npt.NDArray[np.uint16], now: float) -> None:
        if len(levels) < len(sent):
            places = [place for place, frame in enumerate(sent) if frame is not None]
            measured, levels = levels, np.zeros(len(sent), np.uint16)
            levels[places] = measured
        self._sent.put(levels, self._position(now) // SENT_TICKS)

    def set_format(self, audio_format: AudioFormat) -> None:
        """Set the format of the caller's audio from now on."""
        self._rest = b""
        self._encoding = audio_format.encoding
        self._frame_bytes = len(range(*extract_of(audio_format).indices(audio_format.frame_bytes)))

    def _position(self, at: float) -> int:
        return round((at - self._began) / FRAME_S)

    def last_speech(self, since: float, now: float) -> Speech | None:
        """Return the caller's last speech after ``since``, at most 30 s ago: to its end so far.

        Of speech that began before, the part after ``since`` counts.
        """
        end = min(self._heard.end, self._position(now))
        start = max(self._position(since), end - KEPT_S * 1000 // FRAME_MS, 0)
        context = max(0, min(start, end - _CONTEXT)) // SENT_TICKS * SENT_TICKS
        if end - start < _LEAST_FRAMES:
            return None
        heard = self._heard.read(context, end)
        over_echo = heard - self._echo(heard, context, end)
        floor = max(_share(heard, _FLOOR_SHARE), _LEAST_FLOOR)
        found = self._search(heard, over_echo, floor, _share(heard, _PEAK_SHARE))
        if found is None or context + found[1] < start:
            return None
        first, last = (self._began + (context + place) * FRAME_S for place in found)
        return Speech(first, last + FRAME_S)

    def _search(self, heard: Levels, over_echo: Levels, floor: float, peak: float) -> tuple[int, int] | None:
        """Return the first and the last place of the last speech over the noise ``floor``."""
        threshold = max(floor + _OVER_FLOOR, (floor + peak) / 2, _LEAST)
        self.speech_level = max(threshold, _OVER_SOFT_NOISE)
        loud = np.flatnonzero((heard > threshold) & (over_echo > 0))
        for group in reversed(np.split(loud, np.flatnonzero(np.diff(loud) > _PAUSE) + 1)):
            if len(group) < _LEAST_FRAMES:
                continue
            latest = group[-_STEADY_FRAMES:]
            if len(latest) == _STEADY_FRAMES and not _is_uneven(heard, latest):
                return self._search(heard, over_echo, _share(heard[latest], 0.5), peak)
            if _is_uneven(heard, group):
                bursts = np.diff(group) == 1
                return int(group[:-1][bursts][0]), _fade_out(heard, int(group[1:][bursts][-1]), floor)
        return None

    def _echo(self, heard: Levels, start: int, end: int) -> Levels | float:
        """Return the level that an echo may have, at each place."""
        first = start // SENT_TICKS - _ECHO // SENT_TICKS
        sent = self._sent.read(first, -(-end // SENT_TICKS))
        if not sent.any():
            return 0.0
        lately = np.lib.stride_tricks.sliding_window_view(sent, _ECHO // SENT_TICKS + 1).max(axis=1)
        lately = lately.repeat(SENT_TICKS)[: len(heard)]
        audible = lately > _AUDIBLE
        ratios = (heard - lately)[audible]
        if len(ratios) >= _ECHO_KNOWN:
            self._echo_gain = min(_WORST_ECHO, _share(ratios, _ECHO_SHARE) + _OVER_ECHO)
        return np.where(audible, lately + self._echo_gain, 0)


def _share(levels: Levels, share: float) -> float:
    """Return the level that ``share`` of the levels don't exceed."""
    place = int(share * (len(levels) - 1))
    return float(np.partition(levels, place)[place])


def _is_uneven(heard: Levels, group: _Places) -> bool:
    """Return whether the level changes as that of speech does, but for the edges of each burst."""
    adjacent = np.diff(group) == 1
    inner = group[1:-1][adjacent[:-1] & adjacent[1:]]
    changes = np.abs(np.diff(heard[inner]))[np.diff(inner) == 1]
    return len(changes) >= _LEAST_CHANGES and float(changes.mean()) > _UNEVEN


def _fade_out(heard: Levels, last: int, floor: float) -> int:
    for place in range(last + 1, min(last + 1 + _FADES, len(heard))):
        if heard[place] < floor + _AUDIBLE_END or heard[place] > heard[place - 1]:
            return place - 1
        last = place
    return last
