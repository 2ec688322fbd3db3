"""Attacks by floods of new calls, and by callers that don't read."""

from __future__ import annotations

import asyncio

from tests.chaos.attack import Target, attack, repeatedly

DOOR = "new calls"


@attack(DOOR, "UUID and TCP reset, 390/s in bursts of 30", before="good calls 122 to 490 ms late")
async def calls_that_reset(target: Target) -> None:
    async def act() -> None:
        line = await target.dial()
        await asyncio.sleep(0.01)  # a reset discards what has not been read
        line.reset()

    async def burst() -> None:
        await asyncio.gather(*(act() for _ in range(30)))

    await repeatedly(burst, 0.05)


@attack(
    DOOR,
    "100 honest calls at the same instant, twice",
    before="54 to 80 ms late",
    settings={"MAX_CALLS": "300"},
)
async def a_hundred_at_once(target: Target) -> None:
    for _ in range(2):
        await asyncio.gather(*(target.dial() for _ in range(100)))
        await asyncio.sleep(2)


@attack(DOOR, "100 calls at once, while REST takes 1 s", before="Too many open files (480 calls)")
async def calls_before_slow_rest(target: Target) -> None:
    target.backend.delay_s = 1
    before = target.backend.conversations
    lines = await asyncio.gather(*(target.dial() for _ in range(100)))
    await asyncio.sleep(4)
    up = target.backend.conversations - before
    if up < len(lines):
        target.faults.append(f"only {up} of {len(lines)} calls got an agent")


@attack(DOOR, "50 callers that never read", before="held: cut after 9 s", seconds=10)
async def deaf_callers(target: Target) -> None:
    await asyncio.gather(*(target.dial(deaf=True) for _ in range(50)))
    await asyncio.sleep(60)
