"""What is really in the frames of AudioSocket kind 0x10: linear sound, or a codec under its label.

``Dial(AudioSocket/...)`` without a codec takes the caller's codec and labels its frames as linear sound. It
takes linear sound back, whatever it sends: measured on Asterisk 22, and ``ast_audiosocket_receive_frame`` of
``res_audiosocket.c`` has known nothing else. Nothing on the wire says so; the manager interface does.

Without it the signal tells. Sound is smooth: read as what it is, it can be predicted, and read as anything
else it looks like noise. So each reading is measured by how many bits its description takes, and the shortest
description is the right one. This holds from idle lines to full-scale tones, mostly within a single frame.
Frames that never come, for silence suppression, make no difference: each is measured by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio.formats import ALAW_8000, PCM_8000, ULAW_8000, AudioFormat, Encoding
from audiosocket_gw.audio.g711 import alaw_to_linear, linear_to_alaw, linear_to_ulaw, ulaw_to_linear

_Floats = npt.NDArray[np.float64]

FRAMES_TO_DECIDE = 50
"""After so many frames, a second of them normally, the verdict is final however weak the evidence is."""

_DECISIVE_BITS = 400
"""By how much the shortest description must beat the others: it takes one to three frames of speech."""

_FRAME_SIZE_BITS = 200
"""What the size of the frames counts for. Less than decisive, since linear sound may come in frames of 10 ms,
which look like 20 ms of G.711, and G.711 in frames of 40 ms, which look like 20 ms of linear sound."""

_SAVING_PER_BYTE = 0.25
"""What G.711 must save against the linear reading in frames of a size that linear sound usually has, in bits.
It saves 0.5 at least, and 2 mostly; two bytes that are equal, in a constant signal, seem to save 0.05."""

_FRAMES_TO_DOUBT = 3
"""So many frames of a usual size must look like G.711: one may hold a single click."""

_NOISE_BITS_PER_BYTE = 7.75
"""Random bytes take 8.2 in every reading. White noise at full level takes 7.6 in the right one, speech 5."""

_FRAMES_OF_NOISE = 10

_SILENT_CODES = b"\xff\x7f\xd5\x55"
"""The values nearest to zero in mu-law and A-law."""

_OFFSET_WEIGHT = 0.1
"""Sound on a telephone has no direct component. Idle codes read by the wrong law have, and only that is wrong
with them: so it isn't predicted away, but to nine tenths."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the frames are, as far as can be said.

    ``format`` is the best reading from the first frame on, and None when they are neither linear sound nor
    G.711 (but G.722, say): that can't be heard without its decoder. ``confidence`` goes from 0 to 1, where
    the evidence is decisive.
    """

    format: AudioFormat | None
    confidence: float
    final: bool


UNHEARD = Verdict(PCM_8000, confidence=0.0, final=False)
"""Before the first frame: what the label says."""


class Sentinel:
    """Watches the first frames of one call.

    Silence is no obstacle: 0xff and 0x7f in mu-law, 0xd5 and 0x55 in A-law, it tells the laws apart as speech
    does. So neither is the default. Before the first frame, linear sound is, which the label says; and in
    frames of a size that linear sound usually has it stays so until G.711 is beyond doubt.
    """

    __slots__ = ("_bits", "_bytes", "_frames", "_occurrences", "_unusual", "verdict")

    def __init__(self) -> None:
        self.verdict = UNHEARD
        self._bits = dict.fromkeys(_READINGS, 0.0)
        self._bytes = 0
        self._frames = 0
        self._occurrences = np.zeros((2, 256), np.int64)  # of each byte, as a sample's first and second
        self._unusual = False

    def hear(self, payload: bytes) -> Verdict:
        """Take the payload of one frame. After the final verdict nothing is looked at any more."""
        if self.verdict.final:
            return self.verdict
        if not self._frames:
            self._unusual = _unusual_for_linear(len(payload))
        for reading, description_bits in _READINGS.items():
            self._bits[reading] += description_bits(payload)
        codes = np.frombuffer(payload, np.uint8)
        for place in (0, 1):
            self._occurrences[place] += np.bincount(codes[place::2], minlength=256)
        self._bytes += len(payload)
        self._frames += 1
        self.verdict = self._judge() if self._unusual else self._doubt()
        return self.verdict

    def _judge(self) -> Verdict:
        """Judge frames of a size that linear sound hardly has."""
        bits = {**self._bits, PCM_8000: self._bits[PCM_8000] + _FRAME_SIZE_BITS}
        best, second, _ = sorted(bits, key=bits.__getitem__)  # of equals the first
        if self._is_noise(best):
            unknown = self._frames >= _FRAMES_OF_NOISE
            return Verdict(None if unknown else best, confidence=float(unknown), final=unknown)
        return self._weigh(best, bits[second] - bits[best])

    def _doubt(self) -> Verdict:
        """Judge frames of a size that linear sound usually has."""
        best, second, _ = sorted(self._bits, key=self._bits.__getitem__)
        lead = self._bits[second] - self._bits[best]
        if best == PCM_8000:
            return self._weigh(PCM_8000, lead + _FRAME_SIZE_BITS)
        is_g711 = (
            self._frames >= _FRAMES_TO_DOUBT
            and lead >= _DECISIVE_BITS
            and self._bits[PCM_8000] - self._bits[best] >= _SAVING_PER_BYTE * self._bytes
            and not self._is_noise(best)
            and not self._has_low_and_high_bytes()
        )
        return self._weigh(best, lead) if is_g711 else self._weigh(PCM_8000, 0)

    def _weigh(self, reading: AudioFormat, lead_bits: float) -> Verdict:
        confidence = min(1.0, lead_bits / _DECISIVE_BITS)
        return Verdict(reading, confidence, final=confidence == 1 or self._frames >= FRAMES_TO_DECIDE)

    def _is_noise(self, reading: AudioFormat) -> bool:
        return self._bits[reading] > _NOISE_BITS_PER_BYTE * self._bytes

    def _has_low_and_high_bytes(self) -> bool:
        """Whether the bytes at odd places are others than those at even ones; those of G.711 are all alike.

        It tells what isn't smooth: a voice that overloads the line, square waves, clicks.
        """
        low, high = self._occurrences
        return _code_bits(low) + _code_bits(high) < _code_bits(low + high)


class CodecWatch:
    """What the frames of one call under kind 0x10 are, from the first to the last.

    A frame of a size that hasn't come before may be another codec: the caller's side can change in mid-call.
    Until that is certain, the verdict stands. ``verdict`` is the present one.
    """

    __slots__ = ("_certain_sizes", "_sentinel", "_told", "verdict")

    def __init__(self) -> None:
        self._sentinel: Sentinel | None = None
        self._certain_sizes: set[int] = set()
        self._told = False
        self.verdict = UNHEARD

    def hear(self, payload: bytes) -> Verdict:
        """Take the payload of a frame."""
        if self._told or len(payload) in self._certain_sizes:
            return self.verdict
        if not _unusual_for_linear(len(payload)) and _is_g711_silence(payload):
            return self.verdict  # or linear sound that is nearly silent: nothing tells, however long
        if self._sentinel is None:
            self._sentinel = Sentinel()
        heard = self._sentinel.hear(payload)
        if heard.final:
            self._sentinel = None
            if heard.format != self.verdict.format:
                self._certain_sizes.clear()
            self._certain_sizes.add(len(payload))
        if heard.final or not self.verdict.final:
            self.verdict = heard
        return self.verdict

    def told(self, codec: str) -> Verdict:
        """Take Asterisk's word, as its manager interface names codecs; from now on nothing is looked at."""
        self._told = True
        self.verdict = Verdict(_CODECS.get(codec), confidence=1.0, final=True)
        return self.verdict


def _is_g711_silence(payload: bytes) -> bool:
    return payload[0] in _SILENT_CODES and payload.count(payload[:1]) == len(payload)


def _unusual_for_linear(size: int) -> bool:
    """Whether linear sound hardly comes in frames of ``size`` bytes; G.711 does in 80, 160 and 240."""
    return size % 2 == 1 or size <= 160 or size == 240


def _code_bits(occurrences: npt.NDArray[np.int64]) -> float:
    """Return the bits that it takes to write bytes of such frequencies, and the table of those."""
    present = occurrences[occurrences > 0]
    total = int(present.sum())
    return total * math.log2(total or 1) - float(present @ np.log2(present)) + 8 * len(present)


def _linear_bits(payload: bytes) -> float:
    if len(payload) < 2:
        return math.inf
    samples = np.frombuffer(payload, "<i2", count=len(payload) // 2)
    # With more resolution, an unchanging signal would cost less than in G.711, which has twice the samples.
    return _sound_bits(samples.astype(np.float64), math.e / 2)


def _g711_bits(
    decode: Callable[[bytes], bytes], encode: Callable[[bytes], bytes]
) -> Callable[[bytes], float]:
    every_sample = np.arange(-32_768, 32_768, dtype="<i2").tobytes()
    steps = np.bincount(np.frombuffer(encode(every_sample), np.uint8), minlength=256)
    step_bits = np.log2(steps)

    def description_bits(payload: bytes) -> float:
        codes = np.frombuffer(payload, np.uint8)
        samples = np.frombuffer(decode(payload), "<i2").astype(np.float64)
        return _sound_bits(samples, float(steps[codes].mean()) / 2) - float(step_bits[codes].sum())

    return description_bits


def _sound_bits(samples: _Floats, resolution: float) -> float:
    """Return the bits that it takes to write ``samples``, to within one unit, as errors of a prediction.

    The predictor is linear, of the second order and fitted to the samples; its errors are Laplacian.
    """
    offset = samples.mean()
    errors = _prediction_errors(samples - offset)
    mean = np.abs(errors).mean() + _OFFSET_WEIGHT * abs(offset) + resolution
    return len(samples) * math.log2(2 * math.e * mean)


def _prediction_errors(samples: _Floats) -> _Floats:
    once, twice = samples[:-1], samples[:-2]
    r0 = float(samples @ samples) * 1.0001 + 1  # a little noise: silence and pure tones have an answer, too
    r1 = float(samples[1:] @ once)
    r2 = float(samples[2:] @ twice)
    scale = r0 * r0 - r1 * r1
    errors = samples.copy()
    errors[1:] -= r1 * (r0 - r2) / scale * once
    errors[2:] -= (r0 * r2 - r1 * r1) / scale * twice
    return errors


_READINGS: dict[AudioFormat, Callable[[bytes], float]] = {
    PCM_8000: _linear_bits,
    ULAW_8000: _g711_bits(ulaw_to_linear, linear_to_ulaw),
    ALAW_8000: _g711_bits(alaw_to_linear, linear_to_alaw),
}

_CODECS = {
    "slin": PCM_8000,
    "ulaw": ULAW_8000,
    "alaw": ALAW_8000,
    # Before 20.17, 21.12 and 22.7 Asterisk has one kind for linear sound of any rate.
    **{f"slin{khz}": AudioFormat(Encoding.PCM, khz * 1_000) for khz in (12, 16, 24, 32, 48, 96, 192)},
    "slin44": AudioFormat(Encoding.PCM, 44_100),
}
