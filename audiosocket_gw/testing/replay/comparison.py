"""Compares two records of a caller's audio sample by sample. Pure.

Silence is ignored on both sides: its length depends on when a message met the gateway's clock. The rest is
the agent's audio, which is identical unless the call went differently.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio import AudioFormat, Encoding

SILENT = {
    Encoding.PCM: (0,),
    Encoding.ULAW: (0xFF, 0x7F),
    Encoding.ALAW: (0xD5, 0x55),
}
"""The encoded samples nearest to zero."""

WINDOW_MS = 10
"""Identical audio of this length counts as the same audio."""

SEARCH_MS = 30_000
"""The range of the search for the same audio."""

STRIDE = 8_192
"""Samples that are compared at once."""

Samples = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Milliseconds of audio, without silence."""

    same_ms: float
    missing_ms: float
    """In the recording, but not in the replay."""
    added_ms: float
    """In the replay, but not in the recording."""

    @property
    def differing_ms(self) -> float:
        return max(self.missing_ms, self.added_ms)


def compare(recorded: Iterable[bytes], replayed: Iterable[bytes], audio_format: AudioFormat) -> Comparison:
    """Compare the audio of two series of frames, both in the same format."""
    before, after = (_voiced(b"".join(frames), audio_format) for frames in (recorded, replayed))
    same = _same(before, after, audio_format.rate)
    ms = 1000 / audio_format.rate
    return Comparison(same * ms, (len(before) - same) * ms, (len(after) - same) * ms)


def _voiced(audio: bytes, audio_format: AudioFormat) -> Samples:
    width = audio_format.sample_bytes
    samples = np.frombuffer(audio[: len(audio) // width * width], "<u2" if width == 2 else "u1")
    return samples[~np.isin(samples, SILENT[audio_format.encoding])]


def _same(before: Samples, after: Samples, rate: int) -> int:
    """Count the samples that both have, in order."""
    at = there = same = 0
    while True:
        length = _agreement(before[at:], after[there:])
        same += length
        at += length
        there += length
        found = _next_agreement(before, after, at, there, rate)
        if found is None:
            return same
        back = _agreement(before[at : found[0]][::-1], after[there : found[1]][::-1])
        at, there = found[0] - back, found[1] - back


def _agreement(before: Samples, after: Samples) -> int:
    """Return how many samples agree from the start."""
    length = min(len(before), len(after))
    for start in range(0, length, STRIDE):
        stop = min(start + STRIDE, length)
        differing = np.flatnonzero(before[start:stop] != after[start:stop])
        if differing.size:
            return start + int(differing[0])
    return length


def _next_agreement(
    before: Samples, after: Samples, at: int, there: int, rate: int
) -> tuple[int, int] | None:
    """Return where the two agree again: at the first window of ``before`` that ``after`` contains."""
    window = rate * WINDOW_MS // 1000
    reach = rate * SEARCH_MS // 1000
    width = after.itemsize
    ahead = after[there : there + reach].tobytes()
    for start in range(at, min(at + reach, len(before) - window + 1), window):
        found = _find(ahead, before[start : start + window].tobytes(), width)
        if found is not None:
            return start, there + found
    return None


def _find(audio: bytes, wanted: bytes, width: int) -> int | None:
    """Return the sample at which ``wanted`` begins."""
    found = audio.find(wanted)
    while found % width and found >= 0:
        found = audio.find(wanted, found + 1)
    return found // width if found >= 0 else None
