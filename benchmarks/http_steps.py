"""What HTTP readers cost the event loop: the CPU time of its steps, with 300 calls in the ledger.

`python -m benchmarks.http_steps`; see docs/performance.md. A frame can be late by a step, so the longest ones
matter. CPU time is the same on a busy machine, where the lateness itself (`benchmarks.http_load`) is noise.
The readers are those of `benchmarks.http_load`, in a process of their own. There is no audio.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

from audiosocket_gw import events
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.ledger.ledger import Ledger
from audiosocket_gw.runtime.event_loop import GatewayEventLoop
from audiosocket_gw.settings import GatewaySettings, Settings
from benchmarks.http_load import readers
from benchmarks.report import markdown

TURNS = 20
EVENTS_PER_CALL_S = 1.2
"""A turn in five seconds has about six events."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a window")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=GatewayEventLoop) as runner:
        rows = runner.run(measure(options.calls, options.seconds))
    head = ["readers", "CPU, of a core", "steps a second", "p99, ms", "p99.9, ms", "longest, ms"]
    print(markdown([head, *rows]))
    return 0


async def measure(calls: int, seconds: float) -> list[list[str]]:
    """Return a row of the table for each window."""
    settings = Settings(elevenlabs_agent_id="agent", port=0, http_port=0)
    rows = []
    async with Gateway(GatewaySettings.of(settings)) as gateway:
        assert gateway.http_address is not None
        uuids = [_begin_call(gateway.ledger) for _ in range(calls)]
        gc.freeze()  # as `serve` does
        talking = asyncio.get_running_loop().create_task(_talk(gateway.ledger, uuids))
        rows.append(await _window("none", seconds))
        process = multiprocessing.get_context("spawn").Process(target=_read, args=(gateway.http_address[1],))
        process.start()
        try:
            await asyncio.sleep(3)
            rows.append(await _window("all", seconds))
        finally:
            process.kill()
            await asyncio.to_thread(process.join)
        talking.cancel()
    return rows


def _begin_call(ledger: Ledger) -> UUID:
    uuid, now = uuid4(), asyncio.get_running_loop().time()
    ledger.observe(events.CallStarted(uuid, now, "192.0.2.7:40112"))
    ledger.observe(
        events.CallerIdentified(uuid, now, "pbx", "+49301234567", "Ada", "5001", "PJSIP/trunk-0000000a")
    )
    ledger.observe(events.SetupStepDone(uuid, now, events.SetupStep.CONNECT, 90, "agent_1"))
    ledger.observe(events.AgentConnected(uuid, now, "conv_1", 200))
    for turn in range(TURNS):
        ledger.observe(events.TurnTaken(uuid, now, 800 + turn))
    return uuid


async def _talk(ledger: Ledger, uuids: list[UUID]) -> None:
    """Let the events of all calls happen."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1 / (EVENTS_PER_CALL_S * len(uuids)))
        uuid, now = random.choice(uuids), loop.time()
        for event in (
            events.CallerSaid(uuid, now, "When are you open tomorrow?"),
            events.TurnTaken(uuid, now, 900),
        ):
            ledger.observe(event)


async def _window(name: str, seconds: float) -> list[str]:
    steps: list[float] = []
    cpu, began = time.thread_time(), time.monotonic()
    with _timed_steps(steps):
        await asyncio.sleep(seconds)
    cpu, wall = time.thread_time() - cpu, time.monotonic() - began
    steps.sort()
    figures = [1000 * steps[int(len(steps) * share)] for share in (0.99, 0.999)] + [1000 * steps[-1]]
    return [name, f"{cpu / wall:.1%}", f"{len(steps) / wall:.0f}", *(f"{figure:.2f}" for figure in figures)]


@contextmanager
def _timed_steps(steps: list[float]) -> Iterator[None]:
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        steps.append(time.thread_time() - began)

    asyncio.Handle._run = timed  # type: ignore[method-assign]
    try:
        yield
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]


def _read(port: int) -> None:
    async def read() -> None:
        async with readers(port, Counter()):
            await asyncio.Event().wait()

    asyncio.run(read())


if __name__ == "__main__":
    sys.exit(main())
