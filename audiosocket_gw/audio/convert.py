"""From the format of one side to that of the other, by the shortest path."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from audiosocket_gw.audio.formats import AudioFormat, Encoding
from audiosocket_gw.audio.g711 import alaw_to_linear, linear_to_alaw, linear_to_ulaw, ulaw_to_linear
from audiosocket_gw.audio.resample import Resampler

Coding = Callable[[bytes], bytes]

_DECODERS: dict[Encoding, Coding] = {Encoding.ULAW: ulaw_to_linear, Encoding.ALAW: alaw_to_linear}
_ENCODERS: dict[Encoding, Coding] = {Encoding.ULAW: linear_to_ulaw, Encoding.ALAW: linear_to_alaw}


class Converter:
    """One direction of one call.

    Equal formats pass untouched. What differs is done, and no more: G.711 to linear audio by table, the rate
    by the resampler, linear audio to G.711 by table.
    """

    __slots__ = ("_decode", "_encode", "_half", "_resampler", "source", "target")

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self.source = source
        self.target = target
        recoded = source != target
        self._decode = _DECODERS.get(source.encoding) if recoded else None
        self._encode = _ENCODERS.get(target.encoding) if recoded else None
        self._resampler = Resampler(source.rate, target.rate) if source.rate != target.rate else None
        self._half = b""  # the first byte of a sample whose second has not come

    @property
    def delay_ms(self) -> float:
        """How much later than it went in, at most, audio comes out."""
        return self._resampler.delay_ms if self._resampler else 0.0

    def convert(self, audio: bytes) -> bytes:
        """Take any number of bytes, also half samples, and return what has become of them by now.

        Equal formats return the object that was given, half samples and all.
        """
        if self.source == self.target:
            return audio
        return self._convert(self._whole_samples(audio))

    def drain(self) -> bytes:
        """Return the tail of the audio and be as new. A half sample at its end is lost."""
        self._half = b""
        return self._encoded(self._resampler.drain().tobytes()) if self._resampler else b""

    def reset(self) -> None:
        """Forget the tail: what comes next is a new beginning, as after an interruption."""
        self._half = b""
        if self._resampler:
            self._resampler.reset()

    def _whole_samples(self, audio: bytes) -> bytes:
        if not self._half and len(audio) % self.source.sample_bytes == 0:
            return audio
        audio = self._half + audio
        whole = len(audio) - len(audio) % self.source.sample_bytes
        self._half = audio[whole:]
        return audio[:whole]

    def _convert(self, audio: bytes) -> bytes:
        linear = self._decode(audio) if self._decode else audio
        if self._resampler:
            linear = self._resampler.push(np.frombuffer(linear, "<i2")).tobytes()
        return self._encoded(linear)

    def _encoded(self, linear: bytes) -> bytes:
        return self._encode(linear) if self._encode else linear
