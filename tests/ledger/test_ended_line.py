"""The log line of a call that has ended: how it ended, and the figures that tell how it went."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import NORMAL_ENDS, CallEnd, EndReason
from audiosocket_gw.events import CallEnded, TransferOutcome
from audiosocket_gw.ledger.ended_line import log_ended
from audiosocket_gw.ledger.figures import median
from audiosocket_gw.log.formatter import LineFormatter, LogFormat
from tests.harness.gateway import running_gateway
from tests.ledger.calls import CALL, NUMBER, WHOLE_CALL, record_of

STARTED = WHOLE_CALL[0]
CONNECTED = events.AgentConnected(CALL, 100.2, "conv_1", 200.4)


def ended(reason: EndReason = EndReason.CALLER_HANGUP, detail: str = "why") -> events.CallEnded:
    return events.CallEnded(CALL, 161.0, CallEnd(reason, detail), duration_ms=61_234, heard_ms=2_040)


def end(*happened: events.CallEvent) -> None:
    record = record_of((STARTED, *happened))
    log_ended(happened[-1], record)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="audiosocket_gw")
    return caplog


def test_a_call_with_everything(lines: pytest.LogCaptureFixture) -> None:
    end(*WHOLE_CALL[1:])
    assert lines.messages == [
        f"call {CALL}: ended, reason=transferred duration_s=9.0 heard_s=4.0 setup_ms=200 first_audio_ms=500 "
        "silent_ms=5000 late_answers=1 undecodable=1 turns=2 turn_ms_p50=900 turn_ms_max=2100 "
        "interruptions=2 tools=2 transfers_refused=1 "
        f"late_frames=3: {NUMBER} put through"
    ]


def test_a_call_without_turns(lines: pytest.LogCaptureFixture) -> None:
    end(CONNECTED, ended())
    assert lines.messages == [
        f"call {CALL}: ended, reason=caller-hangup duration_s=61.2 heard_s=2.0 setup_ms=200 turns=0 "
        "interruptions=0 tools=0 late_frames=0: why"
    ]


def test_what_went_wrong_is_counted(lines: pytest.LogCaptureFixture) -> None:
    tools = ("t1", "t2", "t3")
    end(
        CONNECTED,
        *(events.ToolCalled(CALL, 101.0, "look_up", tool) for tool in tools),
        *(events.ToolAnswered(CALL, 102.0, "look_up", tool, is_error=tool != "t1") for tool in tools),
        events.TransferDecided(CALL, 103.0, "110@out", "", TransferOutcome.REFUSED, "not allowed"),
        events.TransferDecided(CALL, 104.0, "110@out", "", TransferOutcome.REFUSED, "not allowed"),
        events.TransferRequested(CALL, 105.0, "600@queues", "sales"),
        events.TransferDecided(CALL, 106.0, "600@queues", "sales", TransferOutcome.FAILED, "no such channel"),
        ended(),
    )
    figures = " tools=3 tool_errors=2 transfers_refused=2 transfers_failed=1 late_frames=0: "
    assert figures in lines.messages[0]


def test_a_call_whose_agent_never_connected(lines: pytest.LogCaptureFixture) -> None:
    end(ended(EndReason.AGENT_QUOTA))
    assert lines.messages == [
        f"call {CALL}: ended, reason=agent-quota duration_s=61.2 heard_s=2.0 late_frames=0: why"
    ]


def test_only_the_end_is_logged(lines: pytest.LogCaptureFixture) -> None:
    for count in range(1, len(WHOLE_CALL)):
        log_ended(WHOLE_CALL[count - 1], record_of(WHOLE_CALL[:count]))
    assert lines.messages == []


@pytest.mark.parametrize("reason", EndReason)
def test_only_a_normal_end_is_no_warning(reason: EndReason, lines: pytest.LogCaptureFixture) -> None:
    end(ended(reason))
    (record,) = lines.records
    assert (record.levelno == logging.INFO) is (reason in NORMAL_ENDS)
    assert f"reason={reason.value} " in record.getMessage()


def test_in_json_each_figure_is_a_number(lines: pytest.LogCaptureFixture) -> None:
    end(*WHOLE_CALL[1:])
    line = json.loads(LineFormatter(LogFormat.JSON).format(lines.records[0]))
    assert (line["call"], line["reason"], line["heard_s"]) == (str(CALL), "transferred", 4.0)
    assert (line["turns"], line["turn_ms_p50"], line["turn_ms_max"]) == (2, 900, 2_100)


def test_the_number_of_the_caller_is_masked(lines: pytest.LogCaptureFixture) -> None:
    end(*WHOLE_CALL[1:])
    line = LineFormatter().format(lines.records[0])
    assert line.endswith(" late_frames=3: +########### put through")


def test_no_peer_can_write_lines_into_the_log(lines: pytest.LogCaptureFixture) -> None:
    hostile = "x\n2026-01-01 INFO call forged\x1b[2J\u2028\ud800"
    end(replace(CONNECTED, conversation_id=hostile), ended(detail=hostile))
    assert LineFormatter().format(lines.records[0]).isprintable()


def test_the_detail_of_an_end_is_not_cut_as_a_value_is(lines: pytest.LogCaptureFixture) -> None:
    end(ended(EndReason.AGENT_FAILED, "x" * 1_000_000))
    assert LineFormatter().format(lines.records[0]).endswith("x" * 500 + "... (1,000,000 characters)")


def test_the_median_is_the_lower_one_of_two() -> None:
    assert [median(values) for values in ([], [3], [3, 1], [3, 1, 2])] == [None, 3, 1, 2]


async def test_the_line_is_the_last_of_a_call(lines: pytest.LogCaptureFixture) -> None:
    async with running_gateway() as harness:
        line, _ = await harness.call()
        await line.__aexit__()
        await harness.wait_for(CallEnded)
    of_the_call = [message for message in lines.messages if message.startswith(f"call {line.uuid}")]
    assert "started by" in of_the_call[0]
    assert "ended, reason=caller-hangup duration_s=" in of_the_call[-1]
    assert sum("ended, reason=" in message for message in lines.messages) == 1
