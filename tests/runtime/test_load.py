"""What follows from how busy the process is."""

from __future__ import annotations

import logging

import pytest

from audiosocket_gw.runtime.core_time import CoreTime
from audiosocket_gw.runtime.load import (
    CALM_WINDOWS,
    HOLD_WINDOWS,
    QUIET_WINDOWS,
    REJECT_ABOVE,
    WINDOW_S,
    Load,
)
from audiosocket_gw.runtime.load_figures import Admission, Bottleneck
from tests.harness.busy_process import TICK_S, BusyProcess

LONG = 80
"""Windows: 20 s, so that the averages follow."""


def is_refusing(load: Load) -> bool:
    return load.overloaded


def has_room(load: Load) -> bool:
    return load.has_room


def test_with_time_to_spare_nothing_is_batched_or_refused() -> None:
    load = Load(1, 3)
    BusyProcess(load).windows(20, busy=0.7, late_s=0.004)
    assert (load.batch_frames, load.overloaded) == (1, False)
    assert load.window.busy == pytest.approx(0.7)


def test_time_that_becomes_scarce_is_bought_by_batching_and_given_back() -> None:
    load = Load(1, 3)
    process = BusyProcess(load)
    process.windows(3, busy=0.85)
    assert load.batch_frames > 1
    process.windows(4, busy=0.85)
    assert (load.batch_frames, load.overloaded) == (3, False)
    process.windows(QUIET_WINDOWS + 2, busy=0.6)
    assert load.batch_frames == 3
    process.windows(2 * QUIET_WINDOWS + 2, busy=0.3)
    assert load.batch_frames == 1


def test_no_one_is_refused_before_all_is_batched_that_can_be() -> None:
    load = Load(1, 3)
    process = BusyProcess(load)
    for _ in range(40):
        process.windows(1, busy=0.99)
        process.windows(1, busy=0.79)
        assert load.batch_frames == 3 or not load.overloaded
    assert (load.batch_frames, load.overloaded) == (3, True)


def test_lateness_counts_where_the_thread_is_not_busy() -> None:
    load = Load(1, 3)
    BusyProcess(load).windows(4, busy=0.2, late_s=0.006, late_share=0.2)
    assert load.batch_frames > 1
    assert not load.overloaded


def test_rare_lateness_counts_for_nothing() -> None:
    load = Load(1, 3)
    BusyProcess(load).windows(20, late_s=0.05, late_share=0.02)
    assert (load.batch_frames, load.overloaded) == (1, False)


@pytest.mark.parametrize(
    ("busy", "late_s", "cause"),
    [(0.97, 0.0, "the calls fill its core"), (0.4, 0.011, "its clock is late")],
    ids=["no time left", "late for another reason"],
)
def test_at_the_end_of_its_strength_it_refuses_until_it_is_calm(
    busy: float, late_s: float, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    load = Load(1, 3)
    process = BusyProcess(load)
    process.windows(LONG, busy=busy, late_s=late_s)
    assert is_refusing(load)
    process.windows(CALM_WINDOWS - 1, busy=0.0)
    assert is_refusing(load)
    process.windows(LONG, busy=0.0)
    assert not is_refusing(load)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "overloaded: new calls are rejected" in warnings[0]
    assert cause in warnings[0]


def test_lateness_that_is_not_its_own_fault_refuses_no_one() -> None:
    load = Load(1, 3)
    BusyProcess(load).windows(LONG, busy=0.05, late_s=0.03, late_share=0.5)
    assert (load.batch_frames, load.overloaded) == (1, False)


def test_late_ticks_that_come_and_go_do_not_change_the_batches_again_and_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    load = Load(1, 3)
    process = BusyProcess(load)
    with caplog.at_level(logging.INFO, logger="audiosocket_gw.runtime"):
        for _ in range(20):
            process.windows(3, busy=0.2, late_s=0.006, late_share=0.2)
            process.windows(QUIET_WINDOWS - 1, busy=0.2)
    assert len(caplog.records) == 2, "20 and 40 ms more, and never back"


def test_one_call_is_not_batched_because_the_machine_is_late() -> None:
    load = Load(1, 3)
    BusyProcess(load).windows(LONG, busy=0.02, late_s=0.03)
    assert (load.batch_frames, load.overloaded) == (1, False)


def test_it_recovers_though_a_few_ticks_are_late() -> None:
    load = Load(1, 3)
    process = BusyProcess(load)
    process.windows(LONG, busy=0.97)
    assert is_refusing(load)
    process.windows(LONG, busy=0.4, late_s=0.006, late_share=0.08)
    assert not is_refusing(load)


def test_pinned_it_is_never_batched_otherwise() -> None:
    load = Load(2, 2)
    process = BusyProcess(load)
    process.windows(LONG, busy=0.99)
    assert (load.batch_frames, load.overloaded) == (2, True)
    process.windows(40, busy=0.0)
    assert (load.batch_frames, load.overloaded) == (2, False)


def test_many_calls_that_begin_at_once_are_no_overload() -> None:
    load = Load(1, 1)
    process = BusyProcess(load)
    process.windows(8, busy=1.0, late_s=0.1)
    process.windows(8, busy=0.8)
    assert not load.overloaded


def test_a_few_calls_too_many_are() -> None:
    load = Load(1, 1)
    process = BusyProcess(load)
    process.windows(LONG, busy=0.84)
    assert not load.overloaded
    process.windows(LONG, busy=0.92)
    assert load.overloaded


def test_bursts_of_the_agents_are_no_overload() -> None:
    load = Load(1, 1)
    process = BusyProcess(load)
    for _ in range(20):
        process.windows(1, busy=0.99)
        process.windows(2, busy=0.75)
        assert not load.overloaded


def test_when_no_call_is_up_there_is_no_overload() -> None:
    load = Load(1, 3)
    process = BusyProcess(load)
    process.windows(LONG, busy=0.99)
    assert is_refusing(load)
    load.reset()
    assert (load.batch_frames, is_refusing(load)) == (1, False)
    process.rest(3600)
    process.windows(3, busy=0.1)
    assert load.window.busy == pytest.approx(0.1)


class Sleeper:
    """Says how much of its time the thread has slept, and waited for its core."""

    def __init__(self) -> None:
        self.asleep_s = self.waited_s = 0.0
        self.reads = 0

    def read(self) -> CoreTime:
        self.reads += 1
        return CoreTime(self.asleep_s, self.waited_s)


def pass_windows(
    load: Load, sleeper: Sleeper, count: int, *, busy: float, stolen: float, late_s: float = 0.0
) -> None:
    """Pass windows in which others keep the thread from running for a share of the time."""
    now, cpu = 1_000.0, 5.0
    for _ in range(round(count * WINDOW_S / TICK_S)):
        now, cpu = now + TICK_S, cpu + TICK_S * busy
        sleeper.asleep_s += TICK_S * (1 - busy - stolen)
        sleeper.waited_s += TICK_S * stolen
        load.record_tick(late_s, now, cpu)


def test_what_others_take_from_the_core_is_missing() -> None:
    load = Load(1, 1, (sleeper := Sleeper()).read)
    pass_windows(load, sleeper, LONG, busy=0.5, stolen=0.2)
    assert load.window.stolen == pytest.approx(0.2)
    assert (load.has_room, load.figures().bottleneck) == (True, Bottleneck.NONE)
    load.reset()
    pass_windows(load, sleeper, LONG, busy=0.5, stolen=0.45)
    assert (load.overloaded, load.figures().bottleneck) == (True, Bottleneck.CORE)


def test_lateness_that_others_cause_rejects_no_one_who_fits() -> None:
    load = Load(1, 1, (sleeper := Sleeper()).read)
    pass_windows(load, sleeper, LONG, busy=0.2, stolen=0.5, late_s=0.05)
    assert load.has_room


def test_the_core_time_is_read_once_a_window() -> None:
    load = Load(1, 1, (sleeper := Sleeper()).read)
    pass_windows(load, sleeper, LONG, busy=0.5, stolen=0.0)
    assert sleeper.reads <= LONG + 1


def test_calls_that_came_since_it_was_measured_count_at_once() -> None:
    load = Load(1, 1)
    load.on_clock = 100
    BusyProcess(load).windows(LONG, busy=0.4)
    assert has_room(load)
    load.on_clock += 100
    assert has_room(load)
    load.on_clock += 50
    assert not has_room(load)
    load.waiting += 50
    assert has_room(load), "their set-up hasn't begun"


def test_without_room_calls_are_held_for_a_second_before_they_are_rejected() -> None:
    load = Load(1, 1)
    process = BusyProcess(load)
    while load.has_room:
        process.windows(1, busy=1.0)
    process.windows(HOLD_WINDOWS - 2, busy=1.0)
    assert (load.overloaded, load.figures().admission) == (False, Admission.HOLD)
    process.windows(1, busy=1.0)
    assert (load.overloaded, load.figures().admission) == (True, Admission.REJECT)


def test_room_that_comes_and_goes_admits_no_one_under_overload() -> None:
    load = Load(1, 1)
    process = BusyProcess(load)
    process.windows(LONG, busy=0.97)
    for _ in range(10):
        process.windows(CALM_WINDOWS - 1, busy=0.5)
        process.windows(LONG, busy=0.9)
        assert load.overloaded


def test_set_ups_are_no_lasting_load() -> None:
    """Those of a second fill the core; the calls in progress take a fifth of it."""
    load = Load(1, 1)
    load.on_clock = 100
    process = BusyProcess(load)
    process.windows(LONG, busy=0.2)
    for _ in range(20):
        for _ in range(40):
            load.begin_setup()
        process.windows(4, busy=0.6)
        for _ in range(40):
            load.end_setup()
    assert load.has_room
    assert load.figures().setup_ms == pytest.approx(10, rel=0.5)


def test_set_ups_get_the_spare_time_of_the_core() -> None:
    load = Load(1, 1)
    load.on_clock = 100
    process = BusyProcess(load)
    process.windows(LONG, busy=0.2)
    at_leisure = load.setup_interval_s
    assert load.figures().setup_ms / 1000 / at_leisure == pytest.approx(0.5)
    process.windows(LONG, busy=0.7)
    share = load.figures().setup_ms / 1000 / load.setup_interval_s
    assert share == pytest.approx(REJECT_ABOVE - 0.7, abs=0.03)


def test_the_figures_read_as_a_sentence() -> None:
    load = Load(1, 1)
    load.on_clock, load.waiting = 203, 3
    BusyProcess(load).windows(5 * LONG, busy=0.4)
    assert str(load.figures()) == (
        "200 calls and 3 waiting, 40% of a core used, 0% taken by others, 0% of ticks over 10 ms late; "
        "a call takes 0.2 %, about 434 fit"
    )
