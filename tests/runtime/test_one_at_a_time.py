"""A job that is requested in bursts."""

from __future__ import annotations

import asyncio

from audiosocket_gw.runtime.one_at_a_time import OneAtATime


class Job:
    """Counts its runs; each waits for `go`."""

    def __init__(self) -> None:
        self.running = self.most = self.done = 0
        self.go = asyncio.Event()

    async def run(self) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go.wait()
            self.done += 1
        finally:
            self.running -= 1


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_requests_during_a_run_cause_one_more() -> None:
    job = Job()
    jobs = OneAtATime(job.run)
    for _ in range(100):
        jobs.request()
        await asyncio.sleep(0)
    job.go.set()
    await settle()
    assert (job.most, job.done) == (1, 2)
    jobs.request()
    await settle()
    assert job.done == 3


async def test_it_can_be_closed_in_mid_run() -> None:
    job = Job()
    jobs = OneAtATime(job.run)
    jobs.request()
    await settle()
    jobs.request()
    await jobs.close()
    job.go.set()
    await settle()
    assert (job.running, job.done) == (0, 0)


async def test_an_idle_one_can_be_closed() -> None:
    await OneAtATime(Job().run).close()
