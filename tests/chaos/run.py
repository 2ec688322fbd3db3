"""One run of an attack: a gateway, 50 good calls, a quiet window, and one with the attack."""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from benchmarks.trial import free_port, stolen_time_s
from tests.chaos.attack import Attack, Target
from tests.chaos.backend import backend
from tests.chaos.gateway import DRAIN_S, STOP_S, GatewayUnderAttack, Left, gateway_under_attack
from tests.chaos.good_calls import GoodCalls, good_calls
from tests.chaos.verdict import Outcome, Window
from tests.harness.fake_asterisk import PASSWORD, USERNAME, FakeAsterisk, fake_asterisk

GOOD_CALLS = 50
QUIET_S = 3.0
LEAD_S = 0.3
"""How long the window with the attack begins before it."""

TAIL_S = 1.0
"""How long that window goes on after it: the last message may have been the one."""

REST_S = 12.0
"""How long the gateway gets to get rid of what the attack left: silent callers are cut after 9 s."""


async def run_attack(attack: Attack, folder: Path) -> Outcome:
    """Run it once.

    Raises:
        Dead: the gateway ended, or its loop came to nothing.
    """
    agent_port = free_port()
    async with _alone_on_the_machine(), backend(agent_port) as servers, _pbx(attack) as pbx:
        settings = {"MAX_CALLS": "200"} | servers.settings | _ami(pbx)
        settings |= {name: value.format(folder=folder) for name, value in attack.settings.items()}
        async with (
            gateway_under_attack(folder, settings, reads_log=attack.reads_log) as gateway,
            good_calls(gateway.port, agent_port, GOOD_CALLS) as calls,
        ):
            with _on_the_core_of_the_load():
                target = Target(gateway.port, servers, pbx)
                quiet = await _watch(gateway, calls, QUIET_S)
                before = await gateway.left()
                attacking = asyncio.create_task(_attack(attack, target))
                try:
                    attacked = await _watch(gateway, calls, LEAD_S + attack.seconds + TAIL_S)
                    await attacking
                finally:
                    attacking.cancel()
                    target.leave()
                left = await _rest(gateway, before)
                stop_s = await gateway.stop()
    return Outcome(
        quiet=quiet,
        attacked=attacked,
        left=left,
        stop_s=stop_s,
        max_stop_s=DRAIN_S + STOP_S + 1,
        tries=target.tries,
        admitted=target.admitted,
        found=target.faults,
    )


@asynccontextmanager
async def _alone_on_the_machine() -> AsyncIterator[None]:
    """Wait for other runs, of other clones: two gateways on one core would measure each other."""
    with (Path(tempfile.gettempdir()) / "audiosocket-gw-chaos.lock").open("a") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)  # in turn
        yield


@contextmanager
def _on_the_core_of_the_load() -> Iterator[None]:
    """Run there, and leave the gateway its own core; it and the load have their places already."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[-1]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


async def _attack(attack: Attack, target: Target) -> None:
    await asyncio.sleep(LEAD_S)
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(attack.seconds):
            await attack.run(target)


async def _watch(gateway: GatewayUnderAttack, calls: GoodCalls, seconds: float) -> Window:
    await gateway.ask()  # forget what was before
    gateway.forget_peak()
    resident_mib, stolen = gateway.resident_mib(), stolen_time_s()
    heard = await calls.measure(seconds)
    loop = await gateway.ask()
    return Window(heard, loop, gateway.peak_mib() - resident_mib, (stolen_time_s() - stolen) / heard.seconds)


async def _rest(gateway: GatewayUnderAttack, before: Left) -> dict[str, int]:
    """Wait until the gateway holds no more than before; return what it does after `REST_S`."""
    limit = time.monotonic() + REST_S
    while (more := (await gateway.left()).beyond(before)) and time.monotonic() < limit:
        await asyncio.sleep(0.1)
    return more


@asynccontextmanager
async def _pbx(attack: Attack) -> AsyncIterator[FakeAsterisk | None]:
    if not attack.needs_pbx:
        yield None
        return
    async with fake_asterisk() as pbx:
        yield pbx


def _ami(pbx: FakeAsterisk | None) -> dict[str, str]:
    if pbx is None:
        return {}
    return {
        "AMI_HOST": f"127.0.0.1:{pbx.port}",
        "AMI_USERNAME": USERNAME,
        "AMI_PASSWORD": PASSWORD,
    }
