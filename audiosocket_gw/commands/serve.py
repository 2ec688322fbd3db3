"""``audiosocket-gw serve``: the gateway as a process, until a signal stops it."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from audiosocket_gw.errors import ConfigurationError, GatewayError
from audiosocket_gw.gateway import Gateway, find_faults
from audiosocket_gw.log.printed import print_to_log
from audiosocket_gw.log.setup import set_format, set_level
from audiosocket_gw.runtime.event_loop import GatewayEventLoop
from audiosocket_gw.runtime.shutdown import end_with_nothing_left, stop_signals
from audiosocket_gw.settings import GatewaySettings, read_settings
from audiosocket_gw.testing.simulator import Simulator, load_scenario

logger = logging.getLogger("audiosocket_gw.gateway")


def run_serve(**overrides: Any) -> int:
    """Answer Asterisk's calls until a stop signal; return the exit status.

    0: every call ended in time. 1: calls lasted longer than ``DRAIN_TIMEOUT`` and were cut off, or the
    gateway failed. ``overrides`` (fields of `Settings`) take precedence over the environment.

    Raises:
        ConfigurationError: the gateway can't be started with these settings; a line for each fault.
    """
    settings, faults = read_settings(**overrides)
    rooms = GatewaySettings.of(settings)
    if faults:
        raise ConfigurationError("\n".join([*faults, *_others(faults, asyncio.run(find_faults(rooms)))]))
    set_level(settings.log_level.upper())
    set_format(settings.log_format)
    try:
        with print_to_log(), asyncio.Runner(loop_factory=GatewayEventLoop) as runner:
            return runner.run(serve(rooms))
    except GatewayError:
        raise
    except Exception:  # logged: Python would print it, and block on standard error
        logger.exception("the gateway failed")
        return 1


def _others(known: Sequence[str], found: Sequence[str]) -> list[str]:
    """Return the faults, without those of a default that replaced an invalid value."""
    names = _variables(known)
    return [line for line in found if not names & _variables([line])]


def _variables(lines: Sequence[str]) -> set[str]:
    return {name for line in lines for name in re.findall(r"\b([A-Z_0-9]+)=", line.partition(": ")[0])}


async def serve(settings: GatewaySettings) -> int:
    """Run the gateway until a signal stops it (`shutdown`); return the exit status of `run_serve`."""
    with stop_signals(settings.server.drain_timeout) as stop:
        async with _with_embedded_agent(settings) as settings:
            gateway = Gateway(settings)
            async with gateway:
                # Modules and tables live as long as the process. With a few hundred calls, each full
                # collection that visited them would block all calls for 30 ms.
                gc.freeze()
                await stop.wait()
        status = 1 if gateway.cut_calls else 0
        if status:
            logger.warning("stopped; %d calls were cut off", gateway.cut_calls)
        else:
            logger.info("stopped; no call was cut off")
        gateway.threads.shutdown(wait=False, cancel_futures=True)
        await end_with_nothing_left(status)
    return status


@asynccontextmanager
async def _with_embedded_agent(settings: GatewaySettings) -> AsyncIterator[GatewaySettings]:
    """Yield the settings, pointed at an embedded simulator when ``AGENT=simulator``."""
    if not settings.embedded_agent:
        yield settings
        return
    async with Simulator(load_scenario("receptionist"), record=False) as simulator:
        logger.info("the embedded agent answers (AGENT=simulator); nothing goes to ElevenLabs")
        agent = replace(
            settings.agent,
            elevenlabs_base_url=simulator.base_url,
            elevenlabs_agent_id="simulator",
            elevenlabs_agent_url=None,
            elevenlabs_api_key=None,
        )
        yield replace(settings, agent=agent, embedded_agent=False)
