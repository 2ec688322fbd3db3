"""What an agent may send, and what is too much."""

from __future__ import annotations

import pytest

from audiosocket_gw.elevenlabs.flood import (
    BYTES_AT_ONCE,
    FRAMES_AT_ONCE,
    FRAMES_PER_S,
    FloodError,
    FloodLimit,
)


def send(limit: FloodLimit, frames: int, size: int, *, from_s: float, to_s: float) -> None:
    """Send frames of the same size, evenly."""
    for i in range(frames):
        limit.count(1, size, from_s + (to_s - from_s) * i / frames)


@pytest.mark.parametrize(
    ("frames", "size"),
    [
        (9_000, 480),  # three minutes of pcm_8000 in pieces of 20 ms
        (75, 106_000),  # three minutes in pieces of 2.4 s
        (120, 131_000),  # two minutes of pcm_48000 in pieces of 1 s
    ],
)
def test_a_long_reply_may_come_at_once_and_again_when_it_has_been_heard(frames: int, size: int) -> None:
    limit = FloodLimit()
    for at in (0, 60, 120):
        send(limit, frames, size, from_s=at, to_s=at)


def test_an_agent_may_speak_for_hours() -> None:
    send(FloodLimit(), 200_000, 2_000, from_s=0, to_s=200_000 / 200)


def test_a_flood_of_messages_is_named() -> None:
    with pytest.raises(FloodError, match=r"floods.*10,000 messages faster than 500 a second"):
        send(FloodLimit(), FRAMES_AT_ONCE + 1, 2, from_s=0, to_s=0)


def test_a_slow_flood_is_one_too() -> None:
    with pytest.raises(FloodError):
        send(FloodLimit(), 10 * FRAMES_AT_ONCE, 2, from_s=0, to_s=5 * FRAMES_AT_ONCE / FRAMES_PER_S)


def test_a_flood_of_bytes_is_named() -> None:
    with pytest.raises(FloodError, match=r"floods.*16 MiB faster than 2 MiB a second"):
        send(FloodLimit(), 17, BYTES_AT_ONCE // 16, from_s=0, to_s=0)
