"""WAV files of linear PCM, whatever their width, channels and rate: RIFF chunks in, mono samples out.

Before Python 3.12 the standard library's `wave` rejects WAVE_FORMAT_EXTENSIBLE, which most programs use for
24 bits (RFC 2361; Microsoft, "Multiple channel audio data and WAVE files").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

_PCM = 1
_EXTENSIBLE = 0xFFFE
_NAMES = {2: "ADPCM", 3: "floating point", 6: "A-law", 7: "mu-law", 17: "ADPCM", 49: "GSM", 85: "MP3"}
_BLOCK_FRAMES = 2**18
"""Converted at once, so that a long file needs only a few times its own size."""


@dataclass(frozen=True, slots=True)
class Wav:
    """The format of a WAV file, and its audio. ``width`` is the size of a sample in bytes, 1 to 4."""

    rate: int
    channels: int
    width: int
    data: memoryview

    @property
    def duration_s(self) -> float:
        return len(self) / self.rate

    def __len__(self) -> int:
        """Return the number of samples per channel."""
        return len(self.data) // (self.channels * self.width)

    def __str__(self) -> str:
        return f"{self.rate} Hz, {self.channels} channel(s), {8 * self.width} bit"

    def linear(self) -> bytes:
        """Return the audio of a mono file of 16 bits as it is.

        Raises:
            ValueError: it has more channels, or another width.
        """
        if (self.channels, self.width) != (1, 2):
            raise ValueError(f"it has {self}, not 1 channel of 16 bit")
        return bytes(self.data[: 2 * len(self)])

    def mono(self) -> Samples:
        """Return the mean of the channels, in units of a 16-bit sample."""
        return np.concatenate([*self._blocks(), np.zeros(0, np.float32)])

    def _blocks(self) -> Iterator[Samples]:
        size = _BLOCK_FRAMES * self.channels * self.width
        whole = len(self) * self.channels * self.width
        for start in range(0, whole, size):
            samples = _samples(self.data[start : min(start + size, whole)], self.width)
            yield samples.reshape(-1, self.channels).mean(axis=1, dtype=np.float32)


def parse_wav(file: bytes) -> Wav:
    """Parse the contents of a WAV file. If it was cut off, or written to a pipe, return what there is.

    Raises:
        ValueError: it isn't a WAV file, or its audio isn't linear PCM of 8, 16, 24 or 32 bits.
    """
    if len(file) < 12 or file[:4] != b"RIFF" or file[8:12] != b"WAVE":
        raise ValueError("it is not a WAV file")
    chunks = dict(_chunks(memoryview(file)))
    if b"fmt " not in chunks or b"data" not in chunks:
        raise ValueError("it is a WAV file without audio: the chunk 'fmt ' or 'data' is missing")
    return _described(chunks[b"fmt "], chunks[b"data"])


def _chunks(file: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    position = 12
    while position + 8 <= len(file):
        name, size = struct.unpack_from("<4sI", file, position)
        position += 8
        yield name, file[position : position + size]
        position += size + size % 2


def _described(description: memoryview, data: memoryview) -> Wav:
    if len(description) < 16:
        raise ValueError("the description of its audio is cut off")
    coding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", description)
    if coding == _EXTENSIBLE and len(description) >= 26:
        (coding,) = struct.unpack_from("<H", description, 24)
    if coding != _PCM:
        raise ValueError(f"its audio is {_NAMES.get(coding, f'of format {coding}')}, not linear PCM")
    if bits not in (8, 16, 24, 32) or not channels or not rate:
        raise ValueError(f"it has {rate} Hz, {channels} channel(s), {bits} bit")
    return Wav(rate, channels, bits // 8, data)


def _samples(data: memoryview, width: int) -> Samples:
    if width == 1:  # 8-bit samples are unsigned, all others are signed
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) * 256
    if width == 2:
        return np.frombuffer(data, "<i2").astype(np.float32)
    if width == 3:
        # Into the upper three bytes of a 32-bit word, which include the sign.
        words = np.zeros((len(data) // 3, 4), np.uint8)
        words[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return words.reshape(-1).view("<i4").astype(np.float32) / np.float32(65_536)
    return np.frombuffer(data, "<i4").astype(np.float32) / np.float32(65_536)
