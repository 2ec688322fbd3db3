"""Every end that a recording knows of, made again: the gateway gives the same reason, in the same words.

On virtual time: the sockets are real, a minute of silence is not.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from audiosocket_gw.events import EndReason
from audiosocket_gw.flight.format import AgentMessage, CallerFrame, Record
from audiosocket_gw.protocol.audiosocket import Kind
from audiosocket_gw.settings import load_settings
from audiosocket_gw.testing.replay.endings import (
    AgentAct,
    AgentEnding,
    CallerAct,
    agent_ending,
    caller_ending,
)
from audiosocket_gw.testing.replay.replay import Outcome, replay
from tests.flight.records import AGENT_THERE, INITIATION, SILENCE, ended, heard, spoken, trace
from tests.harness.audio import ramp


async def replayed(path: Path, *records: Record) -> Outcome:
    settings = load_settings(agent="simulator", agent_connect_timeout=3, agent_url_timeout=2)
    return await replay(trace(path / "call.flight", *records), settings, lambda event: None)


def same_words(detail: str) -> str:
    """Leave out what is another number each time."""
    return re.sub(r"\d+\.\d+\.\d+\.\d+:\d+|\(\d+ms\)", "HOST", detail)


WITHOUT_AGENT = [
    (EndReason.AGENT_UNREACHABLE, "no connection to HOST: [Errno 111] Connect call failed ('127.0.0.1', "),
    (EndReason.AGENT_UNREACHABLE, "the agent's host refused the WebSocket with HTTP 503 upstream is down"),
    (EndReason.AGENT_UNAUTHORIZED, "the agent's host refused the WebSocket with HTTP 401 Unauthorized"),
    (EndReason.AGENT_NOT_FOUND, "the agent's host refused the WebSocket with HTTP 404 no such agent"),
    (EndReason.AGENT_BUSY, "the agent's host refused the WebSocket with HTTP 429 Too Many Requests"),
    (EndReason.AGENT_QUOTA, "the agent's host refused the WebSocket with HTTP 401 quota_exceeded"),
    (EndReason.AGENT_REJECTED, "the agent's host refused the WebSocket with HTTP 422 agent_id is missing"),
    (EndReason.AGENT_PROTOCOL, "the agent's host refused the WebSocket with HTTP 302 Found"),
    (EndReason.AGENT_PROTOCOL, "the agent's host answered no WebSocket: "),
    (EndReason.AGENT_TIMEOUT, "no WebSocket connection to HOST in 3 s (AGENT_CONNECT_TIMEOUT)"),
    (EndReason.AGENT_LOST, "the connection to the agent broke: "),
    (EndReason.AGENT_URL_FAILED, "ELEVENLABS_AGENT_URL answered HTTP 404: 'nobody here'"),
    (EndReason.AGENT_URL_FAILED, "ELEVENLABS_AGENT_URL did not answer in 2 s (AGENT_URL_TIMEOUT)"),
    (EndReason.AGENT_URL_FAILED, "ELEVENLABS_AGENT_URL can't be reached: All connection attempts failed"),
    (EndReason.CALLER_HANGUP, "Asterisk closed the connection"),
]

WITH_AGENT = [
    (EndReason.AGENT_HANGUP, "the agent closed with 1000 goodbye"),
    (EndReason.AGENT_FAILED, "the agent closed with 1011 Internal error"),
    (EndReason.AGENT_FAILED, "the agent closed with 1002 (no reason given)"),
    (EndReason.AGENT_REJECTED, "the agent closed with 1008 Override for field 'prompt' is not allowed"),
    (EndReason.AGENT_QUOTA, "the agent closed with 1002 This request exceeds your quota"),
    (EndReason.AGENT_BUSY, "the agent closed with 4300 (no reason given)"),
    (EndReason.AGENT_LOST, "the connection to the agent broke: "),
    (EndReason.AGENT_LOST, "the agent fell silent for 20 s"),
    (EndReason.AGENT_PROTOCOL, "the agent sent no valid WebSocket frame: "),
    (EndReason.CALLER_HANGUP, "Asterisk closed the connection"),
    (EndReason.CALLER_HANGUP, "Asterisk sent a hang-up"),
    (EndReason.CALLER_HANGUP, "the connection to Asterisk broke: [Errno 104] Connection reset by peer"),
    (EndReason.CALLER_HANGUP, "Asterisk reports error 0x01, a hang-up"),
    (EndReason.CALLER_PROTOCOL, "Asterisk's side left a frame unfinished for 5 s"),
    (EndReason.CALLER_STALLED, "Asterisk has taken no audio for 5 s"),
    (EndReason.DRAINED, "the gateway is stopping, and DRAIN_TIMEOUT is over"),
]


@pytest.mark.virtual_time
@pytest.mark.parametrize(("reason", "detail"), WITHOUT_AGENT)
async def test_an_agent_that_never_came(tmp_path: Path, reason: EndReason, detail: str) -> None:
    at_ms = 3_000 if reason is EndReason.AGENT_TIMEOUT else 800
    outcome = await replayed(tmp_path, *spoken(800), *heard(800), ended(at_ms, reason, detail))
    assert outcome.ended is not None
    assert outcome.ended.reason is reason
    assert same_words(outcome.ended.detail).startswith(detail)


@pytest.mark.virtual_time
@pytest.mark.parametrize(("reason", "detail"), WITH_AGENT)
async def test_an_agent_that_was_there(tmp_path: Path, reason: EndReason, detail: str) -> None:
    at_ms = 20_010 if "silent" in detail else 2_000
    records = (*AGENT_THERE, *spoken(1_000), *heard(1_000), ended(at_ms, reason, detail))
    outcome = await replayed(tmp_path, *records)
    assert outcome.ended is not None
    assert outcome.ended.reason is reason
    assert same_words(outcome.ended.detail).startswith(detail)


@pytest.mark.virtual_time
async def test_words_that_no_text_can_have_are_said_otherwise(tmp_path: Path) -> None:
    refused = ended(800, EndReason.AGENT_NOT_FOUND, "refused the WebSocket with HTTP 404 \ud800!")
    outcome = await replayed(tmp_path, *spoken(800), refused)
    assert outcome.ended is not None
    assert outcome.ended.detail.endswith("with HTTP 404 ?!")
    closed = ended(800, EndReason.AGENT_FAILED, "the agent closed with 1011 \ud800!")
    outcome = await replayed(tmp_path, *AGENT_THERE, *spoken(800), closed)
    assert outcome.ended is not None
    assert outcome.ended.detail == "the agent closed with 1011 ?!"


@pytest.mark.virtual_time
async def test_an_agent_that_announces_no_conversation(tmp_path: Path) -> None:
    detail = "the agent announced no conversation in 3 s (AGENT_CONNECT_TIMEOUT)"
    records = (INITIATION, *spoken(3_000), ended(3_010, EndReason.AGENT_TIMEOUT, detail))
    outcome = await replayed(tmp_path, *records)
    assert outcome.ended is not None
    assert (outcome.ended.reason, outcome.ended.detail) == (EndReason.AGENT_TIMEOUT, detail)


@pytest.mark.virtual_time
async def test_an_agent_that_stops_reading(tmp_path: Path) -> None:
    detail = "the agent stopped reading what the caller says"
    pings = [AgentMessage(ms * 1000, b'{"type":"ping"}') for ms in range(2_000, 400_000, 2_000)]
    end = ended(400_000, EndReason.AGENT_LOST, detail)
    records = (*AGENT_THERE, *pings, *spoken(400_000, ramp(20)), end)
    outcome = await replayed(tmp_path, *records)
    assert outcome.ended is not None
    assert (outcome.ended.reason, outcome.ended.detail) == (EndReason.AGENT_LOST, detail)


@pytest.mark.virtual_time
async def test_a_peer_that_is_faster_than_real_time(tmp_path: Path) -> None:
    detail = "the peer sends audio or keys faster than real time"
    hurried = [CallerFrame(500_000, Kind.SLIN, SILENCE) for _ in range(2_000)]
    outcome = await replayed(tmp_path, *AGENT_THERE, *hurried, ended(520, EndReason.CALLER_PROTOCOL, detail))
    assert outcome.ended is not None
    assert (outcome.ended.reason, outcome.ended.detail) == (EndReason.CALLER_PROTOCOL, detail)


@pytest.mark.parametrize(
    ("reason", "detail", "ending"),
    [
        (EndReason.AGENT_FAILED, "something new", AgentEnding(AgentAct.CLOSE, 1011)),
        (EndReason.AGENT_QUOTA, "something new", AgentEnding(AgentAct.CLOSE, 3000, "quota_exceeded")),
        (EndReason.AGENT_HANGUP, "the agent hung up (avr_hangup)", AgentEnding(AgentAct.NOTHING)),
        (
            EndReason.AGENT_PROTOCOL,
            "the agent sent something that is not JSON",
            AgentEnding(AgentAct.NOTHING),
        ),
        (EndReason.AGENT_FORMAT, "the agent's format is 'mp3'", AgentEnding(AgentAct.NOTHING)),
        (EndReason.INTERNAL_ERROR, "KeyError: 1", AgentEnding(AgentAct.NOTHING)),
    ],
)
def test_what_the_details_do_not_tell(
    tmp_path: Path, reason: EndReason, detail: str, ending: AgentEnding
) -> None:
    assert agent_ending(trace(tmp_path / "a.flight", *AGENT_THERE, ended(9, reason, detail))) == ending


@pytest.mark.parametrize(
    ("reason", "detail", "ending"),
    [
        (EndReason.AGENT_UNREACHABLE, "TLS", AgentEnding(AgentAct.UNREACHABLE)),
        (
            EndReason.AGENT_UNAUTHORIZED,
            "ElevenLabs (get-signed-url) answered HTTP 401: 'bad key'",
            AgentEnding(AgentAct.STATUS, 401, "bad key"),
        ),
        (EndReason.AGENT_QUOTA, "HTTP ### ######", AgentEnding(AgentAct.STATUS, 500, "quota_exceeded")),
        (EndReason.AGENT_NOT_FOUND, "?", AgentEnding(AgentAct.STATUS, 404)),
    ],
)
def test_what_the_details_of_a_refusal_do_not_tell(
    tmp_path: Path, reason: EndReason, detail: str, ending: AgentEnding
) -> None:
    assert agent_ending(trace(tmp_path / "a.flight", ended(9, reason, detail))) == ending


def test_a_recording_that_breaks_off_ends_with_the_caller(tmp_path: Path) -> None:
    found = trace(tmp_path / "a.flight", *AGENT_THERE, *spoken(100))
    assert agent_ending(found) == AgentEnding(AgentAct.NOTHING)
    assert caller_ending(found).act is CallerAct.CLOSE
