"""The queue of the agent's audio: kept as it arrived, converted when it is taken. Pure.

A message has as much audio as the agent likes. If it were converted when it arrives, or when the caller's
rate changes, one call could block all others: two minutes at 48 kHz take more than a second. So the queue
converts `STEP_MS` at a time, just before the caller hears them. What an interruption discards is never
converted.
"""

from __future__ import annotations

from collections import deque

from audiosocket_gw.audio import PCM_8000, AudioFormat, Converter

STEP_MS = 200
"""Converted at once: ten frames cost half of what they cost one by one, and less than a millisecond."""

CHUNK_OVERHEAD = 150
"""Bytes of memory that a chunk takes beside its audio: tiny chunks aren't free."""


class AgentQueue:
    """Chunks of audio, each in its own format; what is taken is linear, at the caller's rate."""

    __slots__ = ("_chunks", "_converter", "_has_tail", "_offset", "_target", "is_empty", "size")

    def __init__(self) -> None:
        self.is_empty = True
        """Whether nothing is left; `next_piece` finds it out."""
        self.size = 0
        """The memory that the chunks take, in bytes."""
        self._target = PCM_8000
        self._chunks: deque[tuple[AudioFormat, bytes]] = deque()
        self._offset = 0  # into the first chunk: its bytes that have been taken
        self._converter = Converter(PCM_8000, PCM_8000)
        self._has_tail = False  # the converter holds back the end of what was taken

    def add(self, audio: bytes, source: AudioFormat) -> None:
        """Queue whole samples, any number."""
        self._chunks.append((source, audio))
        self.size += len(audio) + CHUNK_OVERHEAD
        self.is_empty = False

    def next_piece(self) -> bytes:
        """Take the next piece of audio; return nothing if the queue is empty.

        A piece has `STEP_MS` at most if it has to be converted, else it is a whole chunk.
        """
        piece = b""
        while not piece and not self.is_empty:
            source, chunk = self._chunks[0] if self._chunks else (None, b"")
            if self._has_tail and source != self._converter.source:
                piece = self._drain()
            elif source is None:
                self.is_empty = True
            elif source == self._target:
                piece = self._pop(chunk)
            else:
                piece = self._convert_next(source)
        return piece

    def set_target(self, target: AudioFormat, taken: bytes) -> None:
        """Set the caller's format. ``taken``, in the format before, has not been played: it comes first."""
        if self._has_tail:
            taken += self._drain()
        if self._offset:
            source, chunk = self._chunks[0]
            rest = self._pop(chunk)
            self._put_first(rest, source)
        if taken:
            self._put_first(taken, self._target)
        self._target = target
        self._converter = Converter(target, target)

    def clear(self) -> None:
        """Discard everything: what is added next is a new start."""
        self._chunks.clear()
        self._offset = self.size = 0
        self._converter.reset()
        self._has_tail = False
        self.is_empty = True

    def _put_first(self, audio: bytes, source: AudioFormat) -> None:
        self._chunks.appendleft((source, audio))
        self.size += len(audio) + CHUNK_OVERHEAD
        self.is_empty = False

    def _pop(self, chunk: bytes) -> bytes:
        """Remove the first chunk, which is ``chunk``; return what hasn't been taken of it."""
        self._chunks.popleft()
        self.size -= len(chunk) + CHUNK_OVERHEAD
        offset, self._offset = self._offset, 0
        return chunk[offset:] if offset else chunk

    def _take(self, source: AudioFormat, size: int) -> bytes:
        """Take up to ``size`` bytes of this format from the first chunks."""
        parts = []
        while size and self._chunks and self._chunks[0][0] == source:
            chunk = self._chunks[0][1]
            part = chunk[self._offset : self._offset + size]
            parts.append(part)
            size -= len(part)
            if self._offset + len(part) == len(chunk):
                self._pop(chunk)
            else:
                self._offset += len(part)
        return b"".join(parts)

    def _convert_next(self, source: AudioFormat) -> bytes:
        if source != self._converter.source:
            self._converter = Converter(source, self._target)
        self._has_tail = True
        return self._converter.convert(self._take(source, source.bytes_for(STEP_MS)))

    def _drain(self) -> bytes:
        """Return the last milliseconds, which a resampler holds back until more audio follows."""
        self._has_tail = False
        return self._converter.drain()
