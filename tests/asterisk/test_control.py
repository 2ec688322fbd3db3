"""The agent acts on calls of a real Asterisk: what the caller hears and the dialplan sees is the proof."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.testing.simulator import SimulatedAgent
from audiosocket_gw.testing.simulator.client_messages import ToolResult
from tests.asterisk.lab import AMI_PASSWORD, Lab, Watch
from tests.asterisk.phone import Phone
from tests.asterisk.release import KEYS
from tests.asterisk.signals import SAMPLE_RATE, loudest_hertz, noise, read_wav, tone
from tests.harness.gateway import GatewayHarness, running_gateway
from tests.harness.gateway_peer import GatewayPeer, answering, silence

pytestmark = pytest.mark.asterisk

EXTENSIONS = pytest.mark.parametrize("extension", ["5001", "5002"])
LANDED = r"Executing \[650@transfer-targets:1\] NoOp\(.*landed with AVR_RESULT=transferred"


@dataclass(frozen=True)
class Talk:
    """A call that is up: the caller's handset at one end, the agent at the other."""

    harness: GatewayHarness
    handset: GatewayPeer
    agent: SimulatedAgent
    watch: Watch

    async def use(self, tool: str, **parameters: str) -> ToolResult:
        call = await self.agent.call_tool(tool, parameters)
        await call.answered.wait()
        assert call.result is not None
        return call.result

    async def told(self, words: str) -> None:
        """Wait until the agent is told something with these words in it."""
        while not any(words in message.get("text", "") for _, message in self.agent.log.received):
            await asyncio.sleep(0.05)

    async def goes_on(self) -> None:
        """See that the caller still hears the agent."""
        audio = noise(0.2, seed=99)
        self.agent.begin_reply()
        await self.agent.send_audio(audio)
        await self.hears(audio)

    async def hears(self, audio: bytes) -> None:
        while audio not in self.handset.heard:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def controlled(lab: Lab, **settings: Any) -> AsyncIterator[GatewayHarness]:
    """A gateway with control over the Asterisk, when it can log in."""
    ami: dict[str, Any] = {
        "ami_host": "127.0.0.1",
        "ami_port": lab.ports.ami,
        "ami_password": AMI_PASSWORD,
    }
    async with running_gateway(port=lab.ports.gateway, **(ami | settings)) as harness:
        yield harness


async def in_control(harness: GatewayHarness, wanted: bool = True) -> None:
    control = harness.gateway._server.context.pbxs.find("127.0.0.1")
    assert control is not None
    while control.connected is not wanted:
        await asyncio.sleep(0.05)


@asynccontextmanager
async def talk_on(lab: Lab, harness: GatewayHarness, extension: str) -> AsyncIterator[Talk]:
    number = len(harness.simulator.conversations) + 1
    async with answering(lab.ports.handset, silence) as handsets, lab.call(extension, "handset") as watch:
        handset = await handsets.get()
        agent = await harness.simulator.wait_for_conversation(number)
        await agent.announced.wait()
        yield Talk(harness, handset, agent, watch)
    assert agent.log.violations == []


@asynccontextmanager
async def talk(lab: Lab, extension: str, **settings: Any) -> AsyncIterator[Talk]:
    async with controlled(lab, **settings) as harness:
        await in_control(harness)
        async with talk_on(lab, harness, extension) as call:
            yield call


# Transfer and hang-up


@EXTENSIONS
async def test_transfer_after_the_last_word(lab: Lab, extension: str) -> None:
    announced, target = noise(2, seed=1), noise(1, seed=2)
    (lab.recordings / "target.sln").write_bytes(target)
    async with talk(lab, extension) as call:
        await call.agent.send_audio(announced)
        assert not (await call.use("avr_transfer", transfer_extension="650")).is_error
        await call.hears(target)
        await call.watch.logged(LANDED)
        said = call.handset.heard.index(announced) + len(announced)
        lands = call.handset.heard.index(target)
        assert said < lands
        assert not any(call.handset.heard[said:lands]), "nothing is heard in between"
        print(f"{extension}: {(lands - said) // 16} ms from the last word to the first of the target")
        ended = await call.harness.wait_for(events.CallEnded)
        assert (ended.reason, ended.heard_ms) == (EndReason.TRANSFERRED, 2_000)


@EXTENSIONS
async def test_hang_up_lets_the_goodbye_finish(lab: Lab, extension: str) -> None:
    goodbye = noise(2, seed=3)
    async with talk(lab, extension) as call:
        await call.agent.send_audio(goodbye)
        assert not (await call.use("avr_hangup")).is_error
        await call.handset.ended.wait()
        assert goodbye in call.handset.heard
        assert (await call.harness.wait_for(events.CallEnded)).reason is EndReason.AGENT_HANGUP
        while "0 active channels" not in await lab.cli("core show channels count"):
            await asyncio.sleep(0.05)


FORBIDDEN = {
    "forbidden": {"transfer_extension": "004930123456"},
    "another context": {"transfer_extension": "601", "transfer_context": "phones"},
    "does not exist": {"transfer_extension": "699"},
    "two actions": {"transfer_extension": "650\r\nAction: Originate"},
    "a function": {"transfer_extension": "${SHELL(touch /tmp/x)}"},
    "priority": {"transfer_extension": "650", "transfer_priority": "1\r\nX: y"},
    "no priority": {"transfer_extension": "650", "transfer_priority": "99"},
    "pattern": {"transfer_extension": "_X."},
}


@EXTENSIONS
async def test_caller_stays_with_an_agent_that_asks_for_what_it_must_not(lab: Lab, extension: str) -> None:
    async with talk(lab, extension) as call:
        for arguments in FORBIDDEN.values():
            result = await call.use("avr_transfer", **arguments)
            assert result.is_error
            assert result.result
        await call.goes_on()
        assert "transfer-targets" not in call.watch.log()
        assert not call.harness.of(events.CallEnded)


@KEYS
async def test_key_transfers(lab: Lab) -> None:
    async with controlled(lab, dtmf_actions="0=transfer:650") as harness:
        await in_control(harness)
        async with lab.call("5001", "keys-0") as watch:
            await watch.logged(LANDED)


async def test_phone_is_transferred_and_hung_up(lab: Lab, tmp_path: Path) -> None:
    if not Phone.is_installed():
        if os.environ.get("CI") == "true":
            pytest.fail("no SIP phone here: apt-get install baresip", pytrace=False)
        pytest.skip("no SIP phone here: apt-get install baresip")
    phone = Phone(lab.ports, tmp_path)
    (lab.recordings / "target.sln").write_bytes(tone(3, 1_500))
    async with controlled(lab) as harness, lab.watch() as watch, phone.call("5001", tone(20, 300)):
        agent = await harness.simulator.wait_for_conversation(1)
        await agent.announced.wait()
        await agent.send_audio(tone(3, 700))
        await agent.call_tool("avr_transfer", {"transfer_extension": "650"})
        await watch.logged(LANDED)
        await asyncio.sleep(3)
    heard = read_wav(phone.heard)
    seconds = [heard[at : at + 2 * SAMPLE_RATE] for at in range(0, len(heard), SAMPLE_RATE)]
    pitches = [round(loudest_hertz(s), -2) for s in seconds if len(s) == 2 * SAMPLE_RATE and any(s)]
    assert re.fullmatch(r".*(700\.0 ){3,}.*(1500\.0 ){3,}.*", "".join(f"{pitch} " for pitch in pitches))


# AVR_RESULT


@EXTENSIONS
@pytest.mark.parametrize(
    ("code", "reason", "seen"),
    [
        (1000, "", r'Executing \[s@after-agent:2\] GotoIf\(".*", "1\?done"\)'),
        (1011, "", "No agent: AVR_RESULT=agent-unavailable AVR_REASON=agent-failed"),
        (3000, "quota_exceeded", "No agent: AVR_RESULT=quota AVR_REASON=agent-quota"),
        (3008, "", "No agent: AVR_RESULT=busy AVR_REASON=agent-busy"),
    ],
)
async def test_dialplan_knows_how_it_ended(
    lab: Lab, extension: str, code: int, reason: str, seen: str
) -> None:
    async with talk(lab, extension) as call:
        await call.agent.connection.close(code, reason)
        await call.watch.logged(seen)


@EXTENSIONS
async def test_dialplan_knows_that_the_gateway_was_full_and_that_it_stopped(lab: Lab, extension: str) -> None:
    async with controlled(lab, max_calls=1) as harness, lab.watch() as watch:
        await in_control(harness)
        await lab.originate(extension, "tone")
        await harness.wait_for(events.AgentConnected)
        await lab.originate(extension, "tone")
        await watch.logged("No agent: AVR_RESULT=busy AVR_REASON=gateway-full")
        leaving = asyncio.ensure_future(harness.gateway.__aexit__(None, None, None))
        await watch.logged("No agent: AVR_RESULT=draining AVR_REASON=drained")
        await leaving


async def test_agent_knows_who_calls(lab: Lab) -> None:
    async with talk(lab, "5011", call_variables="TIER,MOOD=good") as call:
        assert call.agent.log.initiation is not None
        variables = call.agent.log.initiation["dynamic_variables"]
        assert variables["caller_number"] == "+4930123"
        assert variables["caller_name"].startswith("Zoë A.")
        assert (variables["TIER"], variables["MOOD"], variables["context"]) == ("gold", "good", "phones")
        assert variables["channel"].startswith("Local/5011@phones-")
        assert variables["unique_id"] != "unknown" != variables["linked_id"]


# A manager interface in trouble


class Proxy:
    """Stands before the manager interface, and can cut, swallow or delay what passes."""

    def __init__(self, port: int) -> None:
        self.delay_s = 0.0
        self.swallows = False
        self.asked: list[str] = []
        self._target = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except ConnectionError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        for source, sink, asks in ((reader, back, True), (there, writer, False)):
            task = asyncio.ensure_future(self._carry(source, sink, asks))
            self._tasks.add(task)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, asks: bool) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65_536):
                await asyncio.sleep(self.delay_s)
                if self.swallows:
                    continue
                if asks:
                    self.asked += re.findall(r"^Action: (\w+)", data.decode(), re.MULTILINE)
                sink.write(data)
        sink.transport.abort()


async def test_cut_connection_loses_no_call_and_replays_nothing(lab: Lab) -> None:
    proxy = Proxy(lab.ports.ami)
    async with proxy as port, talk(lab, "5001", ami_port=port) as call:
        proxy.delay_s = 0.3  # so that the cut comes between question and answer
        asked = await call.agent.call_tool("avr_transfer", {"transfer_extension": "650"})
        await asyncio.sleep(0.1)
        proxy.cut()
        await asked.answered.wait()
        assert asked.result is not None
        assert asked.result.is_error
        proxy.delay_s = 0
        await in_control(call.harness, False)
        await call.goes_on()
        await in_control(call.harness)
        await asyncio.sleep(0.5)
        # What stands in advance for the death of the gateway was set when the call began, and again if the
        # answer was cut off; nothing else is.
        assert proxy.asked.count("Setvar") <= 4
        assert not {"Redirect", "Hangup"} & set(proxy.asked)
        assert not (await call.use("avr_transfer", transfer_extension="650")).is_error
        await call.watch.logged(LANDED)


async def test_half_open_connection_is_noticed_and_replaced(lab: Lab) -> None:
    proxy = Proxy(lab.ports.ami)
    async with proxy as port, talk(lab, "5002", ami_port=port) as call:
        proxy.swallows = True
        result = await call.use("avr_transfer", transfer_extension="650")
        assert result.is_error
        assert "at the moment" in result.result
        await in_control(call.harness, False)
        await call.goes_on()
        proxy.swallows = False
        proxy.cut()
        await in_control(call.harness)
        assert not (await call.use("avr_transfer", transfer_extension="650")).is_error
        await call.watch.logged(LANDED)


async def test_slow_connection_transfers_slowly(lab: Lab) -> None:
    proxy = Proxy(lab.ports.ami)
    async with proxy as port, talk(lab, "5001", ami_port=port) as call:
        proxy.delay_s = 0.4
        assert not (await call.use("avr_transfer", transfer_extension="650")).is_error
        await call.watch.logged(LANDED)
        assert (await call.harness.wait_for(events.CallEnded)).reason is EndReason.TRANSFERRED


async def test_manager_module_reloaded_in_mid_call(lab: Lab) -> None:
    async with talk(lab, "5001") as call:
        await lab.cli("manager reload")
        await lab.cli("manager kick session all")
        await call.goes_on()
        assert not (await call.use("avr_transfer", transfer_extension="650")).is_error
        await call.watch.logged(LANDED)


async def test_wrong_password(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    async with controlled(lab, ami_password="wrong") as harness, talk_on(lab, harness, "5001") as call:
        result = await call.use("avr_transfer", transfer_extension="650")
        assert result.is_error
        assert "at the moment" in result.result
        await call.goes_on()
        assert not (await call.use("avr_hangup")).is_error
        await call.watch.logged(r"Executing \[s@after-agent:1\]")
        while "rejected the login" not in caplog.text:
            await asyncio.sleep(0.05)
    assert caplog.text.count("rejected the login") == 1


async def test_permission_denied(lab: Lab) -> None:
    async with talk(lab, "5001", ami_username="onlooker") as call:
        await call.use("avr_transfer", transfer_extension="650")
        await call.told("transfer failed")
        await call.goes_on()
        assert "transfer-targets" not in call.watch.log()
        await call.use("avr_hangup")
        await call.handset.ended.wait()


@pytest.mark.limit(120)
async def test_asterisk_restarts(lab: Lab) -> None:
    async with controlled(lab) as harness:
        await in_control(harness)
        async with answering(lab.ports.handset, silence):
            await lab.originate("5001", "handset")
            await harness.wait_for(events.AgentConnected)
            await lab.cli("core restart now")
            assert (await harness.wait_for(events.CallEnded)).reason is EndReason.CALLER_HANGUP
        await in_control(harness, False)
        while "fully booted" not in await lab.cli("core waitfullybooted"):
            await asyncio.sleep(0.2)
        await in_control(harness)
        async with talk_on(lab, harness, "5001") as call:
            assert not (await call.use("avr_transfer", transfer_extension="650")).is_error
            await call.watch.logged(LANDED)
