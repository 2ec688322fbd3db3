"""A call that is up: without a manager interface, or with a channel in a PBX that is a fake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from audiosocket_gw import events
from audiosocket_gw.testing.simulator import SimulatedAgent
from audiosocket_gw.testing.simulator.client_messages import ToolResult
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.audio import ramp
from tests.harness.fake_asterisk import PASSWORD, USERNAME, FakeAsterisk, fake_asterisk
from tests.harness.gateway import GatewayHarness, running_gateway
from tests.harness.waiting import until

CHANNEL = "PJSIP/1-1"
TARGET = "600@transfer-targets"


@dataclass(frozen=True)
class CallHarness:
    """A call that is up."""

    harness: GatewayHarness
    line: AsteriskPeer
    agent: SimulatedAgent

    async def use(self, tool: str, **parameters: Any) -> ToolResult:
        """Have the agent call a tool, and wait for the answer."""
        call = await self.agent.call_tool(tool, parameters)
        await call.answered.wait()
        assert call.result is not None
        return call.result

    async def told(self, words: str) -> str:
        """Wait until the agent is told something with these words in it."""
        notes = await until(lambda: self.notes, lambda notes: any(words in note for note in notes))
        return next(note for note in notes if words in note)

    @property
    def notes(self) -> list[str]:
        return [m["text"] for _, m in self.agent.log.received if m.get("type") == "user_message"]

    async def ended(self) -> events.CallEnded:
        return await self.harness.wait_for(events.CallEnded, self.line.uuid)

    async def still_talks(self) -> None:
        """See that the agent is heard, and hears."""
        self.agent.begin_reply()
        audio = ramp(60, start=12_345)
        await self.agent.send_audio(audio)
        await self.line.hears(audio)
        assert not self.harness.of(events.CallEnded, self.line.uuid)


@asynccontextmanager
async def call_up(**settings: Any) -> AsyncIterator[CallHarness]:
    """A call without a manager interface."""
    async with running_gateway(**settings) as harness:
        line, agent = await harness.call()
        async with line:
            yield CallHarness(harness, line, agent)
        assert agent.log.violations == []


# With a manager interface


def channel(uuid: UUID) -> dict[str, str]:
    """A caller's channel, in the call."""
    return {
        "Channel": CHANNEL,
        "Uniqueid": "1.1",
        "Linkedid": "1.0",
        "CallerIDNum": "+49 30",
        "CallerIDName": "Ada Lovelace",
        "DNID": "5001",
        "Context": "phones",
        "Exten": "5001",
        "Priority": "3",
        "Application": "AudioSocket",
        "ApplicationData": f"{uuid},127.0.0.1:5001",
    }


@dataclass(frozen=True)
class ControlledCall(CallHarness):
    """A call with a channel in a PBX."""

    pbx: FakeAsterisk

    def lets_go(self) -> None:
        """Close the caller's connection, as Asterisk does as soon as it redirects or hangs up."""
        self.line.writer.close()

    def lands(self) -> None:
        self.pbx.channels[CHANNEL] |= {
            "Context": "transfer-targets",
            "Exten": "600",
            "Application": "Playback",
            "ApplicationData": "x",
        }

    @property
    def results(self) -> list[str]:
        """What ``AVR_RESULT`` was set to, but for the preset."""
        values = [a["Value"] for a in self.pbx.actions("Setvar") if a["Variable"] == "AVR_RESULT"]
        return [value for value in values if value != "error"]


async def arrive(fake: FakeAsterisk, harness: GatewayHarness) -> AsteriskPeer:
    """Connect a line, of which the PBX has told."""
    line = await harness.line()
    fake.channels[CHANNEL] = channel(line.uuid)
    fake.say(
        f"Event: Newexten\nChannel: {CHANNEL}\nUniqueid: 1.1\nApplication: AudioSocket\nAppData: {line.uuid}"
    )
    line.identify()
    return line


@asynccontextmanager
async def pbx(**settings: Any) -> AsyncIterator[tuple[FakeAsterisk, GatewayHarness]]:
    async with fake_asterisk() as fake:
        fake.replies["Getvar"] = "Response: Success\nValue: 1"
        ami: dict[str, Any] = {"ami_host": "127.0.0.1", "ami_port": fake.port, "ami_username": USERNAME}
        async with running_gateway(ami_password=PASSWORD, **ami, **settings) as harness:
            await fake.came("CoreShowChannels")
            yield fake, harness


@asynccontextmanager
async def controlled(**settings: Any) -> AsyncIterator[ControlledCall]:
    async with pbx(**settings) as (fake, harness):
        async with await arrive(fake, harness) as line:
            agent = await harness.simulator.wait_for_conversation(1)
            await harness.wait_for(events.AgentConnected)
            yield ControlledCall(harness, line, agent, fake)
        assert agent.log.violations == []
