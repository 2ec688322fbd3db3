"""Converts from the format of one side to that of the other in as few steps as possible."""

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
    """One direction of one call, in whole samples: put a `SampleAligner` in front if they may be split.

    Equal formats pass unchanged. Otherwise only the needed steps are made: G.711 to linear audio by table,
    the rate by the resampler, linear audio to G.711 by table.
    """

    __slots__ = ("_decode", "_encode", "_resampler", "source", "target")

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self.source = source
        self.target = target
        recoded = source != target
        self._decode = _DECODERS.get(source.encoding) if recoded else None
        self._encode = _ENCODERS.get(target.encoding) if recoded else None
        self._resampler = Resampler(source.rate, target.rate) if source.rate != target.rate else None

    def convert(self, audio: bytes) -> bytes:
        """Convert any number of samples; at most 3 ms are held back.

        If the formats are equal, the argument itself is returned.
        """
        linear = self._decode(audio) if self._decode else audio
        if self._resampler:
            linear = self._resampler.push(np.frombuffer(linear, "<i2")).tobytes()
        return self._encoded(linear)

    def drain(self) -> bytes:
        """Return the tail of the audio and reset the converter."""
        return self._encoded(self._resampler.drain().tobytes()) if self._resampler else b""

    def reset(self) -> None:
        """Discard the tail: the next audio is a new start, as after an interruption."""
        if self._resampler:
            self._resampler.reset()

    def _encoded(self, linear: bytes) -> bytes:
        return self._encode(linear) if self._encode else linear
