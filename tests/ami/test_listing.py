"""All who look for an unknown call share one list of channels, at most one a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from audiosocket_gw.ami.call_control import CallControl
from audiosocket_gw.ami.client import AmiClient
from audiosocket_gw.ami.listing import SharedListing
from audiosocket_gw.errors import ControlError, UnknownCallError
from tests.harness.fake_asterisk import TIMING, FakeAsterisk, fake_asterisk
from tests.harness.waiting import until

pytestmark = pytest.mark.virtual_time


@asynccontextmanager
async def busy_pbx() -> AsyncIterator[tuple[FakeAsterisk, AmiClient]]:
    async with fake_asterisk() as fake:
        fake.channels = {f"PJSIP/{n}": {"Channel": f"PJSIP/{n}", "Uniqueid": f"1.{n}"} for n in range(400)}
        async with AmiClient(fake.address, TIMING) as client:
            await until(lambda: client.connected)
            await fake.came("CoreShowChannels")
            fake.received.clear()
            yield fake, client


async def test_443_unknown_uuids_in_five_seconds_cause_seven_lists_at_most() -> None:
    async with busy_pbx() as (fake, client):
        control = CallControl(client)
        asked = []
        for _ in range(443):
            asked.append(asyncio.create_task(control.describe(uuid4())))
            await asyncio.sleep(5.5 / 443)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {UnknownCallError}
        assert 5 <= len(fake.actions("CoreShowChannels")) <= 7


class Lists:
    """What a `SharedListing` runs: takes a while, and can be made to fail."""

    def __init__(self, seconds: float = 0.1) -> None:
        self.began: list[float] = []
        self.error: Exception | None = None
        self._seconds = seconds

    async def read(self) -> None:
        self.began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._seconds)
        if self.error is not None:
            raise self.error


async def test_who_asks_while_a_list_is_read_waits_for_the_next() -> None:
    """A channel that came after the list had begun may be missing from it."""
    lists = Lists()
    listing = SharedListing(lists.read)
    clock = asyncio.get_running_loop().time
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(listing.run())
        await asyncio.sleep(0.05)
        asked_at = clock()
        await listing.run()
        assert len(lists.began) == 2
        assert lists.began[1] >= asked_at
        assert lists.began[1] - lists.began[0] >= 1


async def test_the_first_who_asks_after_a_while_does_not_wait() -> None:
    lists = Lists()
    listing = SharedListing(lists.read)
    for _ in range(3):
        asked_at = asyncio.get_running_loop().time()
        await listing.run()
        assert lists.began[-1] - asked_at < 0.01
        await asyncio.sleep(2)


async def test_a_slow_list_is_not_read_twice_at_once() -> None:
    lists = Lists(seconds=5)
    listing = SharedListing(lists.read)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(listing.run())
            await asyncio.sleep(2)
    first, second = lists.began
    assert second - first >= 5


async def test_a_failure_is_everyones_and_the_next_list_is_read_again() -> None:
    lists = Lists()
    lists.error = ControlError("no answer")
    listing = SharedListing(lists.read)
    answers = await asyncio.gather(*(listing.run() for _ in range(3)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["no answer"] * 3
    lists.error = None
    await listing.run()
    assert len(lists.began) == 2


async def test_who_stops_waiting_stops_no_one_else() -> None:
    lists = Lists()
    listing = SharedListing(lists.read)
    impatient, patient = asyncio.create_task(listing.run()), asyncio.create_task(listing.run())
    await asyncio.sleep(0.05)
    impatient.cancel()
    await patient
    assert len(lists.began) == 1


async def test_a_failure_that_no_one_waits_for_is_no_error_of_the_loop() -> None:
    lists = Lists()
    lists.error = ControlError("no answer")
    listing = SharedListing(lists.read)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await listing.run()
    await asyncio.sleep(1)
    assert len(lists.began) == 1


async def test_closed_it_fails_all_who_wait() -> None:
    listing = SharedListing(Lists(seconds=60).read)
    waiting = [asyncio.create_task(listing.run())]
    await asyncio.sleep(0.1)
    waiting.append(asyncio.create_task(listing.run()))
    await asyncio.sleep(0.1)
    listing.close()
    for task in waiting:
        with pytest.raises(ControlError, match="closed"):
            await task
