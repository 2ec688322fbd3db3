"""What agents were reported to do, from the simulator's own scenarios to the end of the call."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.events import EndReason
from audiosocket_gw.testing.simulator import Scenario, load_scenario
from audiosocket_gw.testing.simulator.scenario import Noise, QueueAt, Refusal
from audiosocket_gw.testing.simulator.turn import Close, CloseAt, Speech, Tool, ToolsAt, Turn
from audiosocket_gw.testing.softphone.wav import write_wav
from tests.harness.agent_messages import agent_response
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.audio import ramp
from tests.harness.gateway import MANUAL, running_gateway

pytestmark = pytest.mark.virtual_time


def greeting_with(*tools: Tool, **turn: Any) -> Scenario:
    """An agent that uses tools at once, and says how it went."""
    told = Turn(
        tools=tools,
        tools_at=ToolsAt.BEFORE_SPEECH,
        say_after_tools=Speech("go-ahead"),
        say_after_failed_tools=Speech("apology"),
        **turn,
    )
    return Scenario(greeting=told)


async def said(words: str, scenario: Scenario, **settings: Any) -> None:
    """Wait until the agent has said words in a call, which keeps to the protocol."""
    async with running_gateway(scenario, **settings) as harness:
        line, agent = await harness.call()
        async with line:
            while words not in [event.text for event in harness.of(events.AgentSaid)]:
                await asyncio.sleep(0.02)
            assert agent.log.violations == []


# MCP


@pytest.mark.parametrize(
    ("setting", "prompt", "log"),
    [
        (None, "apology", "MCP tool 'book' denied (MCP_APPROVAL=deny)"),
        ("allow", "go-ahead", "MCP tool 'book' approved (MCP_APPROVAL=allow)"),
        ("cancel,book", "go-ahead", "MCP tool 'book' approved (MCP_APPROVAL=book,cancel)"),
        ("cancel", "apology", "MCP tool 'book' denied (MCP_APPROVAL=cancel)"),
    ],
)
async def test_an_mcp_tool_that_awaits_approval_is_answered(
    setting: str | None, prompt: str, log: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    scenario = greeting_with(Tool("book", mcp=True))
    await said(Speech(prompt).words, scenario, **({"mcp_approval": setting} if setting else {}))
    assert log in caplog.text


async def test_an_mcp_tool_is_answered_once_and_never_when_it_is_over() -> None:
    def state(ident: object, state: str) -> dict[str, Any]:
        call = {
            "service_id": "s",
            "tool_call_id": ident,
            "tool_name": "book",
            "parameters": {},
            "state": state,
        }
        return {"type": "mcp_tool_call", "mcp_tool_call": call}

    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            for ident, states in {
                "asked twice": (
                    "loading",
                    "awaiting_approval",
                    "awaiting_approval",
                    "success",
                    "awaiting_approval",
                ),
                "over": ("loading", "failure", "awaiting_approval"),
                "done": ("success", "awaiting_approval"),
                "waits": ("awaiting_approval",),
                "": ("awaiting_approval",),
                "of tomorrow": ("thinking",),
            }.items():
                for each in states:
                    await agent.send(state(ident, each))
            await (await agent.call_tool("make_coffee", {})).answered.wait()
            answers = [m for _, m in agent.log.received if m["type"] == "mcp_tool_approval_result"]
            assert [(m["tool_call_id"], m["is_approved"]) for m in answers] == [
                ("asked twice", False),
                ("waits", False),
            ]
            assert agent.log.violations == []


# Tools


async def test_tool_calls_without_an_id_are_answered_each() -> None:
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            with_id = await agent.call_tool("make_coffee", {})
            for _ in range(3):
                call = await agent.call_tool("make_coffee", {}, with_id=False)
                await call.answered.wait()
                assert call.result is not None
                assert call.result.tool_call_id == ""
            await with_id.answered.wait()
            assert len(agent.log.tool_results) == 4
            assert agent.log.violations == []


async def test_an_agent_whose_tool_calls_have_no_id_hangs_up() -> None:
    scenario = greeting_with(Tool("avr_hangup", without_id=True), say=Speech("goodbye"))
    async with running_gateway(scenario) as harness, await harness.line() as line:
        line.identify()
        assert (await harness.wait_for(events.CallEnded)).reason is EndReason.AGENT_HANGUP


# The queue


@pytest.fixture
def hum(tmp_path: Path) -> Path:
    path = tmp_path / "hum.wav"
    write_wav(path, np.full(8_000, 1_000, "<i2").tobytes())
    return path


@pytest.mark.parametrize("at", QueueAt)
async def test_a_queue_is_waited_in_with_hold_audio(at: QueueAt, hum: Path) -> None:
    queue = ("waiting", "admitted")
    scenario = Scenario(queue=queue, queue_at=at, queue_wait_s=2.5)
    async with (
        running_gateway(scenario, agent_connect_timeout=1, hold_audio=hum) as harness,
        await harness.line() as line,
    ):
        line.identify()
        await harness.wait_for(events.ReplyStarted)
        held = np.frombuffer(line.heard, "<i2")[1_600:16_000]
        assert len(held) == 14_400
        assert set(held) == {1_000}


@pytest.mark.parametrize("at", QueueAt)
@pytest.mark.parametrize("close", [None, Close(code=1000), Close(code=4300)])
async def test_a_queue_that_times_out_is_busy(at: QueueAt, close: Close | None) -> None:
    scenario = replace(
        MANUAL, queue=("waiting", "timed_out"), queue_at=at, queue_wait_s=0.1, close_at_start=close
    )
    async with running_gateway(scenario) as harness, await harness.line() as line:
        line.identify()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.AGENT_BUSY
        assert "the queue timed out" in ended.detail


async def test_a_queue_without_end_is_busy() -> None:
    scenario = replace(MANUAL, queue=("waiting",), queue_at=QueueAt.BEFORE_METADATA)
    async with running_gateway(scenario, agent_queue_timeout=0.5) as harness, await harness.line() as line:
        line.identify()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.AGENT_BUSY
        assert "0.5 s in ElevenLabs' queue (AGENT_QUEUE_TIMEOUT)" in ended.detail


# Audio


async def test_ids_that_begin_anew_after_an_interruption(caplog: pytest.LogCaptureFixture) -> None:
    async with running_gateway(replace(MANUAL, restart_ids=True)) as harness:
        line, agent = await harness.call()
        async with line:
            agent.event_id = 20
            await agent.send_audio(ramp(5_000))
            await harness.wait_for(events.ReplyStarted)
            await agent.interrupt()
            assert agent.event_id == 1
            await agent.send(agent_response("Yes?", 1))
            await agent.send_audio(ramp(200, 9))
            await line.hears(ramp(200, 9))
            assert agent.log.violations == []
    assert "event ids restarted at 1, after 20" in caplog.text


@pytest.mark.parametrize("name", ["hangup", "end-call"])
@pytest.mark.parametrize("dbfs", [-80.0, -45.0])
async def test_an_agent_with_background_audio_leaves(name: str, dbfs: float) -> None:
    """Both ways: by our tool, and by its own."""
    scenario = replace(load_scenario(name), background_dbfs=dbfs)
    async with running_gateway(scenario) as harness, await harness.line() as line:
        line.identify()
        talking = asyncio.create_task(talk(line))
        ended = await harness.wait_for(events.CallEnded)
        talking.cancel()
        assert ended.reason is EndReason.AGENT_HANGUP
        assert ended.duration_ms < 25_000


async def talk(line: AsteriskPeer) -> None:
    """Say something now and then."""
    while True:
        for loud in (True, False):
            for _ in range(50):
                line.say(ramp(20) if loud else bytes(320))
                await asyncio.sleep(0.02)
        await asyncio.sleep(1)


async def test_audio_in_base64_without_padding_is_heard() -> None:
    async with running_gateway(replace(MANUAL, noise=frozenset({Noise.UNPADDED_AUDIO}))) as harness:
        line, agent = await harness.call()
        async with line:
            await agent.send_audio(ramp(101))  # 1,616 bytes: two signs of padding
            await line.hears(ramp(101))


# Ends


async def test_a_guardrail_is_named() -> None:
    close = Close(code=1002, reason="Session ended", at=CloseAt.AFTER_PLAYBACK, guardrail=True)
    scenario = Scenario(greeting=Turn(say=Speech("go-ahead"), close=close))
    async with running_gateway(scenario) as harness, await harness.line() as line:
        line.identify()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.AGENT_FAILED
        assert ended.detail == "the agent closed with 1002 Session ended; a guardrail was triggered"


async def test_a_redirect_is_named() -> None:
    scenario = replace(MANUAL, private=True, refusal=Refusal.REDIRECT)
    async with running_gateway(scenario) as harness, await harness.line() as line:
        line.identify()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.AGENT_PROTOCOL
        assert "HTTP 301" in ended.detail
        assert "it redirects to https://elsewhere.invalid/v1/convai/conversation" in ended.detail


# The longest call


@pytest.mark.parametrize("reply_s", [0, 4, 60])
async def test_a_call_has_its_longest(reply_s: int) -> None:
    """What the agent is saying then is heard to its end, if that is near."""
    async with running_gateway(replace(MANUAL, max_duration_s=86_400.0), max_call_seconds=120) as harness:
        line, agent = await harness.call()
        async with line:
            await asyncio.sleep(119)
            said = ramp(1_000) * reply_s
            if said:
                await agent.send_audio(said)
            ended = await harness.wait_for(events.CallEnded)
            await line.ended.wait()
            assert line.hung_up
            assert ended.reason is EndReason.MAX_DURATION
            assert ended.detail == "the call lasted 120 s (MAX_CALL_SECONDS)"
            last_s = {0: 0, 4: 3, 60: 20}[reply_s]
            assert 120 + last_s - 1 <= ended.duration_ms / 1000 <= 120 + last_s + 1.5
            assert (said in line.heard) is (reply_s < 60)


async def test_no_second_reply_begins_at_the_longest() -> None:
    async with running_gateway(max_call_seconds=60) as harness:
        line, agent = await harness.call()
        async with line:
            await asyncio.sleep(59)
            await agent.send_audio(ramp(3_000))
            await asyncio.sleep(1.5)
            agent.begin_reply()
            agent.begin_reply()
            await agent.send_audio(b"\x02\x02" * 80_000)
            ended = await harness.wait_for(events.CallEnded)
            assert ended.duration_ms < 64_000
            assert ramp(3_000) in line.heard
            assert b"\x02\x02" * 4 not in line.heard


async def test_a_hang_up_that_has_begun_goes_before_the_longest() -> None:
    async with running_gateway(max_call_seconds=60) as harness:
        line, agent = await harness.call()
        async with line:
            await asyncio.sleep(59)
            await agent.send_audio(ramp(3_000))
            await agent.call_tool("avr_hangup", {})
            assert (await harness.wait_for(events.CallEnded)).reason is EndReason.AGENT_HANGUP


async def test_without_a_longest_a_call_goes_on() -> None:
    async with running_gateway(replace(MANUAL, max_duration_s=86_400.0), max_call_seconds=0) as harness:
        line, _ = await harness.call()
        async with line:
            await asyncio.sleep(300)
            assert not harness.of(events.CallEnded)


def test_the_longest_call_is_completed_for_the_dialplan() -> None:
    assert events.result_of(EndReason.MAX_DURATION) == "completed"
