"""What follows from how busy the process is."""

from __future__ import annotations

import logging

import pytest

from audiosocket_gw.runtime.load import CALM_WINDOWS, WINDOW_S, Load

MOMENT_S = 0.005

LONG = 16
"""Windows: 4 s."""


class Clock:
    """Tells a `Load` of the moments of a process that is so busy and so late."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._now = 100.0
        self._cpu = 7.0

    def windows(self, count: int, *, busy: float = 0.3, late_s: float = 0.0, late_share: float = 1.0) -> None:
        moments = round(count * WINDOW_S / MOMENT_S)
        for number in range(moments):
            self._now += MOMENT_S
            self._cpu += MOMENT_S * busy
            is_late = (number + 1) * late_share % 1 < late_share
            self._load.record_tick(late_s if is_late else 0.0, self._now, self._cpu)

    def rest(self, seconds: float) -> None:
        self._now += seconds


def is_refusing(load: Load) -> bool:
    return load.overloaded


def test_with_time_to_spare_nothing_is_batched_or_refused() -> None:
    load = Load(1, 3)
    Clock(load).windows(20, busy=0.7, late_s=0.004)
    assert (load.batch_frames, load.overloaded) == (1, False)
    assert load.window.busy == pytest.approx(0.7)


def test_time_that_becomes_scarce_is_bought_by_batching_and_given_back() -> None:
    load = Load(1, 3)
    clock = Clock(load)
    clock.windows(3, busy=0.85)
    assert load.batch_frames > 1
    clock.windows(4, busy=0.85)
    assert (load.batch_frames, load.overloaded) == (3, False)
    clock.windows(CALM_WINDOWS + 2, busy=0.6)
    assert load.batch_frames == 3
    clock.windows(2 * CALM_WINDOWS + 2, busy=0.3)
    assert load.batch_frames == 1


def test_nobody_is_refused_before_all_is_batched_that_can_be() -> None:
    load = Load(1, 3)
    clock = Clock(load)
    for _ in range(40):
        clock.windows(1, busy=0.99)
        clock.windows(1, busy=0.79)
        assert load.batch_frames == 3 or not load.overloaded
    assert (load.batch_frames, load.overloaded) == (3, True)


def test_lateness_counts_where_the_thread_is_not_busy() -> None:
    load = Load(1, 3)
    Clock(load).windows(4, busy=0.2, late_s=0.006, late_share=0.2)
    assert load.batch_frames > 1
    assert not load.overloaded


def test_rare_lateness_counts_for_nothing() -> None:
    load = Load(1, 3)
    Clock(load).windows(20, late_s=0.05, late_share=0.02)
    assert (load.batch_frames, load.overloaded) == (1, False)


@pytest.mark.parametrize(
    ("busy", "late_s"), [(0.97, 0.0), (0.4, 0.011)], ids=["no time left", "others on the core"]
)
def test_at_the_end_of_its_strength_it_refuses_until_it_is_calm(
    busy: float, late_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    load = Load(1, 3)
    clock = Clock(load)
    clock.windows(LONG, busy=busy, late_s=late_s)
    assert is_refusing(load)
    clock.windows(2, busy=0.9, late_s=late_s)
    assert is_refusing(load)
    clock.windows(3)
    assert not is_refusing(load)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "overloaded: new calls are rejected" in warnings[0]


def test_lateness_that_is_not_its_own_fault_refuses_nobody() -> None:
    load = Load(1, 3)
    Clock(load).windows(LONG, busy=0.05, late_s=0.03, late_share=0.5)
    assert (load.batch_frames, load.overloaded) == (3, False)


def test_it_recovers_though_a_few_ticks_are_late() -> None:
    load = Load(1, 3)
    clock = Clock(load)
    clock.windows(LONG, busy=0.97)
    assert is_refusing(load)
    clock.windows(CALM_WINDOWS + 1, busy=0.4, late_s=0.006, late_share=0.08)
    assert not is_refusing(load)


def test_pinned_it_is_never_batched_otherwise() -> None:
    load = Load(2, 2)
    clock = Clock(load)
    clock.windows(LONG, busy=0.99)
    assert (load.batch_frames, load.overloaded) == (2, True)
    clock.windows(40, busy=0.0)
    assert (load.batch_frames, load.overloaded) == (2, False)


def test_many_calls_that_begin_at_once_are_no_overload() -> None:
    load = Load(1, 1)
    clock = Clock(load)
    clock.windows(8, busy=1.0, late_s=0.1)
    clock.windows(8, busy=0.8)
    assert not load.overloaded


def test_a_few_calls_too_many_are() -> None:
    load = Load(1, 1)
    clock = Clock(load)
    clock.windows(LONG, busy=0.84)
    assert not load.overloaded
    clock.windows(3, busy=0.98)
    assert load.overloaded


def test_bursts_of_the_agents_are_no_overload() -> None:
    load = Load(1, 1)
    clock = Clock(load)
    for _ in range(20):
        clock.windows(1, busy=0.99)
        clock.windows(2, busy=0.75)
        assert not load.overloaded


def test_when_no_call_is_up_there_is_no_overload() -> None:
    load = Load(1, 3)
    clock = Clock(load)
    clock.windows(LONG, busy=0.99)
    assert is_refusing(load)
    load.reset()
    assert (load.batch_frames, is_refusing(load)) == (1, False)
    clock.rest(3600)
    clock.windows(3, busy=0.1)
    assert load.window.busy == pytest.approx(0.1)
