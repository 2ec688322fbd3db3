"""The gateway dies in a call, by SIGKILL as by the kernel's out-of-memory killer: callers are sent to people.

``DEATH_CALLS=20 pytest -m asterisk tests/asterisk/test_death.py`` does it with so many calls of each kind.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal

import pytest

from tests.asterisk.lab import Lab
from tests.asterisk.process import gateway_at
from tests.asterisk.test_dialplan import FALLBACK, HANGUP

pytestmark = pytest.mark.asterisk

CALLS = int(os.environ.get("DEATH_CALLS", "2"))
"""Of each kind."""

CALLERS = ("silent", "tone")

SERVED_S = 3
"""Longer than ``SERVED_AFTER_MS`` of the dialplan: the clock must not be what saves the caller."""


async def killed_in_calls(lab: Lab, extensions: tuple[str, ...], *, ami: bool) -> dict[str, str]:
    """Kill a gateway with calls up; return where each caller came to, by extension and channel."""
    expected = len(extensions) * len(CALLERS) * CALLS
    ended = rf"({FALLBACK}|{HANGUP})[^\n]*\"(Local/(\d+)@[^\"]*)\""
    async with gateway_at(lab, ami=ami) as gateway, lab.watch() as watch:
        for _ in range(CALLS):
            for extension in extensions:
                for caller in CALLERS:
                    await lab.originate(extension, caller)
        await gateway.logs("agent connected", expected)
        await asyncio.sleep(SERVED_S)
        assert not re.search(ended, watch.log())
        gateway.send(signal.SIGKILL)
        assert await gateway.status() == -signal.SIGKILL
        while len(found := re.findall(ended, watch.log())) < expected:
            await asyncio.sleep(0.1)
    return {
        f"{extension} {channel}": "fallback" if re.match(FALLBACK, step) else "hung up"
        for step, channel, extension in found
    }


def came_to(where: dict[str, str], extension: str, place: str) -> int:
    return sum(key.startswith(extension) and value == place for key, value in where.items())


@pytest.mark.limit(300)
async def test_with_a_manager_interface_every_caller_reaches_the_fallback(lab: Lab) -> None:
    where = await killed_in_calls(lab, ("5001", "5002", "5003"), ami=True)
    print({extension: came_to(where, extension, "fallback") for extension in ("5001", "5002", "5003")})
    assert list(where.values()) == ["fallback"] * 3 * len(CALLERS) * CALLS


@pytest.mark.limit(300)
async def test_without_one_the_application_fails_and_the_channel_driver_ends_as_usual(lab: Lab) -> None:
    where = await killed_in_calls(lab, ("5001", "5002", "5003"), ami=False)
    assert came_to(where, "5001", "fallback") == len(CALLERS) * CALLS
    for extension in ("5002", "5003"):  # nothing in Asterisk tells it from a normal end: docs/avr-result.md
        assert came_to(where, extension, "hung up") == len(CALLERS) * CALLS


async def test_a_call_that_dial_ended_has_not_lost_the_gateway(lab: Lab) -> None:
    async with gateway_at(lab) as gateway, lab.call("5025", "tone") as watch:
        await gateway.logs("agent connected")
        await watch.logged(HANGUP)
        assert not re.search(FALLBACK, watch.log())
        assert "ended, reason=caller-hangup" in gateway.log


@pytest.mark.parametrize("extension", ["5001", "5002"])
async def test_a_caller_redirected_by_somebody_else_has_not_lost_the_gateway(
    lab: Lab, extension: str
) -> None:
    async with gateway_at(lab) as gateway, lab.call(extension, "tone") as watch:
        await gateway.logs("agent connected")
        rows = (await lab.cli("core show channels concise")).split()
        caller = next(
            row.split("!")[0] for row in rows if row.startswith(f"Local/{extension}@") and ";2!" in row
        )
        while "AVR_REASON=gateway-lost" not in await lab.cli(f"core show channel {caller}"):
            await asyncio.sleep(0.05)
        await lab.cli(f"channel redirect {caller} phones,600,1")
        await gateway.logs("ended, reason=caller-hangup")
        shown = await lab.cli(f"core show channel {caller}")
        assert "AVR_RESULT=completed" in shown, shown
        assert "AVR_REASON=caller-hangup" in shown
        assert not re.search(FALLBACK, watch.log())
