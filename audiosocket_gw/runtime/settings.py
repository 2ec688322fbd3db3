"""What the operator has set of the batches of audio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from audiosocket_gw.audio.formats import FRAME_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """The settings of `Load`; each has the name of its environment variable."""

    audio_chunk_ms: Literal["auto", 20, 40, 60, 80, 100]
    audio_chunk_max_ms: Literal[20, 40, 60, 80, 100]

    @property
    def least_frames(self) -> int:
        """How many frames of 20 ms share a message while the gateway isn't busy."""
        return 1 if self.audio_chunk_ms == "auto" else self.audio_chunk_ms // FRAME_MS

    @property
    def most_frames(self) -> int:
        """How many frames of 20 ms may share a message while the gateway is busy."""
        ms = self.audio_chunk_max_ms if self.audio_chunk_ms == "auto" else self.audio_chunk_ms
        return ms // FRAME_MS
