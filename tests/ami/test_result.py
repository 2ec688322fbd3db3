"""AVR_RESULT and AVR_REASON: a failure while a call is up, its end at its end, and never mixed up."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from audiosocket_gw import events
from audiosocket_gw.elevenlabs.connection import AgentConnection
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.protocol.audiosocket import Hangup
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.audio import SILENCE
from tests.harness.call import CHANNEL, arrive, channel, controlled, pbx
from tests.harness.fake_asterisk import FakeAsterisk
from tests.harness.gateway import GatewayHarness
from tests.harness.waiting import until

pytestmark = pytest.mark.virtual_time

LOST = ("error", "gateway-lost")
HUNG_UP = ("completed", "caller-hangup")


def told(fake: FakeAsterisk) -> tuple[str, str]:
    """Return AVR_RESULT and AVR_REASON of the caller's channel; empty before they are set."""
    return (
        fake.set_on.get((CHANNEL, "AVR_RESULT"), ""),
        fake.set_on.get((CHANNEL, "AVR_REASON"), ""),
    )


async def comes_to(fake: FakeAsterisk, wanted: tuple[str, str]) -> None:
    await until(lambda: told(fake), lambda seen: seen == wanted)


async def is_over(harness: GatewayHarness, line: AsteriskPeer) -> events.CallEnded:
    ended = await harness.wait_for(events.CallEnded, line.uuid)
    await harness.wait_for_calls(0)
    return ended


def goes_elsewhere(fake: FakeAsterisk, application: str = "Queue", data: str = "support") -> None:
    fake.channels[CHANNEL] |= {"Application": application, "ApplicationData": data}


async def test_a_call_that_is_up_has_failed_if_nothing_more_is_said() -> None:
    async with controlled() as call:
        await comes_to(call.pbx, LOST)
        asked = len(call.pbx.received)
        assert {action["Action"] for action in call.pbx.received[-3:]} == {"Status", "Setvar"}
        await call.still_talks()
        assert len(call.pbx.received) == asked, "it is said once"


async def test_a_second_call_with_its_uuid_that_is_rejected_changes_nothing() -> None:
    """Anyone who has seen the UUID could send it: the dialplan would take its call for rejected."""
    async with controlled(max_calls=1) as call, await call.harness.line() as second:
        await comes_to(call.pbx, LOST)
        second.identify(call.line.uuid)
        await until(lambda: second.hung_up)
        await call.still_talks()
        assert told(call.pbx) == LOST


async def test_a_channel_that_somebody_redirected_learns_that_the_caller_left() -> None:
    async with controlled() as call:
        await comes_to(call.pbx, LOST)
        goes_elsewhere(call.pbx)
        call.line.writer.close()
        await comes_to(call.pbx, HUNG_UP)
        assert (await is_over(call.harness, call.line)).reason is EndReason.CALLER_HANGUP
        assert told(call.pbx) == HUNG_UP


async def test_a_caller_who_hung_up_costs_one_question() -> None:
    async with controlled() as call:
        await comes_to(call.pbx, LOST)
        asked = len(call.pbx.received)
        del call.pbx.channels[CHANNEL]
        call.line.writer.close()
        await is_over(call.harness, call.line)
        assert [action["Action"] for action in call.pbx.received[asked:]] == ["Status"]


@pytest.mark.parametrize("result", [LOST, ("completed", "agent-hangup")], ids=["up", "over"])
async def test_a_channel_in_another_gateways_call_keeps_that_ones_values(result: tuple[str, str]) -> None:
    async with controlled() as call:
        await comes_to(call.pbx, LOST)
        if result == LOST:
            goes_elsewhere(call.pbx, "AudioSocket", "11111111-2222-4333-8444-555555555555,10.0.0.2:5001")
        else:
            goes_elsewhere(call.pbx)
        call.pbx.set_on |= {(CHANNEL, "AVR_RESULT"): result[0], (CHANNEL, "AVR_REASON"): result[1]}
        call.line.writer.close()
        await is_over(call.harness, call.line)
        assert told(call.pbx) == result


async def test_a_caller_whose_asterisk_broke_the_protocol_is_sent_on() -> None:
    async with controlled() as call:
        await comes_to(call.pbx, LOST)
        call.line.say(SILENCE * 2_000)  # faster than real time
        await call.line.ended.wait()
        assert call.line.frames[-1] == Hangup()
        assert not call.line.reset
        assert told(call.pbx) == ("error", "caller-protocol")
        assert (await call.ended()).reason is EndReason.CALLER_PROTOCOL


@pytest.mark.parametrize("slow", ["Status", "Setvar"])
async def test_slow_manager_interface_presets_late_and_holds_nothing_up(slow: str) -> None:
    async with pbx(caller_data_timeout=0.1) as (fake, harness):
        fake.slow[slow] = 0.5
        async with await arrive(fake, harness) as line:
            await harness.wait_for(events.AgentConnected)
            assert told(fake) != LOST
            await comes_to(fake, LOST)
            fake.slow.clear()
            await harness.simulator.conversations[0].connection.close(1000)
            await line.ended.wait()
            assert told(fake) == ("completed", "agent-hangup")


async def test_manager_interface_that_comes_later_is_told_then() -> None:
    async with pbx() as (fake, harness):
        await fake.stop()
        line = await harness.line()
        fake.channels[CHANNEL] = channel(line.uuid)
        line.identify()
        async with line:
            await harness.wait_for(events.AgentConnected)
            await fake.start()
            await comes_to(fake, LOST)


@pytest.mark.parametrize("unanswered", ["Status", "Setvar"])
async def test_manager_interface_that_is_too_slow_is_asked_again(unanswered: str) -> None:
    async with pbx(caller_data_timeout=0.1) as (fake, harness):
        fake.unanswered.add(unanswered)
        async with await arrive(fake, harness) as line:
            await fake.came(unanswered)
            await harness.wait_for(events.AgentConnected, line.uuid)
            await asyncio.sleep(6)
            fake.unanswered.clear()
            await comes_to(fake, LOST)


async def test_connection_that_is_lost_at_the_end_and_comes_back_is_waited_for() -> None:
    async with controlled() as call:
        await comes_to(call.pbx, LOST)
        call.pbx.break_connections()
        await call.agent.connection.close(1000)
        await call.line.ended.wait()
        assert call.line.hung_up
        assert told(call.pbx) == ("completed", "agent-hangup")


async def test_connection_that_does_not_come_back_holds_the_end_up_for_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with controlled() as call:
        await comes_to(call.pbx, LOST)
        await call.pbx.stop()
        await call.agent.connection.close(1000)
        await call.line.ended.wait()
        assert call.line.hung_up
        assert "AVR_RESULT could not be set: no connection to the manager interface in 1 s" in caplog.text


async def test_failed_transfer_leaves_the_preset(caplog: pytest.LogCaptureFixture) -> None:
    async with controlled() as call:
        await comes_to(call.pbx, LOST)
        call.pbx.replies["Redirect"] = "Response: Error\nMessage: Channel does not exist: x"
        await call.use("avr_transfer", transfer_extension="600")
        await call.told("transfer failed")
        assert call.results == ["transferred"]
        await comes_to(call.pbx, LOST)


@pytest.mark.parametrize("seed", range(12))
async def test_the_end_is_never_overtaken(seed: int) -> None:
    """Whatever is slow, and whenever the end comes: the last value is the end's."""
    chance = random.Random(seed)
    async with pbx(caller_data_timeout=0.05) as (fake, harness):
        fake.slow = {
            name: chance.choice((0, 0.01, 0.15)) for name in ("Status", "Setvar", "CoreShowChannels")
        }
        async with await arrive(fake, harness) as line:
            await harness.wait_for(events.CallStarted)
            if chance.random() < 0.5:
                await harness.wait_for(events.AgentConnected)
            await asyncio.sleep(chance.choice((0, 0.01, 0.05, 0.2)))
            harness.gateway._server.calls._calls.copy().popitem()[1].end(EndReason.AGENT_FAILED, "a test")
            await line.ended.wait()
            await asyncio.sleep(10)  # for what may still be on its way
            assert told(fake) == ("agent-unavailable", "agent-failed")


# The same UUID again


async def comes_again(fake: FakeAsterisk, harness: GatewayHarness, before: AsteriskPeer) -> AsteriskPeer:
    before.writer.close()
    line = await harness.line()
    headers = ("Event: Newexten", f"Channel: {CHANNEL}", "Uniqueid: 1.1", "Application: AudioSocket")
    fake.say("\n".join((*headers, f"AppData: {before.uuid}")))
    line.identify(before.uuid)
    return line


@pytest.mark.parametrize("batched", [False, True])
async def test_caller_comes_back_with_the_same_uuid_at_once(
    batched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = AgentConnection.close

    async def close_slowly(connection: AgentConnection) -> None:
        await asyncio.sleep(1)
        await close(connection)

    monkeypatch.setattr(AgentConnection, "close", close_slowly)
    settings = {"audio_chunk_ms": 100} if batched else {}
    async with controlled(**settings) as call:
        await comes_to(call.pbx, LOST)
        async with await comes_again(call.pbx, call.harness, call.line) as again:
            agent = await call.harness.simulator.wait_for_conversation(2)
            await agent.announced.wait()
            assert call.harness.gateway.calls == 2
            await call.harness.wait_for_calls(1)  # the first has ended, with all that belongs to it
            await asyncio.sleep(0.1)
            assert told(call.pbx) == LOST, "it is the second call's"
            assert not call.pbx.actions("CoreShowChannels")[1:], "the channel was not forgotten"
            await agent.connection.close(1000)
            await again.ended.wait()
            assert again.hung_up
            assert told(call.pbx) == ("completed", "agent-hangup")


async def test_caller_who_comes_back_gets_the_last_place() -> None:
    async with controlled(max_calls=1) as call:
        again = await comes_again(call.pbx, call.harness, call.line)
        async with again:
            await call.harness.simulator.wait_for_conversation(2)


def end_tool() -> None:
    Path("enough").touch()


async def test_tool_that_does_not_stop_gives_its_calls_place_back(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path_factory.mktemp("tools")
    (folder / "mine.py").write_text(STUBBORN)
    async with controlled(tools_dir=folder, max_calls=1) as call:
        await call.agent.call_tool("stubborn", {})
        await call.harness.wait_for(events.ToolCalled)
        await asyncio.sleep(0.1)
        call.line.writer.close()
        try:
            await is_over(call.harness, call.line)
        finally:
            end_tool()
        assert f"call {call.line.uuid}: tool stubborn abandoned" in caplog.text
        await asyncio.sleep(0.2)


STUBBORN = '''
import asyncio
from pathlib import Path

async def stubborn() -> str:
    """Never stop."""
    while not Path("enough").exists():
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            pass
'''
