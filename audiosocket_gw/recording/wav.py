"""A WAV file that can be played at any time, even if its writer was killed during a write.

Audio is written first and its length afterwards, so that the header never promises missing audio. Written
data survives the end of the process, but not of the machine.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

from audiosocket_gw.recording.track import Samples

CHANNELS = 2
SAMPLE_BYTES = 2
FRAME_BYTES = CHANNELS * SAMPLE_BYTES

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
"""The chunks ``RIFF``, ``fmt `` (PCM, 16 bytes) and the head of ``data``."""

MAX_BYTES = 2**31 - 1
"""Largest file: many players read its lengths as signed."""


class WavFile:
    """A new stereo file of 16-bit audio; only its owner can read it.

    Raises:
        OSError: it can't be made, or exists.
    """

    def __init__(self, path: Path, rate: int) -> None:
        self._rate = rate
        self._audio_bytes = 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self._write_header()
        except OSError:
            os.close(self._file)
            raise

    def write(self, position: int, block: Samples) -> bool:
        """Write ``block``, shape (samples, 2), at ``position``, replacing what was there.

        ``position`` is at most the end of the audio so far. Return False if the file is full: then the rest
        is not written.

        Raises:
            OSError: the disk is full or fails. Audio written before can be played.
        """
        start = position * FRAME_BYTES
        room = (MAX_BYTES - _HEADER.size) // FRAME_BYTES * FRAME_BYTES - start
        audio = memoryview(block.tobytes())[: max(0, room)]
        try:
            self._write(audio, _HEADER.size + start)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, _HEADER.size + self._audio_bytes)
            raise
        if audio and start + len(audio) > self._audio_bytes:
            self._audio_bytes = start + len(audio)
            self._write_header()
        return len(audio) == block.nbytes

    def close(self) -> None:
        """Close the file; it is already complete."""
        os.close(self._file)

    def _write_header(self) -> None:
        header = _HEADER.pack(
            b"RIFF",
            _HEADER.size - 8 + self._audio_bytes,
            b"WAVE",
            b"fmt ",
            16,
            1,
            CHANNELS,
            self._rate,
            self._rate * FRAME_BYTES,
            FRAME_BYTES,
            8 * SAMPLE_BYTES,
            b"data",
            self._audio_bytes,
        )
        self._write(memoryview(header), 0)

    def _write(self, data: memoryview, at: int) -> None:
        while data:
            written = os.pwrite(self._file, data, at)
            data, at = data[written:], at + written
