"""Attacks on what is written: flight recordings, recordings, full disks."""

from __future__ import annotations

import asyncio

from tests.chaos.attack import Target, attack, repeatedly, together
from tests.harness.agent_messages import agent_response
from tests.harness.agent_peer import text

DOOR = "files"

RECORDS = {"RECORD_DIR": "{folder}/records", "FLIGHT_DIR": "{folder}/flights", "FLIGHT_KEEP": "all"}


@attack(
    DOOR,
    "an agent's text of 1 MiB, four times a second, with FLIGHT_DIR",
    before="held up 252 ms; 743 ms late",
    settings={"FLIGHT_DIR": "{folder}/flights", "FLIGHT_KEEP": "all"},
)
async def long_texts_in_flights(target: Target) -> None:
    megabyte = text(**agent_response("Call +49 30 1234567 now. " * 40_000, 1))
    _, agent = await target.call()

    async def act() -> None:
        await agent.send(megabyte)

    await repeatedly(act, 0.25)


@attack(DOOR, "30 short calls a second, all recorded", before="held", settings=RECORDS)
async def short_recorded_calls(target: Target) -> None:
    async def act() -> None:
        line, _ = await target.call()
        await asyncio.sleep(0.3)
        line.close()

    await together(*(repeatedly(act, 0.03) for _ in range(10)))
