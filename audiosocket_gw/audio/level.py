"""The level of linear audio."""

from __future__ import annotations

import numpy as np

FULL_SCALE = 32_768
SILENCE_DBFS = -96.0
"""The lowest level of 16 bits, used for digital silence."""

SPEECH_DBFS = -45.0
"""A frame above this level counts as speech: well over line noise, well under a quiet talker."""


def level_dbfs(linear: bytes) -> float:
    """Return the RMS level in dB relative to full scale: 0 at most, `SILENCE_DBFS` at least."""
    if len(linear) < 2:
        return SILENCE_DBFS
    samples = np.frombuffer(linear, "<i2", count=len(linear) // 2).astype(np.float64)
    power = float(np.mean(np.square(samples / FULL_SCALE)))
    return max(SILENCE_DBFS, 10 * float(np.log10(power))) if power else SILENCE_DBFS


def is_speech(linear: bytes) -> bool:
    """Return whether audio is speech, by its level (`SPEECH_DBFS`)."""
    return level_dbfs(linear) > SPEECH_DBFS
