"""The ticker on virtual time: minutes of frames, and a loop that is held up."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from audiosocket_gw.runtime.ticker import MAX_CATCH_UP_S, PERIOD_S, SLOTS, Ticker
from tests.harness.virtual_time import VirtualTimeLoop

pytestmark = pytest.mark.virtual_time


class Call:
    """Writes down when it was ticked."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self._loop = asyncio.get_running_loop()

    def tick(self) -> None:
        self.at.append(self._loop.time())


def hold_up_the_loop(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.hold_up(seconds)


def dropped_s(caplog: pytest.LogCaptureFixture) -> float:
    """Return what the log says was dropped from the clock, in all."""
    found = re.findall(r"silence for (\d+) ms of it", caplog.text)
    return sum(map(int, found)) / 1000


async def test_fifty_frames_a_second_for_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    ticker, call = Ticker(), Call()
    with ticker.attach(call.tick):
        await asyncio.sleep(600)
    assert abs(len(call.at) - 30_000) <= 1
    first = call.at[0]
    assert all(abs(at - first - n * PERIOD_S) < 1e-6 for n, at in enumerate(call.at))
    assert dropped_s(caplog) == 0


async def test_a_late_loop_does_not_slow_the_clock() -> None:
    """Each frame is late by a few milliseconds, and none of it adds up."""
    ticker, call = Ticker(), Call()
    rng = random.Random(1)

    def late() -> None:
        hold_up_the_loop(rng.uniform(0, 0.015))
        call.tick()

    with ticker.attach(late):
        await asyncio.sleep(600)
    assert abs(len(call.at) - 30_000) <= 1


async def test_a_loop_that_is_slow_in_every_turn_does_not_slow_the_clock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A turn takes longer than two calls' moments are apart."""
    ticker, calls = Ticker(), [Call() for _ in range(SLOTS)]
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + 10

    def work() -> None:
        hold_up_the_loop(1.7 * PERIOD_S / SLOTS)
        if loop.time() < ends_at:
            loop.call_soon(work)

    with ExitStack() as stack:
        for call in calls:
            stack.enter_context(ticker.attach(call.tick))
        work()
        await asyncio.sleep(10)
    assert dropped_s(caplog) == 0
    assert all(abs(len(call.at) - 500) <= 1 for call in calls)


async def test_calls_are_spread_evenly() -> None:
    ticker = Ticker()
    calls = [Call() for _ in range(10)]
    with ExitStack() as stack:
        for call in calls:
            stack.enter_context(ticker.attach(call.tick))
        await asyncio.sleep(10)
    moments = [round(call.at[0] / PERIOD_S * SLOTS) % SLOTS for call in calls]
    assert sorted(map(moments.count, range(SLOTS))) == [2, 2, 3, 3]
    assert all(abs(len(call.at) - 500) <= 1 for call in calls)


async def test_those_who_leave_make_room() -> None:
    ticker = Ticker()
    with ExitStack() as stack:
        first = [stack.enter_context(ticker.attach(Call().tick)) for _ in range(SLOTS)]
        assert len(first) == SLOTS
        for _ in range(20):
            with ticker.attach(Call().tick), ticker.attach(Call().tick):
                assert sorted(map(len, ticker._slots)) == [1, 1, 2, 2]


async def test_calls_come_and_go_while_it_ticks() -> None:
    ticker = Ticker()
    rng = random.Random(2)

    async def live() -> None:
        await asyncio.sleep(rng.uniform(0, 5))
        call = Call()
        seconds = rng.uniform(0.1, 5)
        with ticker.attach(call.tick):
            await asyncio.sleep(seconds)
        ticked = len(call.at)
        assert abs(ticked - seconds / PERIOD_S) <= 1
        await asyncio.sleep(1)
        assert len(call.at) == ticked

    await asyncio.gather(*(live() for _ in range(200)))
    assert ticker._timer is None


async def test_a_tick_may_end_its_own_attachment_and_begin_another() -> None:
    ticker = Ticker()
    stack = ExitStack()
    call = Call()

    def hand_over() -> None:
        stack.close()
        stack.enter_context(ticker.attach(call.tick))

    stack.enter_context(ticker.attach(hand_over))
    await asyncio.sleep(1)
    stack.close()
    assert abs(len(call.at) - 50) <= 1


@pytest.mark.parametrize("held_up_s", [0.03, 0.06, 0.09, 0.15, 0.5, 2.0, 61.007])
async def test_catching_up_is_bounded(held_up_s: float, caplog: pytest.LogCaptureFixture) -> None:
    ticker, call, other = Ticker(), Call(), Call()
    loop = asyncio.get_running_loop()
    with ticker.attach(call.tick), ticker.attach(other.tick):
        await asyncio.sleep(1)
        hold_up_the_loop(held_up_s)
        resumed = loop.time()
        await asyncio.sleep(1)
    for one in (call, other):
        at_once = sum(at == resumed for at in one.at)
        assert at_once <= MAX_CATCH_UP_S / PERIOD_S + 1
        if held_up_s < MAX_CATCH_UP_S:
            assert dropped_s(caplog) == 0
            assert abs(len(one.at) - (2 + held_up_s) / PERIOD_S) <= 1
        else:
            made_up_s = held_up_s - dropped_s(caplog)
            assert MAX_CATCH_UP_S - PERIOD_S <= made_up_s <= MAX_CATCH_UP_S + PERIOD_S / SLOTS
    phases = {round(at % PERIOD_S, 4) % PERIOD_S for at in call.at if at != resumed}
    assert len(phases) == 1, "calls keep their place in the 20 ms"


async def test_it_rests_and_starts_again() -> None:
    ticker = Ticker()
    for _ in range(3):
        call = Call()
        begun = asyncio.get_running_loop().time()
        with ticker.attach(call.tick):
            await asyncio.sleep(1)
        assert abs(len(call.at) - 50) <= 1
        assert call.at[0] - begun < PERIOD_S, "the time of rest is not caught up"
        assert ticker._timer is None
        await asyncio.sleep(100.003)


@pytest.mark.parametrize("leave", [ValueError, asyncio.CancelledError])
async def test_leaving_by_an_exception_detaches(leave: Callable[[], BaseException]) -> None:
    ticker = Ticker()
    with pytest.raises(type(leave())), ticker.attach(Call().tick):
        raise leave()
    assert ticker._timer is None


async def test_late_and_skipped_ticks_are_counted() -> None:
    ticker, call = Ticker(), Call()
    loop = asyncio.get_running_loop()
    with ticker.attach(call.tick) as regular:
        await asyncio.sleep(1)
        assert (regular.late, regular.skipped) == (0, 0)
        loop.call_later(1.001, hold_up_the_loop, 0.03)  # up to 30 ms late: one tick or two
        await asyncio.sleep(2)
        held_up = regular.late
        assert 1 <= held_up <= 2
        assert regular.skipped == 0
        loop.call_later(1.001, hold_up_the_loop, 0.5)
        await asyncio.sleep(2)
        assert regular.skipped == 20
        assert 4 <= regular.late - held_up <= 5
        assert len(call.at) == pytest.approx(loop.time() / PERIOD_S - regular.skipped, abs=2)


async def test_only_what_was_late_in_its_own_time_counts() -> None:
    ticker, loop = Ticker(), asyncio.get_running_loop()
    with ticker.attach(Call().tick):
        loop.call_later(0.5, hold_up_the_loop, 0.5)
        await asyncio.sleep(2)
        with ticker.attach(Call().tick) as regular:
            await asyncio.sleep(1)
            assert (regular.late, regular.skipped) == (0, 0)
