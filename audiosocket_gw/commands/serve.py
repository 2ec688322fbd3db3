"""``audiosocket-gw serve``: the gateway as a process, until a signal stops it."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from audiosocket_gw.commands.call_lines import log_calls
from audiosocket_gw.commands.reload import Reload
from audiosocket_gw.errors import ConfigurationError, GatewayError
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.log.printed import print_to_log
from audiosocket_gw.log.setup import set_format, set_level
from audiosocket_gw.resources import find_faults
from audiosocket_gw.runtime.event_loop import GatewayEventLoop
from audiosocket_gw.runtime.one_at_a_time import OneAtATime
from audiosocket_gw.runtime.shutdown import end_with_nothing_left
from audiosocket_gw.runtime.signals import Action, Signals, handled_signals
from audiosocket_gw.settings import GatewaySettings, Settings, read_settings
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
    if faults:
        others = asyncio.run(find_faults(GatewaySettings.of(settings)))
        raise ConfigurationError("\n".join([*faults, *_others(faults, others)]))
    set_level(settings.log_level.upper())
    set_format(settings.log_format)
    try:
        with print_to_log(), asyncio.Runner(loop_factory=GatewayEventLoop) as runner:
            return runner.run(serve(settings, overrides))
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


async def serve(settings: Settings, overrides: Mapping[str, Any]) -> int:
    """Run the gateway until a signal stops it (`signals`); return the exit status of `run_serve`."""
    rooms = GatewaySettings.of(settings)
    with handled_signals(rooms.server.drain_timeout) as signals:
        async with _with_embedded_agent(rooms) as rooms:
            gateway = Gateway(rooms)
            async with gateway:
                # Modules and tables live as long as the process. With a few hundred calls, each full
                # collection that visited them would block all calls for 30 ms.
                gc.freeze()
                await _until_stopped(gateway, signals, Reload(gateway, settings, overrides))
        status = 1 if gateway.cut_calls else 0
        if status:
            logger.warning("stopped; %d calls were cut off", gateway.cut_calls)
        else:
            logger.info("stopped; no call was cut off")
        gateway.threads.shutdown(wait=False, cancel_futures=True)
        await end_with_nothing_left(status)
    return status


async def _until_stopped(gateway: Gateway, signals: Signals, reload: Reload) -> None:
    reloads, reports = OneAtATime(reload.run), OneAtATime(partial(log_calls, gateway))
    actions: dict[int, Action] = {signal.SIGHUP: reloads.request, signal.SIGUSR1: reports.request}
    with signals.acting(actions):
        await signals.stop.wait()
    await reloads.close()
    await reports.close()


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
