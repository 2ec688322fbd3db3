"""What is really in the frames of AudioSocket kind 0x10: linear audio, or a codec under its label.

``Dial(AudioSocket/...)`` without a codec takes the caller's codec and labels its frames as linear audio. It
takes linear audio back, whatever it sends: measured on Asterisk 22, and ``ast_audiosocket_receive_frame`` of
``res_audiosocket.c`` has known nothing else. And before 20.17, 21.12, 22.7 and 23.1 linear audio of any rate
has this kind. Nothing on the wire says so; the manager interface does. Without it two things tell:

*The signal.* Audio is smooth: read as what it is, it can be predicted, and read as anything else it looks
like noise. So each reading is measured by how many bits its description takes, and the shortest description
is the right one. What a compressed codec writes is noise in every reading. Where nothing is said, nothing can
be told: a frame counts only if it is noise, or if its description is short for so many different bytes.

*The rate* at which bytes arrive (`ByteRate`). 16,000 bytes a second are linear audio at 8 kHz, more are
linear audio at a higher rate, and 8,000 are G.711, or G.722.

No verdict is for good. One that is certain costs next to nothing from then on: a frame now and then is looked
at, the next ones after a pause, and all that have a new size; and none where the rate has confirmed linear
audio.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiosocket_gw.audio.byte_rate import ByteRate
from audiosocket_gw.audio.formats import ALAW_8000, PCM_8000, ULAW_8000, AudioFormat, Encoding
from audiosocket_gw.audio.g711 import alaw_to_linear, linear_to_alaw, linear_to_ulaw, ulaw_to_linear

_Floats = npt.NDArray[np.float64]

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
"""So many frames of a usual size must look like G.711: one may hold a single click."""

_NOISE_BITS_PER_BYTE = 7.6
"""Of random bytes, every reading takes 8.2; of G.722, 7.7 to 8.3, and of ADPCM 7.6 to 8. White noise at full
level takes 7.6 in the right one, speech 4 to 7.2."""

_BYTES_OF_NOISE = 8_000
"""So many must be noise in every reading to be sure that it is another codec: a second at 64 kbit/s."""

_MIN_ALPHABET = 16
"""With fewer different bytes a frame is idle, quiet, or a steady tone, or of five samples."""

_PLAIN_ALPHABET = 10
"""What quiet G.711 has at most. The idle pattern of G.722 has 11 to 31, in frames of 20 ms."""

_REGULAR_ALPHABET = 3
_REGULAR_BITS_PER_BYTE = 5.0
"""Tones and quiet take less. The idle pattern of G.722 takes 5.5, and a tone in ADPCM 5.9, in any reading."""

_MEMORY = 0.95
"""What is left of the evidence after 160 bytes: after a second nothing is, to speak of."""

_FRAMES_OF_PROBATION = 5
"""Looked at after a pause, and when a frame has contradicted the verdict."""

_FRAMES_BETWEEN_CHECKS = 50
_FRAMES_BETWEEN_CHECKS_IF_DEAF = 8
"""Of a verdict that is certain, one frame in so many is looked at. Where it says that nothing can be decoded,
the caller isn't heard: that must not last."""

_RATE_IS_KNOWN_S = 0.4
_RATE_CONFIRMS_S = 1.5
"""So long a rate must be steady to be known, and to be beyond doubt. For a wider band it must be the latter,
unless the frames are the 20 ms that Asterisk normally makes."""

_FRAMES_TO_DECIDE = 100
"""So many frames, and no verdict, leave a verdict that there was as it is."""

_MAX_SIZES = 16
"""Frame sizes that are kept in mind; no telephone has as many."""

_SILENT_CODES = b"\xff\x7f\xd5\x55"
"""The values nearest to zero in mu-law and A-law."""

_OFFSET_WEIGHT = 0.1
"""Audio on a telephone has no direct component. Idle codes read by the wrong law have, and only that is wrong
with them: so it isn't predicted away, but to nine tenths."""


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

_UNTOLD = Verdict(None, certain=False)


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
        self._bits = dict.fromkeys(_READINGS, 0.0)
        self._bytes = 0.0
        self._frames = self._noisy_bytes = self._telling = self._plain = 0
        self._occurrences = np.zeros((2, 256), np.uint16)  # of each byte, as a sample's first and second

    @property
    def is_at_a_loss(self) -> bool:
        """Whether it has looked long enough to see that there is nothing to be seen."""
        return self._frames >= _FRAMES_TO_DECIDE

    def hear(self, payload: bytes, bytes_per_s: float = 0.0) -> Verdict:
        """Take the payload of one frame, and the rate at which they arrive; 0: it isn't known."""
        look = _Look(payload)
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
            self.verdict = _UNTOLD
        return self.verdict

    def _forget(self) -> None:
        """Begin anew: what quiet and square waves seem to say must not outweigh what speech does."""
        self._bits = dict.fromkeys(_READINGS, 0.0)
        self._bytes = 0.0

    def _add(self, look: _Look) -> None:
        kept = _MEMORY ** (look.size / 160)
        for reading, bits in look.bits.items():
            self._bits[reading] = self._bits[reading] * kept + bits
        self._bytes = self._bytes * kept + look.size

    def _judge(self, penalties: dict[AudioFormat, float]) -> Verdict:
        """Judge frames of a size that linear audio hardly has, or that come at another rate."""
        bits: dict[AudioFormat | None, float] = {
            reading: bits + penalties[reading] for reading, bits in self._bits.items()
        }
        bits[None] = _NOISE_BITS_PER_BYTE * self._bytes
        best, second, *_ = sorted(bits, key=bits.__getitem__)  # of equals the first
        is_decisive = bits[second] - bits[best] >= _DECISIVE_BITS
        if best is None:
            return Verdict(None, certain=is_decisive and self._noisy_bytes >= _BYTES_OF_NOISE)
        return Verdict(best, certain=is_decisive) if self._telling else _UNTOLD

    def _lean_on(self, look: _Look, penalties: dict[AudioFormat, float]) -> Verdict:
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
        return self._bits[reading] > _NOISE_BITS_PER_BYTE * self._bytes

    def _has_low_and_high_bytes(self) -> bool:
        """Whether the bytes at odd places are others than those at even ones; those of G.711 are all alike.

        It tells what isn't smooth: a voice that overloads the line, square waves, clicks.
        """
        low, high = self._occurrences.astype(np.int64)
        return _code_bits(low) + _code_bits(high) < _code_bits(low + high)


_MAX_OCCURRENCES = 65_535
"""Of a byte; what 16 bits hold. Each call that begins has 512 of these counts."""


class _Look:
    """One frame in every reading: ``bits`` of each, and what can be said of them all."""

    __slots__ = ("alphabet", "bits", "is_noise", "is_regular", "size", "tells")

    def __init__(self, payload: bytes) -> None:
        self.size = len(payload)
        self.bits = {reading: describe(payload) for reading, describe in _READINGS.items()}
        best = min(self.bits.values()) / self.size
        self.alphabet = alphabet = len(set(payload))
        self.is_regular = alphabet >= _REGULAR_ALPHABET and best < _REGULAR_BITS_PER_BYTE
        self.is_noise = alphabet >= _MIN_ALPHABET and best > _NOISE_BITS_PER_BYTE
        # Few different bytes take few bits, whatever they mean: the idle patterns of G.722 and ADPCM do.
        of_noise = 256 * (1 - (255 / 256) ** min(self.size, 160))
        self.tells = alphabet >= _MIN_ALPHABET and best < _NOISE_BITS_PER_BYTE - math.log2(
            of_noise / alphabet
        )

    def contradicts(self, format_: AudioFormat | None) -> bool:
        """Whether this frame looks like another format than that."""
        if format_ is None:
            return self.tells
        if self.tells:
            return min(self.bits, key=self.bits.__getitem__) != (
                format_ if format_ in self.bits else PCM_8000
            )
        return self.is_noise


class CodecDetector:
    """What the frames of one call under kind 0x10 are, from the first to the last.

    ``verdict`` is the present one. One that is certain stands until another is: the caller's side can change
    in mid-call, and a verdict can have been wrong.
    """

    __slots__ = (
        "_countdown",
        "_evidence",
        "_is_confirmed",
        "_probation",
        "_rate",
        "_sizes",
        "_told",
        "verdict",
    )

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """``clock`` counts seconds; without one the rate of the bytes isn't measured."""
        self._rate = ByteRate(clock) if clock is not None else None
        self._evidence: CodecEvidence | None = None
        self._sizes: tuple[int, ...] = ()  # in which the verdict has been found to be right
        self._told = False
        self._is_confirmed = False  # by the rate: nothing is looked at
        self._countdown = self._probation = 0
        self.verdict = UNHEARD

    def hear(self, payload: bytes) -> Verdict:
        """Take the payload of a frame."""
        if self.is_settled(len(payload)):
            return self.verdict
        if self._rate is not None:
            is_news = self._rate.hear(len(payload))
            linear = _linear_at(self._rate, len(payload))
            if linear is not None and not self._speaks_against(self._rate):
                return self._take_rate(linear, len(payload))
            if is_news and _is_too_slow(self._rate, self.verdict.format):
                self._countdown = 0
                self._probation = _FRAMES_OF_PROBATION
        if self._evidence is None and len(payload) in self._sizes and not self._contradicts(payload):
            return self.verdict
        return self._examine(payload)

    def is_settled(self, size: int) -> bool:
        """Whether frames of ``size`` bytes aren't looked at, until `look_again`."""
        return self._told or (self._is_confirmed and size in self._sizes)

    def look_again(self) -> None:
        """The audio has paused: what comes now may be another codec."""
        if not self._told:
            self._is_confirmed = False
            self._countdown = 0
            self._probation = _FRAMES_OF_PROBATION
            if self._rate is not None:
                self._rate.restart()

    def set_codec(self, codec: str) -> Verdict:
        """Take Asterisk's word, as its manager interface names codecs; from now on nothing is looked at."""
        self._told = True
        self._evidence = None
        self.verdict = Verdict(_CODECS.get(codec), certain=True)
        return self.verdict

    def _speaks_against(self, measured: ByteRate) -> bool:
        """Whether the signal is certain of G.711: what a network held back may have come a while too fast."""
        heard = self.verdict.format
        is_g711 = heard is not None and heard.encoding is not Encoding.PCM
        return self.verdict.certain and is_g711 and measured.steady_s < _RATE_CONFIRMS_S

    def _take_rate(self, linear: AudioFormat, size: int) -> Verdict:
        assert self._rate is not None
        self._evidence = None
        self._remember(size)
        self._is_confirmed = self._rate.steady_s >= _RATE_CONFIRMS_S
        if self.verdict != Verdict(linear, certain=True):
            self.verdict = Verdict(linear, certain=True)
        return self.verdict

    def _contradicts(self, payload: bytes) -> bool:
        """Look at a frame now and then; tell whether it has to be weighed, with those that follow."""
        self._countdown -= 1
        if self._countdown > 0:
            return False
        self._probation -= 1
        if self._probation <= 0:
            is_deaf = self.verdict.format is None
            self._countdown = _FRAMES_BETWEEN_CHECKS_IF_DEAF if is_deaf else _FRAMES_BETWEEN_CHECKS
        return _Look(payload).contradicts(self.verdict.format)

    def _examine(self, payload: bytes) -> Verdict:
        if not self.verdict.certain and not _is_unusual(len(payload)) and _is_g711_silence(payload):
            return self.verdict  # or linear audio that is nearly silent: nothing tells, however long
        if self._evidence is None:
            self._evidence = CodecEvidence()
        heard = self._evidence.hear(payload, self._rate.per_s if self._rate is not None else 0.0)
        if heard.certain:
            self._settle(heard, len(payload))
        elif self._evidence.is_at_a_loss and self.verdict.certain:
            self._evidence = None  # what contradicted the verdict was nothing
            self._remember(len(payload))
        elif not self.verdict.certain and heard != self.verdict:
            self.verdict = heard
        return self.verdict

    def _settle(self, heard: Verdict, size: int) -> None:
        self._evidence = None
        self._countdown = _FRAMES_BETWEEN_CHECKS
        if not self._is_same(heard):
            self._sizes = ()
            self.verdict = heard
        self._remember(size)

    def _remember(self, size: int) -> None:
        if size not in self._sizes and len(self._sizes) < _MAX_SIZES:
            self._sizes = (*self._sizes, size)

    def _is_same(self, heard: Verdict) -> bool:
        """Whether that is known for certain already. The signal doesn't tell the rate of linear audio."""
        before = self.verdict
        is_linear = before.format is not None and before.format.encoding is Encoding.PCM
        return before.certain and (heard.format == before.format or (is_linear and heard.format == PCM_8000))


def _linear_at(measured: ByteRate, size: int) -> AudioFormat | None:
    """Return the linear format that has this rate in frames of ``size`` bytes; None: not known, or too slow.

    Only a rate at which the frame is a telephone's packet counts: lost packets lower what is measured.
    """
    if measured.steady_s < _RATE_IS_KNOWN_S or measured.per_s < _MIN_LINEAR_BYTES_PER_S:
        return None
    possible = _LINEAR_FORMATS_BY_SIZE.get(size, (PCM_8000,))
    nearest = min(possible, key=lambda linear: abs(math.log(linear.rate * 2 / measured.per_s)))
    is_likely = nearest == PCM_8000 or size == nearest.frame_bytes
    return nearest if is_likely or measured.steady_s >= _RATE_CONFIRMS_S else None


def _linear_formats_by_size() -> dict[int, tuple[AudioFormat, ...]]:
    found: dict[int, tuple[AudioFormat, ...]] = {}
    for rate in (8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000):
        for packet_ms in (2.5, 5, 10, 20, 30, 40, 60, 80, 100, 120):
            size = int(rate * packet_ms / 1000) * 2
            found[size] = (*found.get(size, ()), AudioFormat(Encoding.PCM, rate))
    return found


_LINEAR_FORMATS_BY_SIZE = _linear_formats_by_size()


def _is_too_slow(measured: ByteRate, heard: AudioFormat | None) -> bool:
    is_linear = heard is not None and heard.encoding is Encoding.PCM
    return is_linear and 0 < measured.per_s < _MAX_G711_BYTES_PER_S


_MIN_LINEAR_BYTES_PER_S = 12_800
"""A fifth less than linear audio at 8 kHz has, and three fifths more than G.711."""

_MAX_COMPRESSED_BYTES_PER_S = 5_600
_MAX_G711_BYTES_PER_S = 10_000


def _is_usual_for_linear(size: int, bytes_per_s: float) -> bool:
    return not _is_unusual(size) and not 0 < bytes_per_s < _MAX_G711_BYTES_PER_S


def _penalties(size: int, bytes_per_s: float) -> dict[AudioFormat, float]:
    """Return what size and rate count for against each reading."""
    compressed = _RATE_BITS if 0 < bytes_per_s < _MAX_COMPRESSED_BYTES_PER_S else 0
    linear = _RATE_BITS if 0 < bytes_per_s < _MAX_G711_BYTES_PER_S else _FRAME_SIZE_BITS
    return {PCM_8000: linear, ULAW_8000: compressed, ALAW_8000: compressed}


def _is_g711_silence(payload: bytes) -> bool:
    return payload[0] in _SILENT_CODES and payload.count(payload[:1]) == len(payload)


def _is_unusual(size: int) -> bool:
    """Whether linear audio hardly comes in frames of ``size`` bytes; G.711 does in 80, 160 and 240."""
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
    return _audio_bits(samples.astype(np.float64), math.e / 2)


def _g711_bits(
    decode: Callable[[bytes], bytes], encode: Callable[[bytes], bytes]
) -> Callable[[bytes], float]:
    every_sample = np.arange(-32_768, 32_768, dtype="<i2").tobytes()
    steps = np.bincount(np.frombuffer(encode(every_sample), np.uint8), minlength=256)
    step_bits = np.log2(steps)

    def description_bits(payload: bytes) -> float:
        codes = np.frombuffer(payload, np.uint8)
        samples = np.frombuffer(decode(payload), "<i2").astype(np.float64)
        return _audio_bits(samples, float(steps[codes].mean()) / 2) - float(step_bits[codes].sum())

    return description_bits


def _audio_bits(samples: _Floats, resolution: float) -> float:
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
    # Before 20.17, 21.12 and 22.7 Asterisk has one kind for linear audio of any rate.
    **{f"slin{khz}": AudioFormat(Encoding.PCM, khz * 1_000) for khz in (12, 16, 24, 32, 48, 96, 192)},
    "slin44": AudioFormat(Encoding.PCM, 44_100),
}
