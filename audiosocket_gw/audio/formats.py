"""Audio formats as both sides name them: encoding, rate, and lengths in milliseconds.

Linear audio is always 16-bit signed, mono, little-endian: both Asterisk's ``slin*`` and ElevenLabs'
``pcm_*``. At equal rates it therefore passes from one side to the other unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

FRAME_MS = 20
"""Asterisk's packetisation: one frame each way every 20 ms."""

TELEPHONE_RATE = 8_000
"""Samples per second of AudioSocket kind 0x10, and of G.711."""

FRAME_BYTES = TELEPHONE_RATE * FRAME_MS // 1000 * 2
"""20 ms of linear 8 kHz audio: 320 bytes."""


class Encoding(StrEnum):
    """The encoding of one sample."""

    PCM = "pcm"
    ULAW = "ulaw"
    ALAW = "alaw"


_SILENT_SAMPLE = {Encoding.PCM: b"\0\0", Encoding.ULAW: b"\xff", Encoding.ALAW: b"\xd5"}
"""The smallest positive value: zero, or in A-law, which has no zero, half a step above it."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """An audio format as ElevenLabs names it: ``pcm_8000``, ``ulaw_8000``, ``pcm_16000`` and so on."""

    encoding: Encoding
    rate: int

    @classmethod
    def parse(cls, name: str) -> AudioFormat:
        """Read ``encoding_rate``.

        Raises:
            ValueError: ``name`` has another form.
        """
        encoding, _, rate = name.partition("_")
        if not (rate.isascii() and rate.isdigit() and int(rate)):
            raise ValueError(f"{name!r} is not an audio format such as pcm_8000")
        return cls(Encoding(encoding), int(rate))

    @property
    def sample_bytes(self) -> int:
        return 2 if self.encoding is Encoding.PCM else 1

    @property
    def frame_bytes(self) -> int:
        """The length of 20 ms, one frame, in bytes."""
        return self.bytes_for(FRAME_MS)

    def bytes_for(self, ms: int) -> int:
        """Return the length of ``ms`` milliseconds in bytes, rounded to whole samples."""
        return self.rate * ms // 1000 * self.sample_bytes

    def seconds_of(self, audio: bytes) -> float:
        """Return the duration of ``audio``, in seconds."""
        return len(audio) / (self.rate * self.sample_bytes)

    @lru_cache(maxsize=64)  # noqa: B019 (formats are few; all calls share the bytes)
    def silence(self, ms: int) -> bytes:
        """Return ``ms`` milliseconds of silence, which is not zeros in G.711."""
        return _SILENT_SAMPLE[self.encoding] * (self.rate * ms // 1000)

    def __str__(self) -> str:
        return f"{self.encoding}_{self.rate}"


PCM_8000 = AudioFormat(Encoding.PCM, TELEPHONE_RATE)
ULAW_8000 = AudioFormat(Encoding.ULAW, TELEPHONE_RATE)
ALAW_8000 = AudioFormat(Encoding.ALAW, TELEPHONE_RATE)

AGENT_FORMATS = (
    *(AudioFormat(Encoding.PCM, rate) for rate in (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)),
    ULAW_8000,
)
"""The formats of an ElevenLabs agent, except ``opus`` and ``mp3``."""
