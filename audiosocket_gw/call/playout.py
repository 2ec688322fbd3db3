"""Playout: agent audio of any size in, exact 20 ms frames out, and a count of what was heard.

`Playout` is pure and has no clock: the ticker asks it for one frame every 20 ms, and that is when the caller
hears it. Everything that depends on what the caller heard (draining, transcripts, recordings, hang-up) asks
it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from audiosocket_gw.audio import FRAME_BYTES, FRAME_MS
from audiosocket_gw.call.reply_fade import fade_in, fade_out


class Playout:
    """The queue of one call's agent audio: linear, at the caller's rate, 8 kHz by default.

    The queue has no limit: agents send a reply faster than real time, and no speech may be dropped. Each byte
    is stored once, in the chunk in which it arrived.
    """

    __slots__ = ("_chunks", "_frame_bytes", "_last_words", "_offset", "_queued", "_sent", "held")

    def __init__(self) -> None:
        self._frame_bytes = FRAME_BYTES
        self._chunks: deque[bytes] = deque()
        self._offset = 0  # offset into the first chunk: its bytes that have been sent
        self._queued = 0
        self._sent = 0
        self._last_words = b""  # the fading end of the audio before a hold
        self.held = False
        """Whether the queue is held by `hold`."""

    def add(self, audio: bytes) -> None:
        """Queue whole samples, any number.

        The agent's audio comes through a `SampleAligner`: half a sample, padded because the rest is late,
        would shift all following audio by a byte, which is noise.
        """
        if audio:
            self._chunks.append(audio)
            self._queued += len(audio)

    def next_frame(self) -> bytes | None:
        """Take the next 20 ms (320 bytes at 8 kHz), or None if nothing is queued or the queue is held.

        If less than a frame is queued, a reply ends or the agent is late. In both cases these 20 ms must be
        filled now, so the rest of the frame is silence.
        """
        if self.held:
            return self._next_held_frame()
        if not self._queued:
            return None
        start = self._offset
        stop = start + self._frame_bytes
        head = self._chunks[0]
        if stop < len(head):
            self._offset = stop
            self._queued -= self._frame_bytes
            self._sent += self._frame_bytes
            return head[start:stop]
        frame = self._take(self._frame_bytes)
        self._sent += len(frame)
        return frame + bytes(self._frame_bytes - len(frame))

    def _next_held_frame(self) -> bytes | None:
        if not self._last_words:
            return None
        frame, self._last_words = self._last_words, b""
        self._sent += len(frame)
        return frame + bytes(self._frame_bytes - len(frame))

    def hold(self, fade_ms: int) -> None:
        """Fade to silence, and keep the queue until `release` or `clear`."""
        if not self.held:
            self.held = True
            self._last_words = fade_out(self._take(self._bytes_for(fade_ms)))

    def release(self, fade_ms: int) -> None:
        """Resume with a fade where `hold` paused."""
        if self.held:
            self.held = False
            unheard = self._last_words
            self._last_words = b""
            self._put_back(unheard + fade_in(self._take(self._bytes_for(fade_ms))))

    def _put_back(self, audio: bytes) -> None:
        """Queue ``audio`` before everything else."""
        if audio:
            if self._offset:
                self._chunks[0] = self._chunks[0][self._offset :]
                self._offset = 0
            self._chunks.appendleft(audio)
            self._queued += len(audio)

    def _bytes_for(self, ms: int) -> int:
        return self._frame_bytes * ms // FRAME_MS // 2 * 2

    def _take(self, size: int) -> bytes:
        """Take up to ``size`` bytes from the head of the queue."""
        parts = []
        wanted = size
        while wanted and self._chunks:
            part = self._chunks[0][self._offset : self._offset + wanted]
            parts.append(part)
            wanted -= len(part)
            self._offset += len(part)
            if self._offset == len(self._chunks[0]):
                self._chunks.popleft()
                self._offset = 0
        self._queued -= size - wanted
        return b"".join(parts)

    def clear(self, fade_ms: int = 0) -> int:
        """Discard the queue; return the discarded milliseconds.

        ``fade_ms`` remain, fading to silence: a voice that is cut off in mid-word would end in a click.
        """
        fading = self._last_words if self.held else fade_out(self._take(self._bytes_for(fade_ms)))
        discarded_ms = self.queued_ms
        self._last_words = b""
        self.held = False
        self._chunks.clear()
        self._offset = 0
        self._queued = 0
        self.add(fading)
        return discarded_ms

    def change_rate(self, frame_bytes: int, convert: Callable[[bytes], bytes]) -> None:
        """Continue with frames of another size; ``convert`` converts the queue to the new rate."""
        queued = convert(self._last_words + self._take(self._queued))
        self._last_words = b""
        # Rounded up: `heard_ms` may not fall.
        self._sent = -(-self._sent * frame_bytes // self._frame_bytes)
        self._frame_bytes = frame_bytes
        self.add(queued)

    @property
    def frame_bytes(self) -> int:
        """The length of 20 ms."""
        return self._frame_bytes

    @property
    def queued_ms(self) -> int:
        """The duration of the queue, rounded up to whole frames."""
        return -(-self._queued // self._frame_bytes) * FRAME_MS

    @property
    def end_ms(self) -> int:
        """When audio that is added next will be heard, on the clock of `heard_ms`."""
        return (self._sent + self._queued + len(self._last_words)) * FRAME_MS // self._frame_bytes

    @property
    def runs_dry(self) -> bool:
        """Whether less than a frame is queued."""
        return self._queued < self._frame_bytes

    @property
    def heard_ms(self) -> int:
        """The agent audio that was sent to the caller since the call began."""
        return self._sent * FRAME_MS // self._frame_bytes
