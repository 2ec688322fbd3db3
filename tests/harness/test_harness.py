"""What the tests stand on: a wait that fails says what it saw, and a virtual clock is no excuse to hang."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from audiosocket_gw import events
from tests.harness import virtual_time
from tests.harness.audio import ramp
from tests.harness.gateway import running_gateway
from tests.harness.waiting import until


async def test_a_wait_returns_what_it_saw() -> None:
    seen = iter(range(10))
    assert await until(lambda: next(seen), lambda number: number == 3, every_s=0) == 3


async def test_a_wait_in_vain_says_what_there_is() -> None:
    with pytest.raises(AssertionError, match=r"waited [\d.]+ s; there is only: \['left', 'right'\]"):
        await until(lambda: ["left", "right"], lambda sides: "up" in sides, limit_s=0.01)


async def test_a_wait_that_is_cut_off_by_the_limit_of_its_test_says_it_too() -> None:
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.01):
            await until(lambda: b"12345", lambda audio: b"6" in audio)
    assert caught.value.__cause__ is not None
    assert caught.value.__cause__.__notes__ == ["waited for what did not come; there was only: 5 bytes"]


@pytest.mark.virtual_time
async def test_what_was_heard_is_told_to_the_sample() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send_audio(ramp(100))
            await harness.wait_for(events.ReplyFinished)
            assert line._lacks(ramp(100), line.heard).endswith(
                "of 800 samples expected the first 800 are there"
            )
            assert line._lacks(ramp(110), line.heard).endswith(
                "of 880 samples expected the first 800 are there"
            )
            assert "100 ms of them speech" in str(line)


@pytest.mark.virtual_time
async def test_an_hour_of_virtual_time_passes_at_once_and_threads_have_their_time() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    await asyncio.sleep(3_600)
    assert loop.time() - before >= 3_600
    async with asyncio.timeout(10):
        await asyncio.to_thread(time.sleep, 0.1)
    assert 0.05 <= loop.time() - before - 3_600 < 10, "the thread may have begun before the loop waited"


async def turn_on_and_on() -> None:
    while True:
        await asyncio.sleep(1)


async def wait_for_nothing() -> None:
    await asyncio.Event().wait()


async def wait_for_a_thread() -> None:
    await asyncio.to_thread(time.sleep, 0.3)


@pytest.mark.parametrize(
    ("waiting", "complaint"),
    [
        (turn_on_and_on, "what does not come"),
        (wait_for_nothing, "a thread or a process"),
        (wait_for_a_thread, "a thread or a process"),
    ],
)
def test_a_wait_without_end_fails_on_virtual_time_too(
    waiting: Callable[[], Coroutine[Any, Any, None]], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtual_time, "LIMIT_S", 0.1)
    with (
        pytest.raises(RuntimeError, match=complaint),
        asyncio.Runner(loop_factory=virtual_time.VirtualTimeLoop) as runner,
    ):
        runner.run(waiting())
