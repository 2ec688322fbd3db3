"""Playout: agent audio of any size in, exact 20 ms frames out, and a count of what was heard.

`Playout` is pure and has no clock: the ticker asks it for one frame every 20 ms, and that is when the caller
hears it. Everything that depends on what the caller heard (draining, transcripts, recordings, hang-up) asks
it.
"""

from __future__ import annotations

from math import lcm

from audiosocket_gw.audio import AGENT_FORMATS, FRAME_MS, PCM_8000, AudioFormat, Encoding
from audiosocket_gw.call.agent_queue import AgentQueue
from audiosocket_gw.call.reply_fade import fade_in, fade_out
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES

UNITS_PER_S = 2 * lcm(*SAMPLE_RATES.values(), *(agent.rate for agent in AGENT_FORMATS))
"""Positions are counted in this unit of time: a byte at any rate of either side is a whole number of it. So
nothing is rounded, and another rate of the caller's changes no position."""

UNITS_PER_MS = UNITS_PER_S // 1000
UNITS_PER_FRAME = UNITS_PER_MS * FRAME_MS


class Playout:
    """The audio of one call's agent on its way to the caller: linear, at the caller's rate.

    Nothing is dropped: agents send a reply faster than real time. The queue keeps it as it arrived.
    """

    __slots__ = (
        "_end",
        "_frame_bytes",
        "_last_words",
        "_linear",
        "_offset",
        "_piece",
        "_queue",
        "_sent",
        "held",
        "source",
    )

    def __init__(self) -> None:
        self.source = PCM_8000
        """The format of the audio that is added from now on."""
        self.held = False
        """Whether the queue is held by `hold`."""
        self._linear = PCM_8000  # what goes to the caller
        self._frame_bytes = PCM_8000.frame_bytes
        self._queue = AgentQueue()
        self._piece = b""  # taken from the queue, and played from its offset on
        self._offset = 0
        self._sent = self._end = 0  # what was sent, and the end of the queue, in units of time
        self._last_words = b""  # the fading end of the audio before a hold

    def add(self, audio: bytes) -> None:
        """Queue whole samples, any number, of the format `source`.

        The agent's audio comes through a `SampleAligner`: half a sample, padded because the rest is late,
        would shift all following audio by a byte, which is noise.
        """
        if audio:
            self._queue.add(audio, self.source)
            self._end += _units(audio, self.source)

    def next_frame(self) -> bytes | None:
        """Take the next 20 ms (320 bytes at 8 kHz), or None if nothing is queued or the queue is held.

        If less than a frame is queued, a reply ends or the agent is late. In both cases these 20 ms must be
        filled now, so the rest of the frame is silence.
        """
        if self.held:
            return self._next_held_frame()
        start = self._offset
        stop = start + self._frame_bytes
        piece = self._piece
        if stop <= len(piece):
            self._offset = stop
            self._sent += UNITS_PER_FRAME
            return piece[start:stop]
        if not piece and self._queue.is_empty:
            return None
        frame = self._take(self._frame_bytes)
        if len(frame) == self._frame_bytes:
            self._sent += UNITS_PER_FRAME
            return frame
        self._sent = self._end = max(self._sent, self._end)  # by resampling a part of a sample may be added
        return frame + bytes(self._frame_bytes - len(frame)) if frame else None

    def _next_held_frame(self) -> bytes | None:
        if not self._last_words:
            return None
        frame, self._last_words = self._last_words, b""
        self._sent += _units(frame, self._linear)
        return frame + bytes(self._frame_bytes - len(frame))

    def hold(self, fade_ms: int) -> None:
        """Fade to silence, and keep the queue until `release` or `clear`."""
        if not self.held:
            self.held = True
            self._last_words = fade_out(self._take(self._linear.bytes_for(fade_ms)))

    def release(self, fade_ms: int) -> None:
        """Resume with a fade where `hold` paused."""
        if self.held:
            self.held = False
            unheard = self._last_words
            self._last_words = b""
            fading = unheard + fade_in(self._take(self._linear.bytes_for(fade_ms)))
            self._piece = fading + self._piece[self._offset :]
            self._offset = 0

    def _take(self, size: int) -> bytes:
        """Take up to ``size`` bytes of what is to be played."""
        taken = self._piece[self._offset : self._offset + size]
        self._offset += len(taken)
        while len(taken) < size:
            self._piece = self._queue.next_piece()
            self._offset = min(size - len(taken), len(self._piece))
            if not self._piece:
                break
            taken += self._piece[: self._offset]
        return taken

    def clear(self, fade_ms: int = 0) -> int:
        """Discard the queue; return the discarded milliseconds.

        ``fade_ms`` remain, fading to silence: a voice that is cut off in mid-word would end in a click.
        """
        fading = self._last_words if self.held else fade_out(self._take(self._linear.bytes_for(fade_ms)))
        fading_units = _units(fading, self._linear)
        discarded_ms = _whole_frames_ms(self._end - self._sent - fading_units)
        self._queue.clear()
        self._piece = fading
        self._offset = 0
        self._end = self._sent + fading_units
        self._last_words = b""
        self.held = False
        return discarded_ms

    def set_rate(self, rate: int) -> None:
        """Continue at another rate of the caller's."""
        linear = AudioFormat(Encoding.PCM, rate)
        self._queue.set_target(linear, self._last_words + self._piece[self._offset :])
        self._piece = self._last_words = b""
        self._offset = 0
        self._linear = linear
        self._frame_bytes = linear.frame_bytes

    @property
    def kept_bytes(self) -> int:
        """The memory that queued audio takes."""
        return self._queue.size + len(self._piece)

    @property
    def queued_ms(self) -> int:
        """The duration of the queue, rounded up to whole frames."""
        return _whole_frames_ms(self._end - self._sent - _units(self._last_words, self._linear))

    @property
    def end_ms(self) -> int:
        """When audio that is added next will be heard, on the clock of `heard_ms`."""
        return self._end // UNITS_PER_MS

    @property
    def heard_ms(self) -> int:
        """The agent audio that was sent to the caller since the call began."""
        return self._sent // UNITS_PER_MS


def _units(audio: bytes, of: AudioFormat) -> int:
    return len(audio) * (UNITS_PER_S // of.rate // of.sample_bytes)


def _whole_frames_ms(units: int) -> int:
    return max(0, -(-units // UNITS_PER_FRAME)) * FRAME_MS
