"""What becomes of callers, and of calls in progress, on a core that is full, shared or stalls: simulated.

The parameters are the CPU time of a call in ms per second and the speed of the core.
"""

from __future__ import annotations

import random

import pytest

from audiosocket_gw.runtime.load_figures import Admission
from tests.harness.simulated_core import Share, Shares, SimulatedCore

MACHINES = [(1.0, 1.0), (2.0, 1.0), (5.0, 1.0), (2.0, 0.5), (5.0, 2.0)]
"""CPU time of a call on a core of speed 1, in ms per second, and the speed of the core."""

on_every_machine = pytest.mark.parametrize(("call_ms", "speed"), MACHINES)

HOLD_S = 60.0
STALL_S, STALL_EVERY_S = 0.25, 2.4


def fits(call_ms: float, speed: float) -> int:
    """Return how many calls take the whole core."""
    return int(1000 * speed / call_ms)


def stalls(stalled: Share, speed: float = 1.0) -> Shares:
    """For 250 ms every 2.4 s there is only so much of the core."""
    return lambda now: stalled if now % STALL_EVERY_S < STALL_S else Share(speed=speed)


def noise(seed: int, speed: float = 1.0) -> Shares:
    """Neighbours that come and go: each phase of 10 ms to 1 s leaves from 40 % to all of the core."""
    rng = random.Random(seed)
    ends_at, share = 0.0, Share()

    def at(now: float) -> Share:
        nonlocal ends_at, share
        if now >= ends_at:
            ends_at = now + rng.uniform(0.01, 1.0)
            share = Share(1.0 if rng.random() < 0.7 else rng.uniform(0.4, 1.0), speed)
        return share

    return at


def at_65_percent(call_ms: float, speed: float, shares: Shares, seed: int = 0) -> SimulatedCore:
    """Have 350 callers arrive, while 65 % of a whole core are in use on average."""
    calls = int(0.65 * fits(call_ms, speed))
    core = SimulatedCore(call_ms=call_ms, calls=calls, hold_s=HOLD_S, shares=shares, seed=seed)
    rate = calls / HOLD_S
    core.run(350 / rate, calls_per_s=rate)
    return core


# Others on the core


@on_every_machine
@pytest.mark.parametrize("kind", ["shared", "slow"])
def test_stalls_reject_no_one_while_there_is_room_on_average(call_ms: float, speed: float, kind: str) -> None:
    stalled = Share(time=0.5, speed=speed) if kind == "shared" else Share(speed=0.5 * speed)
    outcome = at_65_percent(call_ms, speed, stalls(stalled, speed)).outcome
    assert outcome.offered > 250
    assert outcome.rejected_share < 0.01
    assert outcome.p99_ms() < 10
    assert max(outcome.turns) < 1.5


@on_every_machine
def test_whole_stops_reject_no_one_either(call_ms: float, speed: float) -> None:
    outcome = at_65_percent(call_ms, speed, stalls(Share(time=0.0), speed)).outcome
    assert outcome.rejected_share < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_noisy_neighbours_reject_no_one_while_there_is_room_on_average(seed: int) -> None:
    outcome = at_65_percent(2.0, 1.0, noise(seed), seed).outcome
    assert outcome.rejected_share < 0.01
    assert outcome.p99_ms() < 10


def test_a_neighbour_that_takes_half_of_the_core_leaves_room_for_half_of_the_calls() -> None:
    core = SimulatedCore(call_ms=2.0, shares=lambda _: Share(time=0.5))
    outcome = core.run(60, calls_per_s=10)
    assert core.load.overloaded
    assert core.load.figures().stolen > 0.3
    assert 0.75 * 250 < core.calls < 250
    assert outcome.p99_ms() < 15


def test_a_light_load_is_admitted_whatever_others_do() -> None:
    core = SimulatedCore(call_ms=2.0, calls=10, shares=lambda _: Share(time=0.03))
    assert core.run(60, calls_per_s=0.1).rejected == 0


# A full core


@on_every_machine
def test_more_and_more_calls_fill_the_core_and_harm_no_one(call_ms: float, speed: float) -> None:
    whole = fits(call_ms, speed)
    core = SimulatedCore(call_ms=call_ms, calls=int(0.6 * whole), shares=lambda _: Share(speed=speed))
    core.run(10)
    rate = whole / 80
    outcome = core.run(0.6 * whole / rate, calls_per_s=rate)
    assert outcome.rejected > 0
    assert 0.8 * whole < core.calls < 0.9 * whole
    assert outcome.p99_ms() < 15
    assert len(outcome.changes) <= 2


def test_calls_that_are_batched_leave_room_for_more() -> None:
    core = SimulatedCore(call_ms=2.0, calls=300, most_frames=3)
    outcome = core.run(60, calls_per_s=10)
    assert core.load.batch_frames == 3
    assert outcome.rejected > 0
    assert 0.8 * 500 / 0.68 < core.calls < 0.9 * 500 / 0.68
    assert outcome.p99_ms() < 15


@on_every_machine
def test_the_answer_does_not_change_with_every_call(call_ms: float, speed: float) -> None:
    """A fifth more calls are tried than fit, for five minutes; calls end at random."""
    whole = fits(call_ms, speed)
    core = SimulatedCore(
        call_ms=call_ms, calls=int(0.8 * whole), hold_s=HOLD_S, shares=lambda _: Share(speed=speed), seed=1
    )
    rate = 1.2 * whole / HOLD_S
    outcome = core.run(300, calls_per_s=rate)
    assert len(outcome.changes) <= 5 * 8
    assert outcome.p99_ms() < 15
    carried = 1 - outcome.rejected_share
    assert 0.75 / 1.2 < carried < 0.9 / 1.2


@on_every_machine
def test_a_core_that_becomes_slow_is_noticed_and_its_recovery_too(call_ms: float, speed: float) -> None:
    calls = int(0.65 * fits(call_ms, speed))

    def shares(now: float) -> Share:
        return Share(speed=speed / 2 if 30 <= now < 60 else speed)

    outcome = SimulatedCore(call_ms=call_ms, calls=calls, shares=shares).run(90)
    began, ceased = outcome.changes
    assert 31 < began < 38
    assert 60 < ceased < 72


def test_the_answer_is_hold_for_a_second_before_it_is_reject() -> None:
    core = SimulatedCore(call_ms=2.0, calls=600)
    answers = []
    for _ in range(60):
        core.run(0.1)
        answers.append(core.load.figures().admission)
    held = answers.count(Admission.HOLD)
    assert answers == sorted(answers, key=[Admission.ADMIT, Admission.HOLD, Admission.REJECT].index)
    assert 8 <= held <= 12


# Many at once


@pytest.mark.parametrize("calls", [10, 200, 320])
def test_a_hundred_callers_at_once_are_all_served_and_harm_no_one(calls: int) -> None:
    core = SimulatedCore(call_ms=2.0, calls=calls, setup_ms=5.0)
    core.run(20)
    core.outcome.lateness_ms.clear()
    for _ in range(100):
        core.ring()
    outcome = core.run(10)
    assert outcome.rejected == 0
    assert outcome.begun == outcome.offered
    assert max(outcome.turns) < 5
    assert max(outcome.lateness_ms) < 10


def test_callers_who_leave_at_once_cost_no_request() -> None:
    core = SimulatedCore(call_ms=2.0, calls=200)
    core.run(10)
    core.outcome.lateness_ms.clear()
    for _ in range(3_000):
        core.ring(gone_after_s=0.002)
        core.run(1 / 300)
    assert core.outcome.gone == 3_000
    assert core.outcome.rejected == 0
    assert core.outcome.p99_ms() < 10


def test_callers_who_stay_begin_in_the_time_that_the_others_leave() -> None:
    """300 a second come, and ten times as many set-ups as the core has time for."""
    core = SimulatedCore(call_ms=2.0, calls=200, setup_ms=20.0)
    core.run(10)
    core.outcome.lateness_ms.clear()
    outcome = core.run(4, calls_per_s=300)
    assert outcome.p99_ms() < 10
    assert outcome.begun < 4 * 50


# What was learnt


@on_every_machine
def test_what_a_call_costs_is_learnt(call_ms: float, speed: float) -> None:
    whole = fits(call_ms, speed)
    core = SimulatedCore(
        call_ms=call_ms, setup_ms=10 * speed, calls=whole // 4, hold_s=30, shares=lambda _: Share(speed=speed)
    )
    core.run(60, calls_per_s=whole / 4 / 30)
    figures = core.load.figures()
    assert figures.call_ms == pytest.approx(call_ms / speed, rel=0.2)
    assert figures.setup_ms == pytest.approx(10, rel=0.8)
    assert figures.capacity == pytest.approx(0.87 * whole, rel=0.2)
