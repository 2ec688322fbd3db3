"""An agent that never speaks and one that thinks for 4 s: scenario, gateway and flight recorder."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.flight.call_trace import load_trace
from audiosocket_gw.protocol.audiosocket import Kind, encode_audio
from audiosocket_gw.testing.simulator.scenario_file import load_scenario
from tests.audio.signals import speech
from tests.flight.records import recordings
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.gateway import GatewayHarness, running_gateway

pytestmark = pytest.mark.virtual_time

QUIET = np.random.default_rng(1).normal(0, 8, 8_000).astype("<i2").tobytes()


async def speak(line: AsteriskPeer, audio: bytes) -> None:
    """Say something at the pace of a telephone."""
    for start in range(0, len(audio) - 319, 320):
        line.send(encode_audio(Kind.SLIN, audio[start : start + 320]))
        await asyncio.sleep(0.02)


async def be_quiet(line: AsteriskPeer, seconds: float) -> None:
    for _ in range(round(seconds)):
        await speak(line, QUIET)


def warnings(caplog: pytest.LogCaptureFixture, line: AsteriskPeer) -> list[str]:
    named = [record for record in caplog.records if str(line.uuid) in record.getMessage()]
    return [record.getMessage() for record in named if record.levelno == logging.WARNING]


async def begin(harness: GatewayHarness) -> AsteriskPeer:
    line = await harness.line()
    line.identify()
    await harness.wait_for(events.AgentConnected)
    return line


async def test_an_agent_that_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running_gateway(load_scenario("silent"), flight_dir=tmp_path) as harness:
        async with await begin(harness) as line:
            await be_quiet(line, 6)
            (warning,) = warnings(caplog, line)
            assert "has said nothing for 5." in warning
        ended = await harness.wait_for(events.CallEnded)
        await harness.wait_for_calls(0)
    assert ended.reason is EndReason.CALLER_HANGUP
    (path,) = recordings(tmp_path)
    assert "AgentSilent" in [event.name for event in load_trace(path).events]


async def test_the_dialplan_gets_the_caller_back(caplog: pytest.LogCaptureFixture) -> None:
    async with running_gateway(load_scenario("silent"), silent_agent_action="end") as harness:
        async with await begin(harness) as line:
            await be_quiet(line, 7)
            assert line.hung_up
        ended = await harness.wait_for(events.CallEnded)
    assert ended.reason is EndReason.SILENT_AGENT
    assert "reason=silent-agent" in caplog.text


async def test_an_agent_that_thinks_for_4_s(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running_gateway(load_scenario("slow"), flight_dir=tmp_path) as harness:
        async with await begin(harness) as line:
            await harness.wait_for(events.ReplyFinished)
            await be_quiet(line, 1)
            await speak(line, speech("opening-hours").tobytes())
            await be_quiet(line, 4)
            (warning,) = warnings(caplog, line)
            assert "no answer for 3." in warning
            await be_quiet(line, 3)
        turn = await harness.wait_for(events.TurnTaken)
        await harness.wait_for_calls(0)
    assert len(harness.of(events.AnswerLate)) == 1
    assert turn.latency_ms == pytest.approx(4_500, abs=300)  # the simulator notices the end after 500 ms
    (path,) = recordings(tmp_path)
    assert "AnswerLate" in [event.name for event in load_trace(path).events]


async def test_a_call_without_a_fault_is_not_kept(tmp_path: Path) -> None:
    async with running_gateway(load_scenario("receptionist"), flight_dir=tmp_path) as harness:
        async with await begin(harness) as line:
            await harness.wait_for(events.ReplyFinished)
            await speak(line, speech("opening-hours").tobytes())
            await be_quiet(line, 2)
        turn = await harness.wait_for(events.TurnTaken)
        await harness.wait_for_calls(0)
    assert turn.latency_ms == pytest.approx(600, abs=300)
    assert recordings(tmp_path) == []
