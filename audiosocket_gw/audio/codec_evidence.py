"""The evidence for the codec of frames of AudioSocket kind 0x10, weighed frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio.formats import ALAW_8000, PCM_8000, ULAW_8000, AudioFormat
from audiosocket_gw.audio.frame_readings import NOISE_BITS_PER_BYTE, READINGS, FrameReadings

_DECISIVE_BITS = 400
"""The lead of the shortest description that decides: one to three frames of speech."""

_FRAME_SIZE_BITS = 200
"""The weight of the frame size. Less than decisive, since linear audio in frames of 10 ms has the size of 20
ms of G.711, and G.711 in frames of 40 ms that of 20 ms of linear audio."""

_RATE_BITS = 1_000
"""The weight of the byte rate against readings that need another rate. Lost packets lower it, so speech may
outweigh it."""

_SAVING_PER_BYTE = 0.25
"""The bits that G.711 must save against the linear reading, in frames of a usual size of linear audio. It
saves at least 0.5, mostly 2; equal bytes in a constant signal seem to save 0.05."""

_FRAMES_TO_DOUBT = 3
"""Number of frames of a usual size that must look like G.711: one may contain a single click."""

_BYTES_OF_NOISE = 8_000
"""Bytes that must be noise in every reading to prove another codec: a second at 64 kbit/s."""

_PLAIN_ALPHABET = 10
"""The most different bytes in quiet G.711. The idle pattern of G.722 has 11 to 31, in frames of 20 ms."""

_MEMORY = 0.95
"""The share of the evidence that remains after 160 bytes: after a second, almost none."""

_FRAMES_TO_DECIDE = 100
"""After this many frames without a verdict, the previous one holds."""

_MAX_OCCURRENCES = 65_535
"""Largest count of a byte, in 16 bits: each new call has 512 of these counts."""

_MAX_COMPRESSED_BYTES_PER_S = 5_600
MAX_G711_BYTES_PER_S = 10_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """The codec of the frames, as far as known.

    ``format`` is the best reading, or None if the frames are neither linear audio nor G.711 (such as G.722),
    or may not be: then they can't be decoded. ``certain``: the evidence is decisive; later evidence may still
    outweigh it.
    """

    format: AudioFormat | None
    certain: bool


UNHEARD = Verdict(PCM_8000, certain=False)
"""The verdict before the first frame: the label."""

_UNDECIDED = Verdict(None, certain=False)


class CodecEvidence:
    """Weighs the frames of a call, or of a part of it. ``verdict`` is the current one.

    Frames of a usual size of linear audio count as such, as labelled, until G.711 is certain, unless the rate
    contradicts it. For other sizes all readings are equal, and there is no verdict until there is speech.
    """

    __slots__ = (
        "_bits",
        "_bytes",
        "_frames",
        "_noisy_bytes",
        "_occurrences",
        "_plain",
        "_telling",
        "verdict",
    )

    def __init__(self) -> None:
        self.verdict = UNHEARD
        self._bits = dict.fromkeys(READINGS, 0.0)
        self._bytes = 0.0
        self._frames = self._noisy_bytes = self._telling = self._plain = 0
        self._occurrences = np.zeros((2, 256), np.uint16)  # counts of each byte, as first and as second

    @property
    def is_inconclusive(self) -> bool:
        """Whether enough frames were weighed without a decision."""
        return self._frames >= _FRAMES_TO_DECIDE

    def hear(self, payload: bytes, bytes_per_s: float = 0.0) -> Verdict:
        """Weigh the payload of one frame, and the byte rate; 0: unknown."""
        look = FrameReadings(payload)
        self._frames += 1
        if look.tells and not self._telling and not self._noisy_bytes:
            self._forget()
        self._telling += look.tells
        self._plain += look.alphabet <= _PLAIN_ALPHABET
        if look.is_noise:
            self._noisy_bytes += look.size
        if _is_usual_for_linear(len(payload), bytes_per_s):
            self._add(look)
            self.verdict = self._doubt(payload)
        elif look.tells or look.is_noise:
            self._add(look)
            self.verdict = self._judge(_penalties(len(payload), bytes_per_s))
        elif not self._telling and look.is_regular:
            self.verdict = self._lean_on(look, _penalties(len(payload), bytes_per_s))
        elif self.verdict == UNHEARD:
            self.verdict = _UNDECIDED
        return self.verdict

    def _forget(self) -> None:
        """Start again: apparent evidence of quiet and square waves must not outweigh that of speech."""
        self._bits = dict.fromkeys(READINGS, 0.0)
        self._bytes = 0.0

    def _add(self, look: FrameReadings) -> None:
        kept = _MEMORY ** (look.size / 160)
        for reading, bits in look.bits.items():
            self._bits[reading] = self._bits[reading] * kept + bits
        self._bytes = self._bytes * kept + look.size

    def _judge(self, penalties: dict[AudioFormat, float]) -> Verdict:
        """Judge frames of a size or rate that is unusual for linear audio."""
        bits: dict[AudioFormat | None, float] = {
            reading: bits + penalties[reading] for reading, bits in self._bits.items()
        }
        bits[None] = NOISE_BITS_PER_BYTE * self._bytes
        best, second, *_ = sorted(bits, key=bits.__getitem__)  # of equals the first
        is_decisive = bits[second] - bits[best] >= _DECISIVE_BITS
        if best is None:
            return Verdict(None, certain=is_decisive and self._noisy_bytes >= _BYTES_OF_NOISE)
        return Verdict(best, certain=is_decisive) if self._telling else _UNDECIDED

    def _lean_on(self, look: FrameReadings, penalties: dict[AudioFormat, float]) -> Verdict:
        """Accept the likely reading of a tone or a quiet line, which decides nothing."""
        return Verdict(
            min(look.bits, key=lambda reading: look.bits[reading] + penalties[reading]), certain=False
        )

    def _doubt(self, payload: bytes) -> Verdict:
        """Judge frames of a usual size of linear audio."""
        codes = np.frombuffer(payload, np.uint8)
        for place in (0, 1):
            seen = self._occurrences[place] + np.bincount(codes[place::2], minlength=256)
            self._occurrences[place] = np.minimum(seen, _MAX_OCCURRENCES)
        best, second, _ = sorted(self._bits, key=self._bits.__getitem__)
        lead = self._bits[second] - self._bits[best]
        if best == PCM_8000:
            is_decisive = lead + _FRAME_SIZE_BITS >= _DECISIVE_BITS
            return Verdict(PCM_8000, certain=is_decisive and not self._is_noise(PCM_8000))
        is_g711 = (
            self._telling + self._plain >= _FRAMES_TO_DOUBT
            and lead >= _DECISIVE_BITS
            and self._bits[PCM_8000] - self._bits[best] >= _SAVING_PER_BYTE * self._bytes
            and not self._is_noise(best)
            and not self._has_low_and_high_bytes()
        )
        return Verdict(best, certain=self._telling >= _FRAMES_TO_DOUBT) if is_g711 else UNHEARD

    def _is_noise(self, reading: AudioFormat) -> bool:
        return self._bits[reading] > NOISE_BITS_PER_BYTE * self._bytes

    def _has_low_and_high_bytes(self) -> bool:
        """Return whether bytes at odd and even places differ statistically; those of G.711 don't.

        This identifies audio that isn't smooth: a clipped voice, square waves, clicks.
        """
        low, high = self._occurrences.astype(np.int64)
        return _code_bits(low) + _code_bits(high) < _code_bits(low + high)


def _is_usual_for_linear(size: int, bytes_per_s: float) -> bool:
    return not is_unusual_for_linear(size) and not 0 < bytes_per_s < MAX_G711_BYTES_PER_S


def _penalties(size: int, bytes_per_s: float) -> dict[AudioFormat, float]:
    """Return the weight of size and rate against each reading."""
    compressed = _RATE_BITS if 0 < bytes_per_s < _MAX_COMPRESSED_BYTES_PER_S else 0
    linear = _RATE_BITS if 0 < bytes_per_s < MAX_G711_BYTES_PER_S else _FRAME_SIZE_BITS
    return {PCM_8000: linear, ULAW_8000: compressed, ALAW_8000: compressed}


def is_unusual_for_linear(size: int) -> bool:
    """Return whether ``size`` bytes are unusual for linear audio; G.711 has 80, 160 and 240."""
    return size % 2 == 1 or size <= 160 or size == 240


def _code_bits(occurrences: npt.NDArray[np.int64]) -> float:
    """Return the bits to encode bytes of these frequencies, including their table."""
    present = occurrences[occurrences > 0]
    total = int(present.sum())
    return total * math.log2(total or 1) - float(present @ np.log2(present)) + 8 * len(present)
