"""Every end that a recording knows of, made again: the gateway gives the same reason, in the same words.

On virtual time: the sockets are real, a minute of silence is not.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from audiosocket_gw.causes import (
    BadFrame,
    Cause,
    ConnectFailed,
    ConnectionBroken,
    ConnectionClosed,
    ErrorFrame,
    HangupFrame,
    HttpRefused,
    NotReading,
    NotWebSocket,
    RequestFailed,
    Silent,
    Stalled,
    TimedOut,
    TooFast,
    UnfinishedFrame,
    WebSocketClosed,
    WebSocketRefused,
)
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.flight.format import AgentMessage, CallerFrame, Record
from audiosocket_gw.protocol.audiosocket import Kind
from audiosocket_gw.settings import GatewaySettings, load_settings
from audiosocket_gw.testing.replay.endings import AgentEnding, agent_ending, caller_ending
from audiosocket_gw.testing.replay.replay import Outcome, replay
from tests.flight.records import AGENT_THERE, INITIATION, SILENCE, ended, heard, spoken, trace
from tests.harness.audio import ramp

pytestmark = pytest.mark.virtual_time


async def replayed(path: Path, *records: Record) -> Outcome:
    settings = load_settings(agent="simulator", agent_connect_timeout=3, agent_url_timeout=2)
    rooms = GatewaySettings.of(settings)
    return await replay(trace(path / "call.flight", *records), rooms, lambda event: None)


def same_words(detail: str) -> str:
    """Leave out what is another number each time."""
    return re.sub(r"\d+\.\d+\.\d+\.\d+:\d+|\(\d+ms\)", "HOST", detail)


WITHOUT_AGENT = [
    (EndReason.AGENT_UNREACHABLE, ConnectFailed("HOST", "[Errno 111] Connect call failed ('127.0.0.1', ")),
    (EndReason.AGENT_UNREACHABLE, WebSocketRefused(503, "upstream is down")),
    (EndReason.AGENT_UNAUTHORIZED, WebSocketRefused(401, "Unauthorized")),
    (EndReason.AGENT_NOT_FOUND, WebSocketRefused(404, "no such agent")),
    (EndReason.AGENT_BUSY, WebSocketRefused(429, "Too Many Requests")),
    (EndReason.AGENT_QUOTA, WebSocketRefused(401, "quota_exceeded")),
    (EndReason.AGENT_REJECTED, WebSocketRefused(422, "agent_id is missing")),
    (EndReason.AGENT_PROTOCOL, WebSocketRefused(302, "Found")),
    (EndReason.AGENT_PROTOCOL, NotWebSocket("")),
    (EndReason.AGENT_TIMEOUT, TimedOut("no WebSocket connection to HOST", 3, "AGENT_CONNECT_TIMEOUT")),
    (EndReason.AGENT_LOST, ConnectionBroken("the agent", "")),
    (EndReason.AGENT_URL_FAILED, HttpRefused("ELEVENLABS_AGENT_URL", 404, "nobody here")),
    (EndReason.AGENT_URL_FAILED, TimedOut("ELEVENLABS_AGENT_URL did not answer", 2, "AGENT_URL_TIMEOUT")),
    (EndReason.AGENT_URL_FAILED, RequestFailed("ELEVENLABS_AGENT_URL", "All connection attempts failed")),
    (EndReason.CALLER_HANGUP, ConnectionClosed()),
]

WITH_AGENT = [
    (EndReason.AGENT_HANGUP, WebSocketClosed(1000, "goodbye")),
    (EndReason.AGENT_FAILED, WebSocketClosed(1011, "Internal error")),
    (EndReason.AGENT_FAILED, WebSocketClosed(1002, "")),
    (EndReason.AGENT_REJECTED, WebSocketClosed(1008, "Override for field 'prompt' is not allowed")),
    (EndReason.AGENT_QUOTA, WebSocketClosed(1002, "This request exceeds your quota")),
    (EndReason.AGENT_BUSY, WebSocketClosed(4300, "")),
    (EndReason.AGENT_LOST, ConnectionBroken("the agent", "")),
    (EndReason.AGENT_LOST, Silent(20)),
    (EndReason.AGENT_PROTOCOL, BadFrame("")),
    (EndReason.CALLER_HANGUP, ConnectionClosed()),
    (EndReason.CALLER_HANGUP, HangupFrame()),
    (EndReason.CALLER_HANGUP, ConnectionBroken("Asterisk", "[Errno 104] Connection reset by peer")),
    (EndReason.CALLER_HANGUP, ErrorFrame(1)),
    (EndReason.CALLER_PROTOCOL, UnfinishedFrame(5)),
    (EndReason.CALLER_STALLED, Stalled(5)),
    (EndReason.DRAINED, "the gateway is stopping, and DRAIN_TIMEOUT is over"),
]


@pytest.mark.parametrize(("reason", "cause"), WITHOUT_AGENT)
async def test_an_agent_that_never_came(tmp_path: Path, reason: EndReason, cause: Cause) -> None:
    at_ms = 3_000 if reason is EndReason.AGENT_TIMEOUT else 800
    outcome = await replayed(tmp_path, *spoken(800), *heard(800), ended(at_ms, reason, cause))
    assert outcome.ended is not None
    assert outcome.ended.reason is reason
    assert same_words(outcome.ended.detail).startswith(str(cause))


@pytest.mark.parametrize(("reason", "cause"), WITH_AGENT)
async def test_an_agent_that_was_there(tmp_path: Path, reason: EndReason, cause: Cause) -> None:
    at_ms = 20_010 if isinstance(cause, Silent) else 2_000
    records = (*AGENT_THERE, *spoken(1_000), *heard(1_000), ended(at_ms, reason, cause))
    outcome = await replayed(tmp_path, *records)
    assert outcome.ended is not None
    assert outcome.ended.reason is reason
    assert same_words(outcome.ended.detail).startswith(str(cause))


async def test_words_that_no_text_can_have_are_said_otherwise(tmp_path: Path) -> None:
    refused = ended(800, EndReason.AGENT_NOT_FOUND, WebSocketRefused(404, "\ud800!"))
    outcome = await replayed(tmp_path, *spoken(800), refused)
    assert outcome.ended is not None
    assert outcome.ended.detail.endswith("with HTTP 404 ?!")
    closed = ended(800, EndReason.AGENT_FAILED, WebSocketClosed(1011, "\ud800!"))
    outcome = await replayed(tmp_path, *AGENT_THERE, *spoken(800), closed)
    assert outcome.ended is not None
    assert outcome.ended.detail == "the agent closed with 1011 ?!"


async def test_an_agent_that_announces_no_conversation(tmp_path: Path) -> None:
    cause = TimedOut("the agent sent no conversation metadata", 3, "AGENT_CONNECT_TIMEOUT")
    records = (INITIATION, *spoken(3_000), ended(3_010, EndReason.AGENT_TIMEOUT, cause))
    outcome = await replayed(tmp_path, *records)
    assert outcome.ended is not None
    assert outcome.ended.end == CallEnd(EndReason.AGENT_TIMEOUT, cause)


async def test_an_agent_that_stops_reading(tmp_path: Path) -> None:
    pings = [AgentMessage(ms * 1000, b'{"type":"ping"}') for ms in range(2_000, 400_000, 2_000)]
    end = ended(400_000, EndReason.AGENT_LOST, NotReading())
    records = (*AGENT_THERE, *pings, *spoken(400_000, ramp(20)), end)
    outcome = await replayed(tmp_path, *records)
    assert outcome.ended is not None
    assert outcome.ended.end == CallEnd(EndReason.AGENT_LOST, NotReading())


async def test_a_peer_that_is_faster_than_real_time(tmp_path: Path) -> None:
    hurried = [CallerFrame(500_000, Kind.SLIN, SILENCE) for _ in range(2_000)]
    outcome = await replayed(
        tmp_path, *AGENT_THERE, *hurried, ended(520, EndReason.CALLER_PROTOCOL, TooFast())
    )
    assert outcome.ended is not None
    assert outcome.ended.end == CallEnd(EndReason.CALLER_PROTOCOL, TooFast())


@pytest.mark.parametrize(
    ("reason", "cause", "ending"),
    [
        (EndReason.AGENT_FAILED, "something new", WebSocketClosed(1011, "")),
        (EndReason.AGENT_QUOTA, "something new", WebSocketClosed(3000, "quota_exceeded")),
        (EndReason.AGENT_HANGUP, "the agent hung up (avr_hangup)", None),
        (
            EndReason.AGENT_PROTOCOL,
            "the agent sent something that is not JSON",
            None,
        ),
        (EndReason.AGENT_FORMAT, "the agent's format is 'mp3'", None),
        (EndReason.INTERNAL_ERROR, "KeyError: 1", None),
    ],
)
def test_an_end_with_a_text_is_brought_about_by_its_reason(
    tmp_path: Path, reason: EndReason, cause: Cause, ending: AgentEnding
) -> None:
    assert agent_ending(trace(tmp_path / "a.flight", *AGENT_THERE, ended(9, reason, cause))) == ending


@pytest.mark.parametrize(
    ("reason", "cause", "ending"),
    [
        (EndReason.AGENT_UNREACHABLE, "TLS", ConnectFailed("", "")),
        (
            EndReason.AGENT_UNAUTHORIZED,
            HttpRefused("ElevenLabs (get-signed-url)", 401, "bad key"),
            WebSocketRefused(401, "bad key"),
        ),
        (EndReason.AGENT_LOST, "the connection to the agent broke", ConnectionBroken("", "")),
        (EndReason.AGENT_TIMEOUT, "no WebSocket connection in 3 s", None),
        (EndReason.AGENT_QUOTA, "HTTP ### ######", WebSocketRefused(500, "quota_exceeded")),
        (EndReason.AGENT_NOT_FOUND, "?", WebSocketRefused(404, "")),
    ],
)
def test_a_refusal_is_brought_about_on_the_websocket(
    tmp_path: Path, reason: EndReason, cause: Cause, ending: AgentEnding
) -> None:
    assert agent_ending(trace(tmp_path / "a.flight", ended(9, reason, cause))) == ending


def test_a_recording_that_breaks_off_ends_with_the_caller(tmp_path: Path) -> None:
    found = trace(tmp_path / "a.flight", *AGENT_THERE, *spoken(100))
    assert agent_ending(found) is None
    assert caller_ending(found) == ConnectionClosed()
