"""Frames that come early, late, in lumps and not at all, and where they belong."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.recording.track import Run, Track
from tests.recording.signals import FRAME, RATE, Samples

MS = RATE // 1000


def track(*due_ms: float, ahead_s: float = 0.02) -> Track:
    """A track with frames of 20 ms: the first full of 1, the second of 2, and so on."""
    new = Track(RATE, ahead_s)
    add(new, *due_ms)
    return new


def add(to: Track, *due_ms: float, first: int = 1) -> None:
    numbers = np.arange(first, first + len(due_ms), dtype=np.int16)
    lengths = np.full(len(due_ms), FRAME, np.int64)
    to.add(np.array(due_ms).astype(np.int64) * MS, lengths, np.repeat(numbers, FRAME))


def begins_ms(runs: list[Run]) -> list[float]:
    """Return where each frame begins; a frame is what is alike."""
    begins: list[float] = []
    before = 0
    for position, audio in runs:
        edges = np.flatnonzero(np.diff(audio, prepend=before))
        begins += ((position + edges) / MS).tolist()
        before = int(audio[-1])
    return begins


def draw(canvas: Samples, settled: int, runs: list[Run]) -> None:
    """Draw the runs in place of all that wasn't settled."""
    canvas[settled:] = 0
    for position, audio in runs:
        canvas[position : position + len(audio)] = audio


def test_frames_in_time_are_one_run() -> None:
    runs = track(30, 50, 70).place()
    assert begins_ms(runs) == [30, 50, 70]
    assert len(runs) == 1


def test_a_burst_was_spoken_before_it_came() -> None:
    # Three frames held back by 40 ms, the next is in time.
    assert begins_ms(track(140, 140, 140, 160).place()) == [100, 120, 140, 160]


def test_a_burst_may_come_in_two_pieces() -> None:
    assert begins_ms(track(200, 200, 200, 220, 220, 220, 220, 240).place()) == [
        100, 120, 140, 160, 180, 200, 220, 240,
    ]  # fmt: skip


def test_where_nothing_was_sent_there_is_silence() -> None:
    runs = track(0, 20, 3_000, 3_020).place()
    assert begins_ms(runs) == [0, 20, 3_000, 3_020]
    assert [len(audio) for _, audio in runs] == [2 * FRAME, 2 * FRAME]


def test_two_lost_frames_are_a_gap_once_what_follows_confirms_it() -> None:
    following = [60 + 20 * n for n in range(9)]
    new = track(0, *following)
    assert len(new.place()) == 1, "40 ms may be the way they came"
    add(new, 240, first=11)
    add(new, 260, first=12)
    assert begins_ms(new.place()) == [0, *following, 240, 260]


def test_a_fast_clock_does_not_add_up() -> None:
    # The caller's clock is 1 % fast: a hundred times worse than a real one.
    new = Track(RATE, 0.02)
    canvas = np.zeros(61 * RATE, np.int16)
    settled = 0
    for second in range(60):
        due = [(50 * second + n) * 19.8 for n in range(50)]
        add(new, *due, first=1 + 50 * second)
        draw(canvas, settled, new.place())
        settled = round(due[0]) * MS
        new.settle(settled)
    numbers, begins = np.unique(canvas[canvas != 0], return_index=True)
    begins_at = np.flatnonzero(canvas)[begins] / MS
    assert np.abs(begins_at - (numbers - 1) * 19.8).max() <= 41, "a frame that was cut begins a frame later"
    left_out_s = 60 - np.count_nonzero(canvas) / RATE
    assert 0.55 <= left_out_s <= 0.65


def test_a_slow_clock_does_not_either() -> None:
    new = Track(RATE, 0.02)
    due = [n * 20.2 for n in range(3_000)]
    add(new, *due)
    begins = begins_ms(new.place())
    # The last frames wait for what confirms that they are late.
    assert max(abs(begin - time) for begin, time in zip(begins[:-10], due[:-10], strict=True)) <= 21


def test_our_own_frames_may_be_late_by_what_the_ticker_makes_up() -> None:
    new = track(*(100 + 20 * n for n in range(100)), ahead_s=0.1)
    new.place()
    new.settle(2_000 * MS)
    caught_up = [2_000 + 20 * n for n in range(100)]
    add(new, *caught_up, first=101)
    assert begins_ms(new.place())[-100:] == [2_100 + 20 * n for n in range(100)], "nothing is left out"


def test_what_is_settled_stays() -> None:
    new = track(0, 20, 40, 60)
    new.place()
    new.settle(50 * MS)
    (position, audio), = new.place()  # fmt: skip
    assert (position, len(audio)) == (50 * MS, 30 * MS)
    assert audio.tolist() == [3] * 10 * MS + [4] * FRAME
    add(new, 80, first=5)
    assert len(new.place()) == 1, "it goes on where it was cut"


def test_no_one_hears_where_it_was_settled() -> None:
    new = track(0, 20, 40)
    new.place()
    new.settle(60 * MS)
    add(new, 75, 95, first=4)
    assert begins_ms(new.place()) == [60, 80], "15 ms late is not a gap"


def test_after_silence_nothing_is_early() -> None:
    new = track(0, 20, 40)
    new.place()
    new.settle(70 * MS)
    add(new, 85, 105, first=4)
    assert begins_ms(new.place()) == [85, 105]


def test_more_than_there_was_time_for_is_left_out() -> None:
    new = track(0)
    new.place()
    new.settle(1_000 * MS)
    # Two seconds arrive at once; only one has not been settled.
    add(new, *([1_980] * 100), first=2)
    begins = begins_ms(new.place())
    assert begins == [1_000 + 20 * n for n in range(51)], "the last of them, one more than fits"


@given(st.lists(st.integers(0, 55), min_size=1, max_size=120))
def test_what_is_merely_jittered_is_one_run(delays_ms: list[int]) -> None:
    """Every fifth frame is in time; the others are late by up to 55 ms, and none overtakes another."""
    due = [min(number * 20 + delay, -(-number // 5) * 100) for number, delay in enumerate(delays_ms)]
    runs = track(*np.maximum.accumulate(due).tolist()).place()
    assert len(runs) == 1
    assert runs[0][0] >= 0


gaps_ms = st.one_of(st.just(0), st.integers(0, 3_000))


@given(st.lists(st.tuples(gaps_ms, st.integers(0, 200)), min_size=1, max_size=100), st.data())
def test_no_frame_is_lost_or_cut_or_before_another(
    frames: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Whatever comes, whenever it is looked at and settled, the frames stay whole, apart and in order."""
    now = 0
    new = Track(RATE, 10.0)
    settled = 0
    canvas = np.zeros(400_000 * MS, np.int16)
    for number, (gap_ms, delay_ms) in enumerate(frames, 1):
        now += 20 + gap_ms
        add(new, now + delay_ms, first=number)
        if data.draw(st.booleans()):
            draw(canvas, settled, new.place())
            if data.draw(st.booleans()):
                settled = max(settled, (now - data.draw(st.integers(0, 3_000))) * MS)
                new.settle(settled)
    draw(canvas, settled, new.place())
    heard = canvas[canvas != 0]
    assert heard.tolist() == np.repeat(np.arange(1, len(frames) + 1), FRAME).tolist()
