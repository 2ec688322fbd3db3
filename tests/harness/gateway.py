"""A gateway between a simulated ElevenLabs and Asterisk's end of connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from audiosocket_gw import events
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.runtime.load import Load
from audiosocket_gw.settings import GatewaySettings, Settings
from audiosocket_gw.testing.simulator import Scenario, SimulatedAgent, Simulator
from audiosocket_gw.testing.simulator.scenario import Mode
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.busy_process import BusyProcess
from tests.harness.waiting import until

MANUAL = Scenario(mode=Mode.MANUAL)
"""The agent does what the test tells it, and nothing else but pings."""

E = TypeVar("E", bound=events.CallEvent)


@dataclass
class GatewayHarness:
    simulator: Simulator
    gateway: Gateway
    settings: Settings
    events: list[events.CallEvent] = field(default_factory=list)

    @property
    def load(self) -> Load:
        """What the gateway measures of its load, and decides by it."""
        return self.gateway._server.context.load

    def overload(self) -> BusyProcess:
        """Have the gateway measure that it is overloaded, until what this returns tells it otherwise."""
        process = BusyProcess(self.load)
        process.windows(100, busy=1.0)
        assert self.load.overloaded
        return process

    async def line(self) -> AsteriskPeer:
        """Connect; nothing has been sent yet."""
        return await AsteriskPeer.open(self.gateway.address)

    async def call(self) -> tuple[AsteriskPeer, SimulatedAgent]:
        """Return a line whose call is up, and the agent's side of it, announced."""
        line = await self.line()
        number = len(self.simulator.conversations) + 1
        line.identify()
        await self.simulator.wait_for_conversation(number)
        conversation = self.simulator.conversations[number - 1]
        await self.wait_for(events.AgentConnected, line.uuid)
        return line, conversation

    def of(self, kind: type[E], uuid: UUID | None = None) -> list[E]:
        return [e for e in self.events if isinstance(e, kind) and (uuid is None or e.uuid == uuid)]

    async def wait_for(self, kind: type[E], uuid: UUID | None = None) -> E:
        """Return the first event of the kind, as soon as there is one."""
        found = await until(
            lambda: self.of(kind, uuid), show=lambda _: f"no {kind.__name__} in {self.events}"
        )
        return found[0]

    async def wait_for_calls(self, count: int) -> None:
        await until(
            lambda: self.gateway.calls,
            lambda calls: calls == count,
            show=lambda calls: f"{calls} calls, not {count}; {self.events}",
        )


@asynccontextmanager
async def running_gateway(
    scenario: Scenario = MANUAL, api_key: str | None = None, **settings: Any
) -> AsyncIterator[GatewayHarness]:
    """Set up simulator and gateway; ``settings`` are fields of `Settings`."""
    async with Simulator(scenario, api_key=api_key) as simulator:
        given: dict[str, Any] = {
            "elevenlabs_agent_id": "agent",
            "elevenlabs_base_url": simulator.base_url,
            "port": 0,
            "drain_timeout": 0,
            "refuse_overload": False,  # whatever else the machine does
        }
        seen: list[events.CallEvent] = []
        configured = Settings(**(given | settings))
        async with Gateway(GatewaySettings.of(configured), observers=[seen.append]) as gateway:
            yield GatewayHarness(simulator, gateway, configured, seen)
