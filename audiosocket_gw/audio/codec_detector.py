"""Detects what frames of AudioSocket kind 0x10 contain: linear audio, or another codec labelled as such.

``Dial(AudioSocket/...)`` without a codec sends the caller's codec labelled as linear audio. It expects linear
audio back in any case: measured on Asterisk 22, and ``ast_audiosocket_receive_frame`` of
``res_audiosocket.c`` has never accepted anything else. Before 20.17, 21.12, 22.7 and 23.1 linear audio of any
rate has this kind too. The manager interface names the codec. Without it, two properties identify it:

*The signal* (`frame_readings`, weighed by `codec_evidence`). Decoded correctly, audio needs fewer bits to
describe than decoded in any other way. Silence decides nothing: a frame counts only if it is noise, or if its
description is short for the number of different bytes in it.

*The byte rate* (`ByteRate`). 16,000 bytes a second are linear audio at 8 kHz, more are linear audio at a
higher rate, and 8,000 are G.711 or G.722.

No verdict is final. A certain one costs next to nothing: the detector inspects a frame now and then, some
after a pause, and all frames of a new size; and none once the rate has confirmed linear audio.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from audiosocket_gw.audio.byte_rate import ByteRate
from audiosocket_gw.audio.codec_evidence import (
    MAX_G711_BYTES_PER_S,
    UNHEARD,
    CodecEvidence,
    Verdict,
    is_unusual_for_linear,
)
from audiosocket_gw.audio.formats import ALAW_8000, PCM_8000, ULAW_8000, AudioFormat, Encoding
from audiosocket_gw.audio.frame_readings import FrameReadings

_FRAMES_OF_PROBATION = 5
"""Frames to inspect after a pause, and after a frame that contradicts the verdict."""

_FRAMES_BETWEEN_CHECKS = 50
_FRAMES_BETWEEN_CHECKS_IF_DEAF = 8
"""With a certain verdict one frame in 50 is inspected. If the verdict is that nothing can be decoded, the
agent gets silence, which must not last: then it is one in 8."""

_RATE_IS_KNOWN_S = 0.4
_RATE_CONFIRMS_S = 1.5
"""How long a rate must be steady to be known, and to be certain. A wideband rate must be certain, unless the
frames have Asterisk's normal 20 ms."""


_MAX_SIZES = 16
"""Frame sizes to remember; no telephone uses as many."""


class CodecDetector:
    """Detects the codec of one call's frames of kind 0x10, from the first to the last.

    ``verdict`` is the current one. A certain verdict holds until another one is certain: the caller's codec
    can change during the call, and a verdict can be wrong.
    """

    __slots__ = (
        "_countdown",
        "_evidence",
        "_is_confirmed",
        "_is_set",
        "_probation",
        "_rate",
        "_rated_size",
        "_sizes",
        "verdict",
    )

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """``clock`` returns seconds; without it the byte rate isn't measured."""
        self._rate = ByteRate(clock) if clock is not None else None
        self._rated_size = 0  # frames of this size are linear audio by the rate, until it is measured again
        self._evidence: CodecEvidence | None = None
        self._sizes: tuple[int, ...] = ()  # in which the verdict has been found to be right
        self._is_set = False  # by Asterisk
        self._is_confirmed = False  # by the rate: nothing is looked at
        self._countdown = self._probation = 0
        self.verdict = UNHEARD

    def hear(self, payload: bytes) -> Verdict:
        """Inspect the payload of a frame, if necessary."""
        size = len(payload)
        if self.is_settled(size):
            return self.verdict
        if self._rate is not None:
            has_changed = self._rate.hear(size)
            if not has_changed and size == self._rated_size:
                return self.verdict  # as the frame before: between two windows the rate says nothing new
            self._rated_size = 0
            linear = _linear_at(self._rate, size)
            if linear is not None and not self._speaks_against(self._rate):
                self._rated_size = size
                return self._take_rate(linear, size)
            if has_changed and _is_too_slow(self._rate, self.verdict.format):
                self._countdown = 0
                self._probation = _FRAMES_OF_PROBATION
        if self._evidence is None and size in self._sizes and not self._contradicts(payload):
            return self.verdict
        return self._examine(payload)

    def is_settled(self, size: int) -> bool:
        """Return whether frames of ``size`` bytes need no inspection until `look_again`."""
        return self._is_set or (self._is_confirmed and size in self._sizes)

    def look_again(self) -> None:
        """Inspect again after a pause: the next audio may have another codec."""
        if not self._is_set:
            self._is_confirmed = False
            self._countdown = 0
            self._probation = _FRAMES_OF_PROBATION
            self._rated_size = 0
            if self._rate is not None:
                self._rate.restart()

    def set_codec(self, codec: str) -> Verdict:
        """Set the codec that Asterisk's manager interface has named; nothing is inspected from now on."""
        self._is_set = True
        self._evidence = None
        self.verdict = Verdict(_CODECS.get(codec), certain=True)
        return self.verdict

    def _speaks_against(self, measured: ByteRate) -> bool:
        """Return whether the signal is certainly G.711: after a network delay the rate may be too high for a
        while.
        """
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
        """Inspect a frame now and then; return whether it and the following ones must be weighed."""
        self._countdown -= 1
        if self._countdown > 0:
            return False
        self._probation -= 1
        if self._probation <= 0:
            is_deaf = self.verdict.format is None
            self._countdown = _FRAMES_BETWEEN_CHECKS_IF_DEAF if is_deaf else _FRAMES_BETWEEN_CHECKS
        return FrameReadings(payload).contradicts(self.verdict.format)

    def _examine(self, payload: bytes) -> Verdict:
        if not self.verdict.certain and not is_unusual_for_linear(len(payload)) and _is_g711_silence(payload):
            return self.verdict  # or nearly silent linear audio, which decides nothing, however long
        if self._evidence is None:
            self._evidence = CodecEvidence()
        heard = self._evidence.hear(payload, self._rate.per_s if self._rate is not None else 0.0)
        if heard.certain:
            self._settle(heard, len(payload))
        elif self._evidence.is_inconclusive and self.verdict.certain:
            self._evidence = None  # the contradiction was nothing
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
        """Return whether this verdict is already certain. The signal doesn't show the rate of linear
        audio.
        """
        before = self.verdict
        is_linear = before.format is not None and before.format.encoding is Encoding.PCM
        return before.certain and (heard.format == before.format or (is_linear and heard.format == PCM_8000))


def _linear_at(measured: ByteRate, size: int) -> AudioFormat | None:
    """Return the linear format with this rate in frames of ``size`` bytes; None if unknown or too slow.

    Only rates at which the frame is a telephone's packet count: lost packets lower the measured rate.
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
    return is_linear and 0 < measured.per_s < MAX_G711_BYTES_PER_S


_MIN_LINEAR_BYTES_PER_S = 12_800
"""A fifth less than linear audio at 8 kHz, and three fifths more than G.711."""


_CODECS = {
    "slin": PCM_8000,
    "ulaw": ULAW_8000,
    "alaw": ALAW_8000,
    # Before 20.17, 21.12 and 22.7 Asterisk has one kind for linear audio of all rates.
    **{f"slin{khz}": AudioFormat(Encoding.PCM, khz * 1_000) for khz in (12, 16, 24, 32, 48, 96, 192)},
    "slin44": AudioFormat(Encoding.PCM, 44_100),
}


_SILENT_CODES = b"\xff\x7f\xd5\x55"
"""The values nearest to zero in mu-law and A-law."""


def _is_g711_silence(payload: bytes) -> bool:
    return payload[0] in _SILENT_CODES and payload.count(payload[:1]) == len(payload)
