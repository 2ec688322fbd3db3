"""The event loop: its rest between two looks at its sockets, and its portions."""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from audiosocket_gw.runtime import event_loop
from audiosocket_gw.runtime.event_loop import (
    GATHER_S,
    MOST_AT_ONCE,
    CoalescingSelector,
    GatewayEventLoop,
    backlog_of,
)
from audiosocket_gw.runtime.load import Load
from audiosocket_gw.runtime.ticker import Ticker
from tests.harness.clock import Clock
from tests.harness.waiting import until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(event_loop, "time", clock)
    return clock


@pytest.fixture
def readable() -> Iterator[CoalescingSelector]:
    """A selector with a socket that can always be read."""
    one, other = socket.socketpair()
    with one, other, CoalescingSelector() as selector:
        selector.register(one, selectors.EVENT_READ)
        other.send(b"x")
        yield selector


def test_it_rests_after_it_has_found_something(readable: CoalescingSelector, clock: Clock) -> None:
    assert readable.select(1)
    assert clock.slept == []
    clock.now += GATHER_S / 4
    assert readable.select(1)
    assert clock.slept == pytest.approx([GATHER_S * 3 / 4])


def test_it_does_not_rest_when_the_last_look_was_long_ago(readable: CoalescingSelector, clock: Clock) -> None:
    readable.select(1)
    clock.now += GATHER_S
    assert readable.select(1)
    assert clock.slept == []


def test_it_does_not_rest_while_there_is_something_else_to_do(
    readable: CoalescingSelector, clock: Clock
) -> None:
    for timeout in (1, 0, -1):
        assert readable.select(timeout)
    assert clock.slept == []


def test_it_does_not_rest_beyond_a_timer(readable: CoalescingSelector, clock: Clock) -> None:
    readable.select(1)
    assert readable.select(GATHER_S / 2)
    assert clock.slept == pytest.approx([GATHER_S / 2])


def test_it_does_not_rest_when_it_found_nothing(clock: Clock) -> None:
    with CoalescingSelector() as selector:
        assert selector.select(0.001) == []
        assert selector.select(0.001) == []
    assert clock.slept == []


def test_without_a_timer_it_waits_for_what_comes(readable: CoalescingSelector, clock: Clock) -> None:
    readable.select()
    assert readable.select()
    assert clock.slept == pytest.approx([GATHER_S])


def test_the_loop_wakes_up_no_more_often_than_it_should() -> None:
    """However often something comes; a slow machine only makes it less."""
    looks = 0

    async def listen() -> None:
        nonlocal looks
        one, other = socket.socketpair()
        with one, other:

            def look() -> None:
                nonlocal looks
                looks += 1

            asyncio.get_running_loop().add_reader(one, look)
            other.send(b"x")  # never read: there is always something
            await asyncio.sleep(0.2)
            asyncio.get_running_loop().remove_reader(one)

    started_at = time.monotonic()
    with asyncio.Runner(loop_factory=GatewayEventLoop) as runner:
        runner.run(listen())
    assert 1 < looks <= (time.monotonic() - started_at) / GATHER_S + 1


# More to do than time


Crowd = tuple[CoalescingSelector, list[socket.socket]]


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    """A selector with more sockets than are served at once; each can always be read."""
    with ExitStack() as stack:
        selector = stack.enter_context(CoalescingSelector())
        sockets = []
        for _ in range(2 * MOST_AT_ONCE + 1):
            one, other = map(stack.enter_context, socket.socketpair())
            selector.register(one, selectors.EVENT_READ)
            other.send(b"x")
            sockets.append(one)
        yield selector, sockets


def found(selector: CoalescingSelector) -> list[Any]:
    return [key.fileobj for key, _ in selector.select(1)]


def test_many_sockets_are_served_in_portions_each_once_and_without_a_rest(crowd: Crowd, clock: Clock) -> None:
    selector, sockets = crowd
    portions = [found(selector) for _ in range(3)]
    assert [len(portion) for portion in portions] == [MOST_AT_ONCE, MOST_AT_ONCE, 1]
    assert {one for portion in portions for one in portion} == set(sockets)
    assert clock.slept == []


def test_it_tells_how_long_sockets_have_waited(crowd: Crowd, clock: Clock) -> None:
    selector, _ = crowd
    assert selector.backlog_s == 0
    for _ in range(2):
        found(selector)
        clock.now += 0.01
    assert selector.backlog_s == pytest.approx(0.02)
    found(selector)
    assert selector.backlog_s == 0


def test_who_has_gone_before_its_turn_is_not_served(crowd: Crowd) -> None:
    selector, sockets = crowd
    later = set(sockets) - set(found(selector))
    gone, changed, same_number = sorted(later, key=sockets.index)[:3]
    selector.unregister(gone)
    selector.modify(changed, selectors.EVENT_WRITE)
    selector.unregister(same_number)
    selector.register(same_number, selectors.EVENT_READ)
    assert set(found(selector)) | set(found(selector)) == later - {gone, changed, same_number}
    now = {key.fileobj: events for _ in range(3) for key, events in selector.select(1)}
    assert set(now) == set(sockets) - {gone}
    assert now[changed] == selectors.EVENT_WRITE


def test_when_all_have_gone_before_their_turn_it_looks_again(crowd: Crowd) -> None:
    selector, sockets = crowd
    first = found(selector)
    for one in set(sockets) - set(first):
        selector.unregister(one)
    assert set(found(selector)) == set(first)


def test_the_clock_has_its_turn_between_two_portions() -> None:
    served = 0
    served_before_the_timer: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ExitStack() as stack:
            for _ in range(3 * MOST_AT_ONCE):
                one, other = map(stack.enter_context, socket.socketpair())
                other.send(b"x")
                loop.add_reader(one, serve)
                stack.callback(loop.remove_reader, one)
            while served < 3 * MOST_AT_ONCE:
                await asyncio.sleep(0)

    def serve() -> None:
        nonlocal served
        served += 1
        if served == 1:
            asyncio.get_running_loop().call_later(0, lambda: served_before_the_timer.append(served))

    run(main())
    # asyncio puts what is due behind the portion that it has just been given.
    assert served_before_the_timer == [2 * MOST_AT_ONCE]


def test_sockets_that_wait_count_as_a_late_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would go unnoticed: the clock itself is in time."""
    noted: list[float] = []

    class Listener(Load):
        def record_tick(self, late_s: float, now: float, cpu: float) -> None:
            noted.append(late_s)

    async def main() -> None:
        backlog_s = backlog_of(asyncio.get_running_loop())
        with Ticker(Listener(), backlog_s).attach(lambda: None):
            await until(lambda: len(noted), lambda count: count >= 3)

    monkeypatch.setattr(CoalescingSelector, "backlog_s", 30.0)
    run(main())
    assert noted == [30.0] * len(noted)


def run(main: Any) -> None:
    with asyncio.Runner(loop_factory=GatewayEventLoop) as runner:
        runner.run(main)
