"""The limits of what the peers of a conversation may do, and how long they may do nothing."""

from __future__ import annotations

from audiosocket_gw.audio import FRAME_MS

STALL_S = 5
"""A peer that accepts no audio, or leaves a frame unfinished, for this long has failed."""

STALL_TICKS = STALL_S * 1000 // FRAME_MS

MAX_AHEAD_FRAMES = 30_000 // FRAME_MS
"""A caller can't speak faster than real time; a peer that is this far ahead is not a telephone. But after a
network failure the audio of that time arrives at once."""

MIN_FRAMES_COUNTED = 1 / 8
"""2.5 ms, the shortest packet: empty frames count as this much, since their number would be unlimited
otherwise."""

DIGIT_FRAMES = 5
"""A key counts as 100 ms of audio: people don't press keys faster."""

RATE_CHANGE_FRAMES = 3_000 // FRAME_MS
"""Another rate counts as 3 s of audio: Asterisk changes it once or twice in a call."""

MAX_QUEUED_BYTES = 32 * 2**20
"""An agent that is this far ahead has failed; without a limit it could exhaust the memory of all calls. It is
70 minutes of mu-law, 35 of linear audio at 8 kHz, and 6 at 48 kHz."""
