"""Attacks by way of the log."""

from __future__ import annotations

import os

from tests.chaos.attack import Target, attack, repeatedly, together


@attack(
    "log",
    "no one reads standard error, and garbage connections cause a line each",
    before="all calls silent after 596; SIGTERM ignored",
    reads_log=False,
)
async def unread_log(target: Target) -> None:
    async def act() -> None:
        line = await target.connect()
        await line.send(os.urandom(64))
        await line.ended.wait()
        line.close()

    await together(*(repeatedly(act, 0) for _ in range(4)))
