"""The conversation without a socket: what it passes on, what it answers, and the reason that it names."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw import causes
from audiosocket_gw.causes import (
    MAX_FOREIGN,
    BadFrame,
    Cause,
    ConnectionBroken,
    NotAdmitted,
    NotReading,
    NotWebSocket,
    QueueTimedOut,
    Silent,
    WebSocketClosed,
    WebSocketRefused,
)
from audiosocket_gw.elevenlabs import messages
from audiosocket_gw.elevenlabs.session import Queue, Session
from audiosocket_gw.end_reasons import AGENT_ENDS, CallEnd, EndReason
from audiosocket_gw.errors import RemoteProtocolError
from tests.harness.agent_messages import (
    agent_response,
    audio_message,
    interruption,
    metadata,
    user_transcript,
)

PING = {"type": "ping", "ping_event": {"event_id": 7}}
GUARDRAIL = {"type": "guardrail_triggered"}


def queue(status: str) -> dict[str, Any]:
    return {"type": "queue_status", "queue_status_event": {"status": status}}


def error(message: str) -> dict[str, Any]:
    return {"type": "error", "message": message}


def receive(session: Session, *received: dict[str, Any]) -> list[messages.ServerMessage | None]:
    return [session.receive(json.dumps(message).encode()) for message in received]


def session_after(*received: dict[str, Any]) -> Session:
    session = Session()
    receive(session, *received)
    return session


def test_the_call_gets_what_concerns_it_in_order() -> None:
    session = Session()
    assert receive(session, metadata(), audio_message(b"\1\2", 3), interruption(4)) == [
        messages.Metadata("conv_1", "pcm_8000", "pcm_8000"),
        messages.Audio(b"\1\2", 3),
        messages.Interruption(4),
    ]
    assert session.messages_to_send() == []


def test_a_ping_is_answered_once_and_handed_to_no_one() -> None:
    session = Session()
    assert receive(session, PING, PING) == [None, None]
    assert session.messages_to_send() == 2 * [b'{"type":"pong","event_id":7}']
    assert session.messages_to_send() == []


def test_the_metadata_starts_the_conversation_once() -> None:
    session = Session()
    receive(session, PING, audio_message(b"\1\2"))
    assert not session.started
    assert receive(session, metadata("pcm_8000"), metadata("pcm_16000"))[1] is None
    assert session.started


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], Queue.OUTSIDE),
        (["waiting"], Queue.WAITING),
        (["waiting", "moved"], Queue.WAITING),
        (["waiting", "admitted"], Queue.OUTSIDE),
        (["waiting", "admitted", "waiting"], Queue.WAITING),
        (["timed_out"], Queue.TIMED_OUT),
        (["waiting", "timed_out", "waiting"], Queue.TIMED_OUT),
        (["timed_out", "admitted"], Queue.OUTSIDE),
    ],
)
def test_the_queue(statuses: list[str], expected: Queue) -> None:
    session = session_after(*map(queue, statuses))
    assert session.queue is expected
    assert not session.started


@pytest.mark.parametrize("data", [b"hello", b"[]", b'{"type":"audio","audio_event":{"audio_base_64":"?"}}'])
def test_what_is_no_message_of_the_protocol_raises(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Session().receive(data)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (WebSocketClosed(1000, ""), EndReason.AGENT_HANGUP),
        (WebSocketClosed(1002, "exceeds your quota"), EndReason.AGENT_QUOTA),
        (WebSocketRefused(404, ""), EndReason.AGENT_NOT_FOUND),
        (WebSocketRefused(401, "quota_exceeded"), EndReason.AGENT_QUOTA),
        (ConnectionBroken("the agent", "reset"), EndReason.AGENT_LOST),
        (Silent(20), EndReason.AGENT_LOST),
        (NotReading(), EndReason.AGENT_LOST),
        (NotAdmitted(40), EndReason.AGENT_BUSY),
        (QueueTimedOut(), EndReason.AGENT_BUSY),
        (BadFrame("opcode 3"), EndReason.AGENT_PROTOCOL),
        (NotWebSocket("SSH"), EndReason.AGENT_PROTOCOL),
        ("the agent sent something that is not JSON", EndReason.AGENT_PROTOCOL),
    ],
)
def test_every_cause_has_its_reason(cause: Cause, reason: EndReason) -> None:
    assert Session().end_of(cause) == CallEnd(reason, cause)


@pytest.mark.parametrize(
    ("received", "said"),
    [
        ([error("the voice is gone")], "the voice is gone"),
        ([GUARDRAIL], "a guardrail was triggered"),
        ([GUARDRAIL, error("over")], "over; a guardrail was triggered"),
        ([error("first"), error("second")], "second"),
        ([error("the voice is gone"), PING], "the voice is gone"),
        ([error("the voice is gone"), GUARDRAIL, audio_message(b"\1\2")], ""),
        ([error("x" * 1000)], "x" * MAX_FOREIGN),
        ([queue("timed_out")], "too many concurrent conversations: the queue timed out"),
    ],
)
def test_a_close_tells_what_the_agent_said_last(received: list[dict[str, Any]], said: str) -> None:
    end = session_after(*received).end_of(WebSocketClosed(1002, "bye"))
    assert end.cause == WebSocketClosed(1002, "bye", said)


def test_a_broken_connection_tells_the_error_before_it() -> None:
    end = session_after(error("the voice is gone")).end_of(ConnectionBroken("the agent", "reset"))
    assert end.detail == "the connection to the agent broke: reset; the voice is gone"


def test_a_queue_that_timed_out_means_busy_whatever_the_code() -> None:
    session = session_after(queue("timed_out"))
    for code in (1000, 1002, 3008):
        assert session.end_of(WebSocketClosed(code, "")).reason is EndReason.AGENT_BUSY


sent = st.sampled_from(
    [
        metadata(),
        PING,
        GUARDRAIL,
        audio_message(b"\1\2", 1),
        agent_response("Hello"),
        user_transcript("Hi"),
        interruption(2),
        error("no"),
        queue("waiting"),
        queue("admitted"),
        queue("timed_out"),
        {"type": "of tomorrow"},
    ]
)
seen: st.SearchStrategy[Cause] = st.text() | st.one_of(
    [st.from_type(kind) for kind in get_args(causes.StructuredCause)]
)


@given(st.lists(sent), seen)
def test_any_order_of_messages_comes_to_one_end_by_the_agent(
    received: list[dict[str, Any]], cause: Cause
) -> None:
    session = Session()
    handed_on = receive(session, *received)
    assert sum(isinstance(message, messages.Metadata) for message in handed_on) == session.started
    assert len(session.messages_to_send()) == received.count(PING)
    end = session.end_of(cause)
    assert end.reason in AGENT_ENDS
    assert type(end.cause) is type(cause)
