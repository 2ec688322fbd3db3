"""Playout: exact to the byte for any chunks, and honest about what was heard."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from audiosocket_gw.audio import FRAME_BYTES, FRAME_MS, SampleAligner
from audiosocket_gw.call.playout import Playout

any_chunk = st.binary(max_size=500).map(lambda half: half + half[::-1])
"""Whole samples: `SampleAligner` sees to it."""


def frames_of(playout: Playout) -> list[bytes]:
    return list(iter(playout.next_frame, None))


def counting(size: int) -> bytes:
    """Audio in which each sample is one more than the last, and none is silence."""
    return b"".join((at % 65_535 + 1).to_bytes(2, "little") for at in range(size // 2 + 1))[:size]


@given(st.lists(any_chunk, max_size=8))
def test_the_frames_are_the_audio_and_one_padding(audio: list[bytes]) -> None:
    playout = Playout()
    for chunk in audio:
        playout.add(chunk)
    whole = b"".join(audio)
    queued_ms = playout.queued_ms
    frames = frames_of(playout)
    assert {len(frame) for frame in frames} <= {FRAME_BYTES}
    assert b"".join(frames) == whole + bytes(-len(whole) % FRAME_BYTES)
    assert queued_ms == len(frames) * FRAME_MS
    assert playout.heard_ms == len(whole) * FRAME_MS // FRAME_BYTES
    assert playout.queued_ms == 0


def test_ten_seconds_at_once() -> None:
    playout = Playout()
    playout.add(counting(160_000))
    assert playout.queued_ms == 10_000
    assert b"".join(frames_of(playout)) == counting(160_000)
    assert playout.heard_ms == 10_000


@given(st.lists(st.integers(1, 700), min_size=1, max_size=12), st.integers(0, 3))
def test_a_late_agent_breaks_no_sample(sizes: list[int], frames_between: int) -> None:
    """Chunks may end in mid-sample; when the queue runs dry there, what follows must not turn into noise."""
    playout, aligner = Playout(), SampleAligner(2)
    audio = counting(sum(sizes))
    heard = b""
    for size in sizes:
        playout.add(aligner.align(audio[:size]))
        audio = audio[size:]
        for _ in range(frames_between):
            heard += playout.next_frame() or b""
    heard += b"".join(frames_of(playout))
    samples = [heard[at : at + 2] for at in range(0, len(heard), 2)]
    spoken = b"".join(sample for sample in samples if sample != b"\0\0")
    assert spoken == counting(sum(sizes) // 2 * 2)


class PlayoutModel(RuleBasedStateMachine):
    """`Playout` beside the simplest thing that could be right: a list of samples."""

    def __init__(self) -> None:
        super().__init__()
        self.playout = Playout()
        self.bytes = b""
        self.sent = 0

    @rule(chunk=any_chunk | st.integers(0, 2_500).map(lambda samples: bytes(2 * samples)))
    def add(self, chunk: bytes) -> None:
        self.playout.add(chunk)
        self.bytes += chunk

    @rule(count=st.integers(1, 5))
    def play(self, count: int) -> None:
        for _ in range(count):
            expected = self.bytes[:FRAME_BYTES]
            frame = self.playout.next_frame()
            if not expected:
                assert frame is None
                return
            assert frame == expected.ljust(FRAME_BYTES, b"\0")
            self.bytes = self.bytes[len(expected) :]
            self.sent += len(expected)

    @rule()
    def clear(self) -> None:
        queued_ms = self.playout.queued_ms
        assert self.playout.clear() == queued_ms
        self.bytes = b""

    @invariant()
    def it_tells_what_was_heard_and_what_is_queued(self) -> None:
        assert self.playout.heard_ms == self.sent * FRAME_MS // FRAME_BYTES
        assert self.playout.queued_ms == -(-len(self.bytes) // FRAME_BYTES) * FRAME_MS


test_against_the_model = PlayoutModel.TestCase


def test_a_held_queue_is_silent_and_loses_nothing() -> None:
    playout = Playout()
    audio = np.full(8 * 100, 8_000, "<i2")
    playout.add(audio.tobytes())
    playout.next_frame()
    playout.hold(8)
    playout.hold(8)  # said twice, it is still one
    last = np.frombuffer(playout.next_frame() or b"", "<i2")
    assert last[0] == 8_000 and last[63] <= 8_000 / 64 + 1 and not last[64:].any()
    assert playout.next_frame() is None
    assert (playout.heard_ms, playout.end_ms) == (28, 100)
    playout.release(8)
    first = np.frombuffer(playout.next_frame() or b"", "<i2")
    assert first[0] == 0 and (np.diff(first[:64]) >= 0).all() and (first[64:] == 8_000).all()
    while playout.next_frame():
        pass
    assert playout.heard_ms == 100


def test_a_hold_that_is_released_before_anybody_heard_it_loses_nothing() -> None:
    playout = Playout()
    playout.add(np.full(8 * 50, 8_000, "<i2").tobytes())
    playout.hold(8)
    playout.release(8)
    assert playout.end_ms == 50
    while playout.next_frame():
        pass
    assert playout.heard_ms == 50


def test_a_held_queue_is_cleared_without_another_word() -> None:
    playout = Playout()
    playout.add(bytes([1, 31]) * 8 * 100)
    playout.next_frame()
    playout.hold(8)
    playout.next_frame()
    assert playout.clear(8) == 80
    assert not playout.held
    assert playout.next_frame() is None


def test_an_empty_queue_can_be_held_and_released() -> None:
    playout = Playout()
    playout.hold(8)
    assert playout.next_frame() is None
    playout.release(8)
    playout.add(bytes([1, 31]) * 160)
    assert playout.next_frame() == bytes([1, 31]) * 160
