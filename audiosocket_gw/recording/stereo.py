"""Both channels of a call on one clock: the caller left, what the caller heard right. Pure.

A frame to the caller starts when it is sent; a frame from the caller ends when it arrives. So both channels
show the call at the gateway: shortly before the caller hears it, and shortly after the caller said it. Time
lost by the gateway or its network is silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from audiosocket_gw.audio import FRAME_MS, AudioFormat, Converter, Encoding
from audiosocket_gw.protocol.audiosocket import HEADER, SAMPLE_RATES, Kind
from audiosocket_gw.recording.track import Positions, Samples, Track
from audiosocket_gw.runtime.ticker import MAX_CATCH_UP_S

LEAD_IN_S = FRAME_MS / 1000
"""The recording begins this long before the call, since the first frame was spoken before it arrived."""

OPEN_FRAMES = 2_000 // FRAME_MS
"""Caller audio that the network delays for longer is missing in the recording, though the agent got it. TCP
retransmits after 0.2, 0.6 and 1.4 s: three losses in a row are covered. Time in which the gateway itself was
blocked doesn't count, since it sent no frames."""

BLOCK_S = 10
"""The most audio to process at once; more occurs only after the gateway was blocked for that long."""

TimedFrame = tuple[float, bytes]
"""When a frame was sent or received, in seconds of a monotonic clock; and the frame."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Frames to the caller, with headers, and audio from the caller, without: whole samples.

    ``audio_format`` is the caller's; audio to the caller is linear, at the rate of its kind.
    """

    audio_format: AudioFormat
    heard: Sequence[TimedFrame]
    said: Sequence[TimedFrame]


class Stereo:
    """The audio of one recording, at ``rate``, that begins at the time ``begins_at``."""

    def __init__(self, rate: int, begins_at: float) -> None:
        self._begins_at = begins_at
        self._rate = rate
        # An excess frame from the caller is dropped, so that a fast clock doesn't accumulate. Our own frames
        # are late by at most what the ticker catches up on, and none is ever dropped.
        self._said = _Channel(rate, ahead_s=FRAME_MS / 1000)
        self._heard = _Channel(rate, ahead_s=MAX_CATCH_UP_S)
        self._sent_at: Positions = np.empty(0, np.int64)
        self._settled = 0

    def add(self, piece: Piece) -> None:
        """Take the next piece."""
        for kind, group in groupby(piece.heard, key=lambda timed: timed[1][0]):
            frames = list(group)
            sent_at = self._positions(frames)
            payloads = [frame[HEADER.size :] for _, frame in frames]
            self._heard.add(sent_at, payloads, AudioFormat(Encoding.PCM, SAMPLE_RATES[Kind(kind)]))
            self._sent_at = np.concatenate((self._sent_at, sent_at))
        if piece.said:
            came_at = self._positions(piece.said)
            payloads = [payload for _, payload in piece.said]
            self._said.add(came_at, payloads, piece.audio_format, ends_then=True)

    def take(self) -> Iterator[tuple[int, Samples]]:
        """Yield what is new or has changed: positions, and blocks of shape (samples, 2)."""
        runs = (self._said.track.place(), self._heard.track.place())
        stop = max((position + len(audio) for channel in runs for position, audio in channel), default=0)
        block_length = BLOCK_S * self._rate
        for start in range(self._settled, stop, block_length):
            block = np.zeros((min(block_length, stop - start), 2), "<i2")
            for side, channel in enumerate(runs):
                for position, audio in channel:
                    _lay(audio, position - start, block[:, side])
            yield start, block
        self._settle()

    def close(self) -> None:
        """Drain the resamplers. Then `take` the rest."""
        self._said.drain()
        self._heard.drain()

    def _settle(self) -> None:
        if len(self._sent_at) > OPEN_FRAMES:
            self._sent_at = self._sent_at[-OPEN_FRAMES:]
            self._settled = max(self._settled, int(self._sent_at[0]))
            self._said.track.settle(self._settled)
            self._heard.track.settle(self._settled)

    def _positions(self, frames: Sequence[TimedFrame]) -> Positions:
        times = np.array([time for time, _ in frames]) - self._begins_at
        return np.rint(times * self._rate).astype(np.int64)


class _Channel:
    """One channel: converts frames to linear audio at the rate of the recording."""

    def __init__(self, rate: int, ahead_s: float) -> None:
        self.track = Track(rate, ahead_s)
        self._target = AudioFormat(Encoding.PCM, rate)
        self._begin(self._target)

    def _begin(self, audio_format: AudioFormat) -> None:
        self._converter = Converter(audio_format, self._target)
        self._bytes = 0
        self._samples = 0

    def add(
        self,
        at: Positions,
        payloads: Sequence[bytes],
        audio_format: AudioFormat,
        *,
        ends_then: bool = False,
    ) -> None:
        """Add frames that begin, or end, ``at`` the latest."""
        if audio_format != self._converter.source:
            self.drain()
            self._begin(audio_format)
        ends = self._ends(payloads)
        lengths = np.diff(ends, prepend=self._samples)
        self._samples = int(ends[-1])
        audio = self._converter.convert(b"".join(payloads))
        self.track.add(at - lengths if ends_then else at, lengths, np.frombuffer(audio, "<i2"))

    def drain(self) -> None:
        """Add what the resampler holds; its frames have already been added."""
        nothing: Positions = np.empty(0, np.int64)
        self.track.add(nothing, nothing, np.frombuffer(self._converter.drain(), "<i2"))

    def _ends(self, payloads: Sequence[bytes]) -> Positions:
        """Return where each frame ends in the converter's total output."""
        source = self._converter.source
        sizes = self._bytes + np.cumsum([len(payload) for payload in payloads], dtype=np.int64)
        self._bytes = int(sizes[-1])
        ends: Positions = -(-(sizes // source.sample_bytes) * self._target.rate // source.rate)
        return ends


def _lay(audio: Samples, at: int, channel: Samples) -> None:
    """Copy the part of the audio that is within the channel's borders."""
    start, stop = max(0, at), min(len(channel), at + len(audio))
    if start < stop:
        channel[start:stop] = audio[start - at : stop - at]
