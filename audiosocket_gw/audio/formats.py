"""Sound as the two sides name it: the agent's audio formats, G.711 mu-law, and lengths in milliseconds.

Linear sound is everywhere the same: 16-bit signed, mono, little-endian, which is Asterisk's ``slin`` as
well as ElevenLabs' ``pcm_*``. Linear 8 kHz sound therefore passes from one side to the other untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

FRAME_MS = 20
"""Asterisk's packetisation: one frame each way every 20 ms."""

TELEPHONE_RATE = 8_000
"""Samples per second of AudioSocket kind 0x10."""

FRAME_BYTES = TELEPHONE_RATE * FRAME_MS // 1000 * 2
"""20 ms of linear 8 kHz sound: 320 bytes."""


class Encoding(StrEnum):
    """How one sample is written."""

    PCM = "pcm"
    ULAW = "ulaw"


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """An audio format as ElevenLabs names it: ``pcm_8000``, ``ulaw_8000``, ``pcm_16000`` and so on."""

    encoding: Encoding
    rate: int

    @classmethod
    def parse(cls, name: str) -> AudioFormat:
        """Read ``encoding_rate``.

        Raises:
            ValueError: ``name`` is of another form.
        """
        encoding, _, rate = name.partition("_")
        if not (rate.isascii() and rate.isdigit() and int(rate)):
            raise ValueError(f"{name!r} is not an audio format such as pcm_8000")
        return cls(Encoding(encoding), int(rate))

    @property
    def sample_bytes(self) -> int:
        return 2 if self.encoding is Encoding.PCM else 1

    def bytes_for(self, ms: int) -> int:
        """Return the length of ``ms`` milliseconds, in bytes, in whole samples."""
        return self.rate * ms // 1000 * self.sample_bytes

    def ms_of(self, size: int) -> int:
        """Return how long ``size`` bytes sound, in whole milliseconds."""
        return size * 1000 // (self.rate * self.sample_bytes)

    def __str__(self) -> str:
        return f"{self.encoding}_{self.rate}"


PCM_8000 = AudioFormat(Encoding.PCM, 8_000)
ULAW_8000 = AudioFormat(Encoding.ULAW, 8_000)


def _ulaw_decoding_table() -> npt.NDArray[np.int16]:
    """ITU-T G.711, table 2a: sign, 3 bits of segment, 4 bits of step; all bits inverted on the line."""
    code = ~np.arange(256, dtype=np.uint8)
    segment = (code >> 4 & 0x07).astype(np.int32)
    step = (code & 0x0F).astype(np.int32)
    magnitude = ((step << 3) + 0x84 << segment) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype("<i2")


def _ulaw_encoding_table() -> npt.NDArray[np.uint8]:
    """The code of each of the 65,536 samples, indexed by the sample read as unsigned 16 bits."""
    sample = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)
    biased = np.minimum(np.abs(sample), 32_635) + 0x84
    segment = np.floor(np.log2(biased)).astype(np.int32) - 7
    step = biased >> (segment + 3) & 0x0F
    code = np.where(sample < 0, 0x80, 0) | segment << 4 | step
    return np.asarray(~code & 0xFF, dtype=np.uint8)


_ULAW_TO_LINEAR = _ulaw_decoding_table()
_LINEAR_TO_ULAW = _ulaw_encoding_table()


def ulaw_to_linear(ulaw: bytes) -> bytes:
    """Expand G.711 mu-law, one byte a sample, to linear sound, two bytes a sample."""
    linear: bytes = _ULAW_TO_LINEAR[np.frombuffer(ulaw, np.uint8)].tobytes()
    return linear


def linear_to_ulaw(linear: bytes) -> bytes:
    """Compress linear sound, an even number of bytes, to G.711 mu-law."""
    ulaw: bytes = _LINEAR_TO_ULAW[np.frombuffer(linear, "<u2")].tobytes()
    return ulaw
