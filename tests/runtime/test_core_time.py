"""What the thread got of its core."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from audiosocket_gw.runtime import core_time
from audiosocket_gw.runtime.core_time import CoreTime, core_time_of, stolen_s
from audiosocket_gw.runtime.event_loop import CoalescingSelector


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("asleep_s", "waited_s", "cpu_s", "stolen"),
    [
        (0.6, 0.0, 0.4, 0.0),
        (0.3, 0.3, 0.4, 0.3),  # it waited, awake
        (0.6, 0.3, 0.4, 0.3),  # it waited after a wake-up: the loop takes that for sleep
        (0.1, 0.0, 0.4, 0.5),  # the host of a virtual machine had the core
        (0.7, 0.0, 0.4, 0.0),  # polling takes CPU time, too
        (0.0, 9.0, 0.0, 1.0),
    ],
)
def test_stolen_is_what_was_neither_used_nor_slept(
    asleep_s: float, waited_s: float, cpu_s: float, stolen: float
) -> None:
    before, after = CoreTime(5.0, 7.0), CoreTime(5.0 + asleep_s, 7.0 + waited_s)
    assert stolen_s(before, after, 1.0, cpu_s) == pytest.approx(stolen)


async def test_the_loop_counts_its_sleep() -> None:
    with core_time_of(asyncio.get_running_loop()) as read:
        before = read()
        await asyncio.sleep(0.05)
        slept = read()
        assert slept.asleep_s - before.asleep_s >= 0.04
        time.sleep(0.05)  # noqa: ASYNC251 (it blocks the loop)
        await asyncio.sleep(0)
        assert read().asleep_s - slept.asleep_s < 0.04


def test_a_poll_that_may_not_wait_is_no_sleep() -> None:
    with CoalescingSelector() as selector:
        for _ in range(100):
            selector.select(0)
        assert selector.asleep_s == 0
        selector.select(0.01)
        assert selector.asleep_s > 0


@pytest.mark.parametrize("content", [None, b"", b"0\n", b"a b c\n"])
async def test_without_the_kernels_statistics_no_wait_is_known(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "schedstat"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setattr(core_time, "SCHEDSTAT", str(file))
    with core_time_of(asyncio.get_running_loop()) as read:
        assert read().waited_s == 0


async def test_the_kernels_statistics_are_read_anew_and_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "schedstat"
    file.write_text("5 1500000000 7\n")
    monkeypatch.setattr(core_time, "SCHEDSTAT", str(file))
    descriptors = open_files()
    with core_time_of(asyncio.get_running_loop()) as read:
        assert read().waited_s == 1.5
        file.write_text("5 2500000000 7\n")
        assert read().waited_s == 2.5
    assert open_files() == descriptors


def test_on_another_loop_everything_counts_as_sleep() -> None:
    loop = asyncio.SelectorEventLoop()
    try:
        with core_time_of(loop) as read:
            before = read()
            assert stolen_s(before, read(), 0.0, 0.0) == 0
    finally:
        loop.close()
