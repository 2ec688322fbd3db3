"""What one kind of work may take of each iteration of the loop."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from audiosocket_gw.runtime.event_loop import iteration_of
from audiosocket_gw.runtime.loop_budget import BUDGET_S, REST_S, LoopBudget

STEPS = 4


class StepClock:
    """Real time, if each step took a part of the budget: `STEPS` fit in."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += BUDGET_S / (STEPS - 0.1)
        return self.now


class Peer:
    """Does ``left`` steps, and notes in which iterations."""

    def __init__(self, name: str, left: int, budget: LoopBudget, log: list[tuple[int, str]]) -> None:
        self._name = name
        self._budget = budget
        self._log = log
        self._iteration = iteration_of(asyncio.get_running_loop())
        self.left = left

    def work(self) -> None:
        while self.left:
            if not self._budget.has_time():
                self._budget.defer(self.work)
                return
            self.left -= 1
            self._log.append((self._iteration(), self._name))


async def until_done(peers: list[Peer]) -> None:
    while any(peer.left for peer in peers):
        await asyncio.sleep(0)


async def test_all_peers_together_have_one_budget_per_iteration() -> None:
    budget = LoopBudget(asyncio.get_running_loop(), StepClock())
    log: list[tuple[int, str]] = []
    peers = [Peer(name, 100, budget, log) for name in "abcde"]
    for peer in peers:
        peer.work()
    await until_done(peers)
    assert len(log) == 500
    assert max(Counter(iteration for iteration, _ in log).values()) <= STEPS


async def test_those_that_wait_take_turns() -> None:
    budget = LoopBudget(asyncio.get_running_loop(), StepClock())
    log: list[tuple[int, str]] = []
    greedy, modest = Peer("greedy", 1000, budget, log), Peer("modest", 2, budget, log)
    for peer in (greedy, modest):
        peer.work()
    await until_done([modest])
    assert greedy.left > 1000 - 4 * STEPS
    await until_done([greedy])


async def test_who_sends_little_does_not_wait_for_those_that_flood() -> None:
    loop = asyncio.get_running_loop()
    budget = LoopBudget(loop, StepClock())
    log: list[tuple[int, str]] = []
    greedy, modest = Peer("greedy", 10 * STEPS, budget, log), Peer("modest", 1, budget, log)
    greedy.work()
    loop.call_soon(modest.work)
    await until_done([greedy, modest])
    assert [name for _, name in log[: STEPS + 1]] == [*["greedy"] * STEPS, "modest"]


@pytest.mark.virtual_time
async def test_those_that_wait_leave_two_thirds_of_the_time() -> None:
    loop = asyncio.get_running_loop()
    budget = LoopBudget(loop, StepClock())
    peer = Peer("peer", 100 * STEPS, budget, [])
    began = loop.time()
    peer.work()
    while peer.left:
        await asyncio.sleep(BUDGET_S)
    assert loop.time() - began >= 99 * REST_S


async def test_a_peer_whose_work_fails_does_not_stop_the_others() -> None:
    loop = asyncio.get_running_loop()
    failures: list[object] = []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    budget = LoopBudget(loop, StepClock())

    def fail() -> None:
        raise RuntimeError

    peer = Peer("peer", 10, budget, [])
    budget.defer(fail)
    budget.defer(peer.work)
    await until_done([peer])
    assert len(failures) == 1


def test_another_loop_than_the_gateways_has_a_budget_for_each_10_ms() -> None:
    async def count() -> int:
        budget = LoopBudget(asyncio.get_running_loop(), StepClock())
        peer = Peer("peer", 3 * STEPS, budget, [])
        peer.work()
        await until_done([peer])
        return peer.left

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(count()) == 0


@pytest.mark.virtual_time
async def test_on_virtual_time_a_busy_machine_delays_nothing() -> None:
    loop = asyncio.get_running_loop()
    budget = LoopBudget(loop)
    assert budget.has_time()
    time.sleep(2 * BUDGET_S)  # noqa: ASYNC251 (another process has the core)
    assert budget.has_time()
