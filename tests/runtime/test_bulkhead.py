"""Foreign code on the event loop: what it starts is its own, and it ends nothing but itself."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from audiosocket_gw.runtime.bulkhead import MAX_TASKS, Bulkhead


@pytest.fixture
def bulkhead() -> Iterator[Bulkhead]:
    with ThreadPoolExecutor(2, thread_name_prefix="behind") as threads:
        yield Bulkhead("the guest", threads)


def behind(bulkhead: Bulkhead, guest: Callable[[], Awaitable[object]]) -> asyncio.Task[object]:
    """Run ``guest`` in a task behind the bulkhead."""

    async def run() -> object:
        bulkhead.enter()
        return await guest()

    return asyncio.get_running_loop().create_task(run())


async def test_threads_that_hang_are_the_guests_own(bulkhead: Bulkhead) -> None:
    answer = threading.Event()
    hanging = [behind(bulkhead, lambda: asyncio.to_thread(answer.wait, 60)) for _ in range(64)]
    try:
        await asyncio.sleep(0)
        assert await asyncio.to_thread(lambda: threading.current_thread().name) != "behind"
        loop = asyncio.get_running_loop()
        assert await loop.getaddrinfo("127.0.0.1", 1, type=socket.SOCK_STREAM)
    finally:
        answer.set()
    assert all(await asyncio.gather(*hanging))


async def test_a_look_up_of_the_guests_does_not_hold_up_the_same_of_the_gateway(
    bulkhead: Bulkhead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest's waits for a thread; the gateway's must not share that."""
    names: list[str] = []
    real = socket.getaddrinfo

    def look_up(*arguments: object) -> object:
        names.append(threading.current_thread().name)
        return real("127.0.0.1", 1, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    answer = threading.Event()
    loop = asyncio.get_running_loop()
    hanging = [behind(bulkhead, lambda: asyncio.to_thread(answer.wait, 60)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting = behind(bulkhead, lambda: loop.getaddrinfo("agent.invalid", 1))
    try:
        await asyncio.sleep(0)
        assert await loop.getaddrinfo("agent.invalid", 1)
        assert not waiting.done()
    finally:
        answer.set()
    await asyncio.gather(waiting, *hanging)
    assert [name.startswith("behind") for name in names] == [False, True]


async def test_what_a_guest_starts_is_behind_its_bulkhead_too(bulkhead: Bulkhead) -> None:
    async def guest() -> str:
        async with asyncio.TaskGroup() as tasks:
            inner = tasks.create_task(asyncio.to_thread(lambda: threading.current_thread().name))
        return inner.result()

    assert str(await behind(bulkhead, guest)).startswith("behind")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
async def test_a_task_that_a_guest_started_does_not_end_the_loop(
    error: type[BaseException], bulkhead: Bulkhead
) -> None:
    async def stray() -> None:
        raise error

    async def guest() -> BaseException | None:
        task = asyncio.create_task(stray())
        await asyncio.wait([task])
        return task.exception()

    failure = await behind(bulkhead, guest)
    assert repr(failure) == f"RuntimeError('{error.__name__} in a task that the guest started')"


async def test_a_guest_can_not_stop_the_loop(bulkhead: Bulkhead, caplog: pytest.LogCaptureFixture) -> None:
    async def guest() -> str:
        loop = asyncio.get_running_loop()
        loop.stop()
        loop.call_soon(loop.stop)
        await asyncio.sleep(0.01)
        return "still here"

    assert await behind(bulkhead, guest) == "still here"
    assert caplog.text.count("the guest tried to stop the event loop") == 2


async def test_sys_exit_in_a_thread_is_an_error_of_the_guest(bulkhead: Bulkhead) -> None:
    async def guest() -> str:
        with pytest.raises(SystemExit):
            await asyncio.to_thread(sys.exit, 3)
        return "still here"

    assert await behind(bulkhead, guest) == "still here"


async def test_a_guest_has_a_limited_number_of_tasks(bulkhead: Bulkhead) -> None:
    started: list[asyncio.Task[None]] = []

    async def guest() -> None:
        while True:
            started.append(asyncio.create_task(asyncio.sleep(600)))

    task = behind(bulkhead, guest)
    with pytest.raises(RuntimeError, match="the guest has 1000 tasks that haven't ended"):
        await task
    assert len(started) == MAX_TASKS
    for sleeping in started:
        sleeping.cancel()
    await asyncio.wait(started)
    assert await behind(bulkhead, lambda: asyncio.create_task(asyncio.sleep(0, "again"))) == "again"


async def test_a_task_that_is_cancelled_before_it_begins_leaves_nothing(
    bulkhead: Bulkhead, recwarn: pytest.WarningsRecorder
) -> None:
    async def guest() -> bool:
        task = asyncio.create_task(asyncio.sleep(600))
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert await behind(bulkhead, guest)
    gc.collect()
    assert not recwarn.list
