"""Look-ups of hosts on the gateway's event loop: one for all that ask the same at the same time."""

from __future__ import annotations

import asyncio
import gc
import operator
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from audiosocket_gw.runtime.event_loop import GatewayEventLoop
from tests.harness.waiting import until


class Resolver:
    """Answers when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.answer = threading.Event()
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, port: int, *rest: Any) -> Any:
        self.asked.append(host)
        assert self.answer.wait(60)
        if host == "nowhere.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        return self._real("127.0.0.1", port, *rest)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver(monkeypatch)
    yield resolver
    resolver.answer.set()


def run(main: Any) -> None:
    with asyncio.Runner(loop_factory=GatewayEventLoop) as runner:
        runner.run(main)


async def ask(host: str) -> Any:
    return await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)


def test_a_host_that_is_being_looked_up_is_not_looked_up_again(resolver: Resolver) -> None:
    async def main() -> None:
        hosts = ["one.invalid", "two.invalid", "one.invalid"] * 5
        asking = [asyncio.create_task(ask(host)) for host in hosts]
        await until(lambda: len(resolver.asked), lambda count: count >= 2)
        resolver.answer.set()
        answers = await asyncio.gather(*asking)
        assert all(answer[0][4] == ("127.0.0.1", 443) for answer in answers)
        assert sorted(resolver.asked) == ["one.invalid", "two.invalid"]
        await ask("one.invalid")
        assert len(resolver.asked) == 3, "an answer is not kept: hosts move"

    run(main())


def test_one_that_waits_no_longer_takes_nothing_from_the_others(resolver: Resolver) -> None:
    async def main() -> None:
        first, second = (asyncio.create_task(ask("one.invalid")) for _ in range(2))
        await until(lambda: resolver.asked)
        first.cancel()
        resolver.answer.set()
        assert (await second)[0][4] == ("127.0.0.1", 443)
        assert first.cancelled()

    run(main())


def test_all_learn_that_there_is_no_such_host(resolver: Resolver) -> None:
    async def main() -> None:
        resolver.answer.set()
        answers = await asyncio.gather(*(ask("nowhere.invalid") for _ in range(3)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [socket.gaierror] * 3

    run(main())


def test_that_there_is_no_such_host_is_no_error_when_no_one_waits_for_it(resolver: Resolver) -> None:
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, GatewayEventLoop)
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        waiter = asyncio.create_task(ask("nowhere.invalid"))
        await until(lambda: resolver.asked)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        resolver.answer.set()
        await until(lambda: loop._lookups, operator.not_)
        await asyncio.sleep(0)
        gc.collect()

    run(main())
    assert complaints == []
