"""WAV files as bytes, the usual and the odd."""

from __future__ import annotations

import struct
import wave
from io import BytesIO

import numpy as np
import numpy.typing as npt


def wav(samples: npt.ArrayLike, rate: int = 8_000, *, width: int = 2, channels: int = 1) -> bytes:
    """A plain WAV file of samples in 16-bit units, interleaved if there are several channels."""
    stream = BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(encoded(samples, width))
    return stream.getvalue()


def encoded(samples: npt.ArrayLike, width: int) -> bytes:
    if width == 1:
        return (np.asarray(samples) // 256 + 128).astype(np.uint8).tobytes()
    words = (np.asarray(samples, np.float64) * 65_536).astype("<i4").view(np.uint8).reshape(-1, 4)
    return words[:, 4 - width :].tobytes()


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


def description(coding: int = 1, *, rate: int = 8_000, channels: int = 1, bits: int = 16) -> bytes:
    step = channels * bits // 8
    return struct.pack("<HHIIHH", coding, channels, rate, rate * step, step, bits)
