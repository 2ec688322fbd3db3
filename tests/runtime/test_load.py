"""What follows from how busy the process is."""

from __future__ import annotations

import logging

import pytest

from audiosocket_gw.runtime.load import QUIET_WINDOWS, Load
from tests.harness.busy_process import BusyProcess

LONG = 16
"""Windows: 4 s."""


def is_refusing(load: Load) -> bool:
    return load.overloaded


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
    ("busy", "late_s"), [(0.97, 0.0), (0.4, 0.011)], ids=["no time left", "others on the core"]
)
def test_at_the_end_of_its_strength_it_refuses_until_it_is_calm(
    busy: float, late_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    load = Load(1, 3)
    process = BusyProcess(load)
    process.windows(LONG, busy=busy, late_s=late_s)
    assert is_refusing(load)
    process.windows(2, busy=0.9, late_s=late_s)
    assert is_refusing(load)
    process.windows(3)
    assert not is_refusing(load)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "overloaded: new calls are rejected" in warnings[0]


def test_lateness_that_is_not_its_own_fault_refuses_no_one() -> None:
    load = Load(1, 3)
    BusyProcess(load).windows(LONG, busy=0.05, late_s=0.03, late_share=0.5)
    assert (load.batch_frames, load.overloaded) == (3, False)


def test_it_recovers_though_a_few_ticks_are_late() -> None:
    load = Load(1, 3)
    process = BusyProcess(load)
    process.windows(LONG, busy=0.97)
    assert is_refusing(load)
    process.windows(QUIET_WINDOWS + 1, busy=0.4, late_s=0.006, late_share=0.08)
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
    process.windows(3, busy=0.98)
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
