"""The evidence for what is in frames of AudioSocket kind 0x10, weighed frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio.formats import ALAW_8000, PCM_8000, ULAW_8000, AudioFormat
from audiosocket_gw.audio.frame_readings import NOISE_BITS_PER_BYTE, READINGS, FrameReadings

_DECISIVE_BITS = 400
"""By how much the shortest description must beat the others: it takes one to three frames of speech."""

_FRAME_SIZE_BITS = 200
"""What the size of the frames counts for. Less than decisive, since linear audio may come in frames of 10 ms,
which look like 20 ms of G.711, and G.711 in frames of 40 ms, which look like 20 ms of linear audio."""

_RATE_BITS = 1_000
"""What the rate of the bytes counts for against readings that need another one. Packets that get lost lower
it, so speech may outweigh it."""

_SAVING_PER_BYTE = 0.25
"""What G.711 must save against the linear reading in frames of a size that linear audio usually has, in bits.
It saves 0.5 at least, and 2 mostly; two bytes that are equal, in a constant signal, seem to save 0.05."""

_FRAMES_TO_DOUBT = 3
"""How many frames of a usual size must look like G.711: one may hold a single click."""

_BYTES_OF_NOISE = 8_000
"""How many must be noise in every reading to be sure that it is another codec: a second at 64 kbit/s."""

_PLAIN_ALPHABET = 10
"""What quiet G.711 has at most. The idle pattern of G.722 has 11 to 31, in frames of 20 ms."""

_MEMORY = 0.95
"""What is left of the evidence after 160 bytes: after a second nothing is, to speak of."""

_FRAMES_TO_DECIDE = 100
"""After this many frames without a verdict, the one before stands."""

_MAX_OCCURRENCES = 65_535
"""Of a byte; what 16 bits hold. Each call that begins has 512 of these counts."""

_MAX_COMPRESSED_BYTES_PER_S = 5_600
MAX_G711_BYTES_PER_S = 10_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the frames are, as far as can be said.

    ``format`` is the best reading, and None when they are neither linear audio nor G.711 (but G.722, say),
    or can't be told from that yet: there is nothing that could be heard. ``certain``: the evidence is
    decisive. It may be outweighed later all the same.
    """

    format: AudioFormat | None
    certain: bool


UNHEARD = Verdict(PCM_8000, certain=False)
"""Before the first frame: what the label says."""

_UNDECIDED = Verdict(None, certain=False)


class CodecEvidence:
    """Weighs the frames of a call, or of a part of it. ``verdict`` is the present one.

    In frames of a size that linear audio usually has, and unless the rate speaks against it, they are linear
    audio until G.711 is beyond doubt, as the label says. In others all readings are equal, and until there is
    speech there is no verdict.
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
        self._occurrences = np.zeros((2, 256), np.uint16)  # of each byte, as a sample's first and second

    @property
    def is_inconclusive(self) -> bool:
        """Whether it has looked at enough frames, and none decides."""
        return self._frames >= _FRAMES_TO_DECIDE

    def hear(self, payload: bytes, bytes_per_s: float = 0.0) -> Verdict:
        """Take the payload of one frame, and the rate at which they arrive; 0: it isn't known."""
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
        """Begin anew: what quiet and square waves seem to say must not outweigh what speech does."""
        self._bits = dict.fromkeys(READINGS, 0.0)
        self._bytes = 0.0

    def _add(self, look: FrameReadings) -> None:
        kept = _MEMORY ** (look.size / 160)
        for reading, bits in look.bits.items():
            self._bits[reading] = self._bits[reading] * kept + bits
        self._bytes = self._bytes * kept + look.size

    def _judge(self, penalties: dict[AudioFormat, float]) -> Verdict:
        """Judge frames of a size that linear audio hardly has, or that come at another rate."""
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
        """Take a tone, or a quiet line, for what it looks like; it decides nothing."""
        return Verdict(
            min(look.bits, key=lambda reading: look.bits[reading] + penalties[reading]), certain=False
        )

    def _doubt(self, payload: bytes) -> Verdict:
        """Judge frames of a size that linear audio usually has."""
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
        """Whether the bytes at odd places are others than those at even ones; those of G.711 are all alike.

        It tells what isn't smooth: a voice that overloads the line, square waves, clicks.
        """
        low, high = self._occurrences.astype(np.int64)
        return _code_bits(low) + _code_bits(high) < _code_bits(low + high)


def _is_usual_for_linear(size: int, bytes_per_s: float) -> bool:
    return not is_unusual_for_linear(size) and not 0 < bytes_per_s < MAX_G711_BYTES_PER_S


def _penalties(size: int, bytes_per_s: float) -> dict[AudioFormat, float]:
    """Return what size and rate count for against each reading."""
    compressed = _RATE_BITS if 0 < bytes_per_s < _MAX_COMPRESSED_BYTES_PER_S else 0
    linear = _RATE_BITS if 0 < bytes_per_s < MAX_G711_BYTES_PER_S else _FRAME_SIZE_BITS
    return {PCM_8000: linear, ULAW_8000: compressed, ALAW_8000: compressed}


def is_unusual_for_linear(size: int) -> bool:
    """Whether linear audio hardly comes in frames of ``size`` bytes; G.711 does in 80, 160 and 240."""
    return size % 2 == 1 or size <= 160 or size == 240


def _code_bits(occurrences: npt.NDArray[np.int64]) -> float:
    """Return the bits that it takes to write bytes of such frequencies, and the table of those."""
    present = occurrences[occurrences > 0]
    total = int(present.sum())
    return total * math.log2(total or 1) - float(present @ np.log2(present)) + 8 * len(present)
