"""Regularity of the frames of a recording. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from audiosocket_gw.audio import AudioFormat
from audiosocket_gw.audio.frame_timing import GAP_MS, FrameTiming, TimedFrame
from audiosocket_gw.flight.format import CallerFrame, HeardFrame

Frames = Sequence[CallerFrame | HeardFrame]


def timing(frames: Frames, audio_format: AudioFormat) -> FrameTiming:
    """Return the figures of one direction, for frames of its last kind."""
    last = frames[-1].kind if frames else None
    timed = [TimedFrame(frame.at_us / 1e6, frame.audio) for frame in frames if frame.kind is last]
    # The rate of linear audio with this number of bytes a second: the figures use lengths in bytes.
    return FrameTiming.of(timed, audio_format.rate * audio_format.sample_bytes // 2)


def gaps(frames: Frames) -> Iterator[tuple[int, float]]:
    """Yield each pause of more than `GAP_MS`: its start in microseconds, and its length in milliseconds."""
    for before, after in pairwise(frames):
        length_ms = (after.at_us - before.at_us) / 1000
        if length_ms > GAP_MS:
            yield before.at_us, length_ms
