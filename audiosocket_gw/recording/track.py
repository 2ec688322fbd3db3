"""One channel of a recording: the position of each frame on the clock. Pure.

A frame's latest time is known: it had been spoken when it arrived. How much earlier it belongs follows from
later frames: a network releases delayed frames in a burst, and the least delayed of the following frames
gives the time of all contiguous ones. So frames stay open for a while, and are placed again as more arrive.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]
Positions = npt.NDArray[np.int64]
Run = tuple[int, Samples]
"""Audio without a gap, and the position of its first sample."""

LASTING_S = 0.020
"""If all frames are later than this, unsent silence preceded them."""

LASTING_FRAMES = 10
"""The number of frames for `LASTING_S`: normally 200 ms."""

JITTER_S = 0.060
"""Lateness of a few frames that counts as network jitter. Above it, silence preceded them."""


class Track:
    """Places the frames of one channel on the clock of a recording, in samples from its start.

    Audio is never stretched: frames are contiguous, or have silence between them. A frame is at most
    `LASTING_S` earlier than the least delayed of the following ones, and at most ``ahead_s`` later than it
    was due. If more audio arrives than there was time for, the oldest open frames are dropped.
    """

    __slots__ = (
        "_ahead",
        "_audio",
        "_due",
        "_follows",
        "_jitter",
        "_kept_from",
        "_lasting",
        "_settled",
        "_starts",
        "_stream_end",
    )

    def __init__(self, rate: int, ahead_s: float) -> None:
        self._ahead = round(ahead_s * rate)
        self._jitter = round(JITTER_S * rate)
        self._lasting = round(LASTING_S * rate)
        self._settled = 0  # what is before this position is final
        self._follows = False  # whether there is audio right before that position
        # The stream is the frames without gaps.
        self._starts: Positions = np.empty(0, np.int64)  # of each open frame, in the stream
        self._due: Positions = np.empty(0, np.int64)  # the latest position of its first sample
        self._stream_end = 0
        self._audio: Samples = np.empty(0, np.int16)
        self._kept_from = 0  # the position in the stream of the first sample that is kept

    def add(self, due: Positions, lengths: Positions, audio: Samples) -> None:
        """Add frames, in order: the latest position and the length of each, and their audio.

        A resampler may hold back some of the audio until a later call.
        """
        ends = self._stream_end + np.cumsum(lengths)
        self._starts = np.concatenate((self._starts, ends - lengths))
        self._due = np.concatenate((self._due, due))
        self._audio = np.concatenate((self._audio, audio))
        if len(ends):
            self._stream_end = int(ends[-1])

    def place(self) -> list[Run]:
        """Return the open audio, in order, each run at its best known position."""
        offsets = self._offsets()
        steps = np.flatnonzero(np.diff(offsets)) + 1
        borders = [0, *steps.tolist(), len(offsets)] if len(offsets) else []
        runs = []
        for first, beyond in pairwise(borders):
            start, stop = int(self._starts[first]), self._end_of(beyond - 1)
            audio = self._audio[start - self._kept_from : stop - self._kept_from]
            runs.append((start + int(offsets[first]), audio))
        return runs

    def settle(self, position: int) -> None:
        """Make everything before ``position`` final, as placed last."""
        offsets = self._offsets()
        ends = np.append(self._starts[1:], self._stream_end) + offsets
        done = int(np.searchsorted(ends, position, side="right"))
        self._follows = done > 0 and int(ends[done - 1]) == position
        self._leave(done)
        if len(self._starts):
            cut = position - int(self._starts[0] + offsets[done])
            if cut > 0:  # the position is within a frame: its second half becomes a frame
                self._starts[0] += cut
                self._due[0] += cut
                self._follows = True
        self._settled = position
        self._forget_settled_audio()

    def _offsets(self) -> Positions:
        """Return the offset of each open frame from its position in the stream; drop frames without room.

        Offsets change only at gaps.
        """
        latest = self._latest()
        room_from = int(np.searchsorted(self._starts + latest, self._settled - self._ahead))
        self._leave(room_from)
        latest = offsets = latest[room_from:]
        if len(latest):
            offsets = latest.copy()
            offset = self._settled - int(self._starts[0])
            if not self._follows:
                offset = max(offset, int(latest[0]))
            first = 0
            while first < len(latest):
                beyond = first + self._going_on(latest[first:], offset)
                offsets[first:beyond] = offset
                if beyond < len(latest):
                    offset = int(latest[beyond])
                first = beyond
        return offsets

    def _latest(self) -> Positions:
        """Return the greatest offset at which neither this frame nor a later one is after its latest time."""
        latest: Positions = np.minimum.accumulate((self._due - self._starts)[::-1])[::-1]
        return latest

    def _going_on(self, latest: Positions, offset: int) -> int:
        """Return the number of contiguous frames."""
        much_later = int(np.searchsorted(latest, offset + self._jitter, side="right"))
        confirmed = latest[: max(0, len(latest) - LASTING_FRAMES)]
        later = int(np.searchsorted(confirmed, offset + self._lasting, side="right"))
        return min(much_later, later) if later < len(confirmed) else much_later

    def _end_of(self, frame: int) -> int:
        return int(self._starts[frame + 1]) if frame + 1 < len(self._starts) else self._stream_end

    def _leave(self, frames: int) -> None:
        self._starts = self._starts[frames:]
        self._due = self._due[frames:]

    def _forget_settled_audio(self) -> None:
        needed_from = int(self._starts[0]) if len(self._starts) else self._stream_end
        # What a resampler holds back of dropped frames is still to come.
        forgotten = min(needed_from - self._kept_from, len(self._audio))
        self._audio = self._audio[forgotten:]
        self._kept_from += forgotten
