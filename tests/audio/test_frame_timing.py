"""The figures of how regularly frames came."""

from __future__ import annotations

import pytest

from audiosocket_gw.audio import FRAME_BYTES
from audiosocket_gw.audio.frame_timing import FrameTiming, TimedFrame


def frames_at(*times: float) -> list[TimedFrame]:
    return [TimedFrame(at, bytes(FRAME_BYTES)) for at in times]


def test_punctual_frames_have_no_lateness() -> None:
    timing = FrameTiming.of(frames_at(*(7 + 0.02 * number for number in range(100))), 8_000)
    assert timing.frames == 100
    assert timing.max_ms == pytest.approx(0, abs=1e-6)
    assert timing.jitter_ms == pytest.approx(0, abs=1e-6)
    assert timing.gaps == 0
    assert timing.longest_gap_ms == pytest.approx(20)


def test_one_late_frame_is_as_late_as_it_is() -> None:
    timing = FrameTiming.of(frames_at(0, 0.02, 0.109, 0.109, 0.109, 0.109, 0.12), 8_000)
    assert timing.max_ms == pytest.approx(69)
    assert timing.p50_ms == pytest.approx(9)
    assert timing.gaps == 1
    assert timing.longest_gap_ms == pytest.approx(89)
    assert timing.jitter_ms > 0


def test_a_burst_shows_as_lateness() -> None:
    assert FrameTiming.of(frames_at(0, 0, 0, 0, 0, 0), 8_000).max_ms == pytest.approx(100)


def test_no_frames_have_no_timing() -> None:
    assert FrameTiming.of([], 8_000) == FrameTiming(0, 0, 0, 0, 0, 0, 0)
