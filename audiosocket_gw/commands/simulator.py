"""``audiosocket-gw simulator``: a simulated ElevenLabs, for gateways that run elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.testing.simulator import Simulator, load_scenario


async def run_simulator(scenario: str, host: str, port: int, api_key: str | None) -> int:
    """Answer conversations until Ctrl-C. ``api_key``, if any, is required for signed URLs.

    Raises:
        ConfigurationError: there is no such scenario, or the address can't be listened on.
    """
    simulator = Simulator(load_scenario(scenario), host=host, port=port, api_key=api_key, record=False)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(simulator)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(f"--host {host} --port {port}: can't listen there: {error}") from None
        print(f"simulated ElevenLabs: ELEVENLABS_BASE_URL={simulator.base_url} (Ctrl-C ends it)", flush=True)
        await asyncio.Event().wait()
    return 0
