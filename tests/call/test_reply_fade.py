"""Fades go from one end to the other in a straight line, and change no length."""

from __future__ import annotations

import numpy as np

from audiosocket_gw.call.reply_fade import fade_in, fade_out

LEVEL = np.full(64, 6_400, "<i2")


def test_a_fade_out_ends_one_step_above_silence() -> None:
    faded = np.frombuffer(fade_out(LEVEL.tobytes()), "<i2")
    assert faded.tolist() == [6_400 - 100 * step for step in range(64)]


def test_a_fade_in_begins_with_silence() -> None:
    faded = np.frombuffer(fade_in(LEVEL.tobytes()), "<i2")
    assert faded.tolist() == [100 * step for step in range(64)]


def test_of_no_audio_nothing_is_made() -> None:
    assert fade_in(b"") == fade_out(b"") == b""
