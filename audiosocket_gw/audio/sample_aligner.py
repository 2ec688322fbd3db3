"""Whole samples from a stream of bytes that may be cut anywhere."""

from __future__ import annotations


class SampleAligner:
    """Holds back an incomplete sample until the rest of it arrives.

    A WebSocket message may end in the middle of a 16-bit sample. Without alignment everything after it would
    be shifted by one byte, which is noise. Use one aligner where such audio enters: everything behind it
    (`Converter`, `Resampler`, the playout) takes only whole samples.
    """

    __slots__ = ("_incomplete", "_sample_bytes")

    def __init__(self, sample_bytes: int) -> None:
        """``sample_bytes`` is the size of one sample (`AudioFormat.sample_bytes`)."""
        self._sample_bytes = sample_bytes
        self._incomplete = b""

    def align(self, audio: bytes) -> bytes:
        """Take the next bytes, any number; return the samples that are complete now.

        Whole samples with nothing held back are returned as the same object.
        """
        if not self._incomplete and len(audio) % self._sample_bytes == 0:
            return audio
        audio = self._incomplete + audio
        whole = len(audio) - len(audio) % self._sample_bytes
        self._incomplete = audio[whole:]
        return audio[:whole]

    def reset(self) -> None:
        """Discard an incomplete sample: the next byte begins a new one."""
        self._incomplete = b""
