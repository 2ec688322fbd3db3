"""Call screening: without what is required no agent is located, let alone connected."""

from __future__ import annotations

import asyncio

import pytest

from audiosocket_gw import events
from audiosocket_gw.call.outputs import CallerAudioBegan, EndDecided
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.protocol.audiosocket import encode_dtmf
from tests.call.driver import Driver, connected
from tests.harness.audio import SILENCE, ramp
from tests.harness.call import arrive, pbx
from tests.harness.gateway import GatewayHarness, running_gateway
from tests.harness.waiting import until

pytestmark = pytest.mark.virtual_time


async def no_agent_was_asked_for(harness: GatewayHarness) -> bool:
    await asyncio.sleep(1)
    return not harness.simulator.conversations and not harness.of(events.AgentConnected)


# REQUIRE_CALLER_AUDIO


async def test_no_agent_before_the_callers_first_audio() -> None:
    said = ramp(100)
    async with running_gateway(require_caller_audio=True) as harness, await harness.line() as line:
        line.identify()
        line.send(encode_dtmf("5") + b"\x10\x00\x00")  # neither is audio
        await line.receives(100)
        assert await no_agent_was_asked_for(harness)
        line.say(said)
        agent = await harness.simulator.wait_for_conversation(1)
        await until(lambda: agent.log.received_audio, lambda heard: said in heard)


async def test_a_caller_who_is_never_heard_costs_nothing() -> None:
    async with (
        running_gateway(require_caller_audio=True, no_input_timeout=20) as harness,
        await harness.line() as line,
    ):
        line.identify()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_SILENT
        assert ended.detail == "no audio came from the caller for 20 s (NO_INPUT_TIMEOUT)"
        assert not harness.simulator.conversations
        await until(lambda: line.hung_up)


async def test_a_call_that_waits_for_audio_takes_no_turn_from_others() -> None:
    async with running_gateway(require_caller_audio=True) as harness, await harness.line() as line:
        line.identify()
        await line.receives(50)
        assert not harness.gateway._server.context.setups._turns


async def test_by_default_the_agent_greets_a_caller_who_says_nothing() -> None:
    async with running_gateway() as harness:
        line, _ = await harness.call()
        await line.__aexit__()


# REQUIRE_AMI_MATCH


async def test_a_call_that_asterisk_knows_reaches_the_agent() -> None:
    async with pbx(require_ami_match=True) as (fake, harness), await arrive(fake, harness):
        await harness.simulator.wait_for_conversation(1)


async def test_a_call_that_asterisk_does_not_know_reaches_none() -> None:
    async with pbx(require_ami_match=True) as (_, harness), await harness.line() as line:
        line.identify()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_UNKNOWN
        assert ended.detail.startswith("no channel of Asterisk at 127.0.0.1:")
        assert ended.detail.endswith(f"is in the call {line.uuid} (REQUIRE_AMI_MATCH)")
        await until(lambda: line.hung_up)
        assert await no_agent_was_asked_for(harness)


async def test_when_asterisk_can_not_be_asked_no_call_is_let_through() -> None:
    async with pbx(require_ami_match=True) as (fake, harness):
        await fake.stop()
        async with await harness.line() as line:
            line.identify()
            ended = await harness.wait_for(events.CallEnded)
            assert ended.reason is EndReason.PBX_UNREACHABLE
            assert "not connected to the manager interface" in ended.detail
            assert await no_agent_was_asked_for(harness)
        await fake.start()


async def test_when_asterisk_does_not_answer_no_call_is_let_through() -> None:
    async with pbx(require_ami_match=True) as (fake, harness):
        fake.unanswered |= {"Status", "CoreShowChannels"}
        async with await arrive(fake, harness):
            ended = await harness.wait_for(events.CallEnded)
            assert ended.reason is EndReason.PBX_UNREACHABLE
            assert "no answer" in ended.detail
            assert await no_agent_was_asked_for(harness)


async def test_a_slow_asterisk_is_waited_for_longer_than_for_caller_data() -> None:
    async with pbx(require_ami_match=True, caller_data_timeout=0.1) as (fake, harness):
        fake.slow["Status"] = 2
        async with await arrive(fake, harness):
            await harness.simulator.wait_for_conversation(1)


async def test_an_address_without_a_pbx_reaches_none() -> None:
    async with (
        running_gateway(require_ami_match=True, ami_hosts=("192.0.2.1",), ami_password="x") as harness,
        await harness.line() as line,
    ):
        line.identify()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.PBX_UNREACHABLE
        assert "AMI_HOSTS" in ended.detail
        assert not harness.simulator.conversations


async def test_a_stranger_without_a_word_loses_its_place_at_once() -> None:
    async with (
        pbx(require_ami_match=True, require_caller_audio=True) as (_, harness),
        await harness.line() as line,
    ):
        line.identify()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_UNKNOWN
        assert ended.duration_ms < 3_000


async def test_a_call_may_end_while_it_is_screened() -> None:
    async with pbx(require_ami_match=True, require_caller_audio=True) as (fake, harness):
        async with await arrive(fake, harness):
            pass
        assert (await harness.wait_for(events.CallEnded)).reason is EndReason.CALLER_HANGUP
        await harness.wait_for_calls(0)


# NO_INPUT_TIMEOUT


def test_a_caller_without_any_audio_is_ended_in_time() -> None:
    driver = connected(no_input_s=10.0)
    driver.caller_says(SILENCE)
    driver.run(9.9)
    assert not driver.of(EndDecided)
    driver.caller_says(SILENCE)
    driver.run(9.9)
    assert not driver.of(EndDecided)
    driver.run(0.2)
    (decided,) = driver.of(EndDecided)
    assert decided.end.reason is EndReason.CALLER_SILENT


def test_audio_that_no_one_can_decode_is_audio_from_the_caller() -> None:
    driver = connected(no_input_s=10.0)
    for _ in range(20):
        driver.caller_says(b"\x12\x34\x56")  # comfort noise
        driver.run(1)
    assert not driver.of(EndDecided)


def test_a_transfer_in_progress_comes_first() -> None:
    driver = connected(no_input_s=10.0)
    driver.run(9.5)
    driver.await_last_words()
    driver.run(1)
    assert not driver.of(EndDecided)
    driver.go_on()
    (decided,) = driver.of(EndDecided)
    assert decided.end.reason is EndReason.CALLER_SILENT


def test_the_first_audio_is_reported_once() -> None:
    driver = Driver()
    driver.caller_says(b"")
    driver.caller_says(b"\x01\x02\x03")
    assert not driver.of(CallerAudioBegan)
    driver.caller_speaks(SILENCE * 5)
    assert len(driver.of(CallerAudioBegan)) == 1
