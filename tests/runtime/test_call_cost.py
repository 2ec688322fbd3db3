"""The estimate of what a call costs."""

from __future__ import annotations

import random

import pytest

from audiosocket_gw.runtime.call_cost import CALL, SETUP, CallCost


@pytest.mark.parametrize("calls", [20, 100, 1_000])
@pytest.mark.parametrize(("call", "setup"), [(0.001, 0.002), (0.005, 0.02), (0.0008, 0.015)])
def test_both_costs_are_learnt_from_their_sum(calls: int, call: float, setup: float) -> None:
    cost, rng = CallCost(), random.Random(3)
    for _ in range(120):
        in_progress = calls * rng.uniform(0.8, 1.2)
        setups = rng.choice([0, 0, calls // 20, calls // 10])
        used = (in_progress * call + setups * setup) * rng.gauss(1.0, 0.1)
        cost.observe(used, in_progress, setups, 1.0)
    assert cost.call == pytest.approx(call, rel=0.2)
    assert cost.setup == pytest.approx(setup, rel=0.6)


def test_a_single_call_says_little() -> None:
    cost = CallCost()
    for _ in range(5):
        cost.observe(0.5, 1, 0, 1.0)
    assert cost.call < 3 * CALL


def test_without_set_ups_their_cost_stays() -> None:
    cost = CallCost()
    for _ in range(10_000):
        cost.observe(0.3, 200, 0, 1.0)
    assert cost.call == pytest.approx(0.0015, rel=0.01)
    assert cost.setup == pytest.approx(SETUP)


def test_no_call_is_free_of_charge() -> None:
    cost = CallCost()
    for _ in range(1_000):
        cost.observe(0.0, 500, 50, 1.0)
    assert cost.call > 0
    assert cost.setup > 0


def test_another_size_of_batches_is_learnt_at_once() -> None:
    cost = CallCost()
    for _ in range(60):
        cost.observe(0.6, 400, 0, 1.0)
    cost.doubt()
    for _ in range(3):
        cost.observe(0.4, 400, 0, 1.0)
    assert cost.call == pytest.approx(0.001, rel=0.1)


def test_any_measurement_leaves_it_finite() -> None:
    cost, rng = CallCost(), random.Random(4)
    for _ in range(20_000):
        wall_s = rng.choice([1.0, 1.1, 30.0])
        busy, calls = rng.choice([0.0, rng.random()]), rng.choice([0, 1, 5_000])
        cost.observe(busy * wall_s, calls * wall_s, rng.choice([0, 300]), wall_s)
        assert 0 < cost.call < 10
        assert 0 < cost.setup < 10
