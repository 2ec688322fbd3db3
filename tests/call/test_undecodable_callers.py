"""A caller whose codec can't be decoded, from the socket to all that tells of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.flight.call_trace import load_trace
from audiosocket_gw.protocol.audiosocket import Kind, encode_audio
from audiosocket_gw.testing.simulator.scenario_file import load_scenario
from tests.audio.g722 import linear_to_g722, wideband
from tests.audio.signals import speech
from tests.flight.records import recordings
from tests.harness.gateway import running_gateway
from tests.harness.waiting import until

G722 = linear_to_g722(wideband(speech("opening-hours")))


async def test_a_call_without_c_slin_is_kept_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "audiosocket_gw")
    async with running_gateway(load_scenario("receptionist"), flight_dir=tmp_path) as harness:
        async with await harness.line() as line:
            line.identify()
            await harness.wait_for(events.AgentConnected)
            for start in range(0, len(G722) - 159, 160):
                line.send(encode_audio(Kind.SLIN, G722[start : start + 160]))
            await harness.wait_for(events.CallerUndecodable)
        ended = await harness.wait_for(events.CallEnded)
        await harness.wait_for_calls(0)
    assert ended.reason is EndReason.CALLER_HANGUP
    (event,) = harness.of(events.CallerUndecodable)
    assert event.codec == ""
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["c(slin)" in warning for warning in warnings] == [True]
    (end,) = [line for line in caplog.messages if "ended, reason=caller-hangup" in line]
    assert " undecodable=1 " in end
    (path,) = await until(lambda: recordings(tmp_path), bool)
    assert "CallerUndecodable" in [event.name for event in load_trace(path).events]
