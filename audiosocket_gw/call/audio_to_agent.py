"""The caller's audio on its way to the agent: buffered, batched, or sent at once. Pure.

Frames that arrive together are converted and sent together, with one message.
"""

from __future__ import annotations

from collections.abc import Iterator

from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.call.caller_audio import CallerAudio

PRE_ROLL_FRAMES = 10_000 // FRAME_MS
"""The last 10 s of caller audio from before the agent has connected are buffered and sent first."""

PIECE_FRAMES = 12
"""240 ms: about the chunk size that ElevenLabs' documentation recommends."""


class AudioToAgent:
    """Collects the caller's audio. ``batch_frames`` frames of 20 ms share a message; 1: no delay."""

    __slots__ = (
        "_audio",
        "_caller",
        "_converter",
        "_is_awaited",
        "_pre_roll",
        "_pre_roll_bytes",
        "_ticks",
        "_unconverted",
        "batch_frames",
        "is_open",
        "missing_frames",
    )

    def __init__(self, caller: CallerAudio, batch_frames: int, phase: int = 0) -> None:
        """``phase``: the tick of a batch in which this call sends, so that not all calls send in the same
        one.
        """
        self.batch_frames = batch_frames
        self.is_open = False
        """Whether the agent has connected."""
        self.missing_frames = 0
        """Frames of 20 ms that didn't come from the caller."""
        self._is_awaited = True
        self._caller = caller
        self._unconverted = b""
        self._converter = caller.converter  # for it
        self._audio = b""  # in the agent's format
        self._pre_roll: list[bytes] = []  # unconverted: the codec may become known only later
        self._pre_roll_bytes = 0
        self._ticks = phase

    def write(self, audio: bytes) -> None:
        """Add audio in the caller's format."""
        if self.is_open:
            converter = self._caller.converter
            if converter is not self._converter:
                self._convert()
                self._converter = converter
            if converter is None:
                self._audio += audio
            else:
                self._unconverted += audio
        else:
            self.keep(audio)

    def write_silence(self, missing: int = 1) -> None:
        """Add 20 ms of silence, now that ``missing`` more frames haven't come."""
        self.missing_frames += missing
        if self.is_open:
            self._convert()
            self._audio += self._caller.agent_silence

    def keep(self, payload: bytes) -> None:
        """Buffer a payload for `open`, decoded or not, and discard the oldest ones."""
        if not self._is_awaited:
            return
        self._pre_roll.append(payload)
        self._pre_roll_bytes += len(payload)
        while self._pre_roll_bytes > PRE_ROLL_FRAMES * self._caller.frame_bytes:
            self._pre_roll_bytes -= len(self._pre_roll.pop(0))

    def open(self) -> Iterator[bytes]:
        """Yield the buffered audio, in chunks of the agent's format; then the agent has connected.

        Ten seconds take long to convert: let others work between two chunks. Audio that arrives meanwhile is
        buffered, too.
        """
        caller = self._caller
        while self._pre_roll:
            piece = b""
            while self._pre_roll and len(piece) < PIECE_FRAMES * caller.frame_bytes:
                payload = self._pre_roll.pop(0)
                self._pre_roll_bytes -= len(payload)
                piece += caller.understood(payload)
            if piece:
                yield piece if caller.converter is None else caller.converter.convert(piece)
        self._converter = caller.converter
        self.is_open = True
        self._is_awaited = False

    def close(self) -> None:
        """Record that no agent is left: nothing is buffered or sent any more."""
        self.is_open = self._is_awaited = False
        self._audio = self._unconverted = b""
        self._pre_roll, self._pre_roll_bytes = [], 0

    def read(self) -> bytes:
        """Return the audio to send now: nothing while a batch is collected. Call it after `write`."""
        if self._unconverted:
            self._convert()
        if self.batch_frames > 1:
            return b""
        audio, self._audio = self._audio, b""
        return audio

    def read_batch(self) -> bytes:
        """Return all collected audio, in the agent's format."""
        self._convert()
        audio, self._audio = self._audio, b""
        return audio

    def _convert(self) -> None:
        if self._unconverted and self._converter is not None:
            audio, self._unconverted = self._unconverted, b""
            self._audio += self._converter.convert(audio)

    def batch_is_due(self, batch_frames: int) -> bool:
        """Count a tick; return whether a batch is due. ``batch_frames`` applies from now on."""
        self._ticks += 1
        if batch_frames != self.batch_frames and self._ticks % batch_frames == 0:
            self.batch_frames = batch_frames
        return self._ticks % self.batch_frames == 0
