"""Every code, status and text that was seen, to its one reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.causes import WebSocketClosed
from audiosocket_gw.elevenlabs.close_codes import (
    reason_of_close,
    reason_of_status,
    redirect_target,
)
from audiosocket_gw.end_reasons import AGENT_ENDS, EndReason


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (1000, "", EndReason.AGENT_HANGUP),
        (1000, "This request exceeds your quota limit.", EndReason.AGENT_QUOTA),
        (1002, "", EndReason.AGENT_FAILED),
        (1002, "This request exceeds your quota limit.", EndReason.AGENT_QUOTA),
        (1002, "The AI agent you are trying to reach appears to be misconfigured", EndReason.AGENT_FAILED),
        (1002, "transport_receive_timeout", EndReason.AGENT_FAILED),
        (1006, "", EndReason.AGENT_LOST),
        (1008, "Override for field 'llm' is not allowed by config.", EndReason.AGENT_REJECTED),
        (1008, "Invalid message received", EndReason.AGENT_REJECTED),
        (1008, "missing_dynamic_variable", EndReason.AGENT_REJECTED),
        (1008, "Unauthorized", EndReason.AGENT_UNAUTHORIZED),
        (1011, "", EndReason.AGENT_FAILED),
        (1011, "...Conversation has exceeded maximum duration", EndReason.AGENT_HANGUP),
        (3000, "quota_exceeded", EndReason.AGENT_QUOTA),
        (3000, "", EndReason.AGENT_QUOTA),
        (3008, "too many concurrent connections", EndReason.AGENT_BUSY),
        (3008, "", EndReason.AGENT_BUSY),
        (4300, "", EndReason.AGENT_BUSY),
        (1001, "", EndReason.AGENT_LOST),
        (1003, "", EndReason.AGENT_REJECTED),
        (1005, "", EndReason.AGENT_LOST),
        (1007, "", EndReason.AGENT_REJECTED),
        (1009, "", EndReason.AGENT_REJECTED),
        (1012, "", EndReason.AGENT_LOST),
        (1013, "", EndReason.AGENT_LOST),
        (1013, "too many concurrent conversations", EndReason.AGENT_BUSY),
        (1014, "", EndReason.AGENT_LOST),
        (4000, "", EndReason.AGENT_FAILED),
        (4999, "of tomorrow", EndReason.AGENT_FAILED),
    ],
)
def test_close_codes(code: int, text: str, reason: EndReason) -> None:
    assert reason_of_close(code, text) is reason


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (1002, "", "the agent closed with 1002 (no reason given)"),
        (1002, "llm_timeout", "the agent closed with 1002 llm_timeout"),
        (1001, "", "the agent closed with 1001 (no reason given): the server is going away"),
        (1005, "", "the agent closed with 1005 (no reason given): a close without a code"),
        (1012, "", "the agent closed with 1012 (no reason given): the service restarts"),
        (4321, "x" * 300, f"the agent closed with 4321 {'x' * 200}: a code of the agent's own"),
    ],
)
def test_closes_in_words(code: int, text: str, words: str) -> None:
    assert str(WebSocketClosed(code, text)) == words


@pytest.mark.parametrize(
    ("location", "place"),
    [
        (None, ""),
        ("", ""),
        ("http://[::1", ""),
        ("/login", "/login"),
        (
            "https://proxy.example/a?conversation_signature=secret#x",
            "https://proxy.example/a",
        ),
        ("https://user:secret@sso.example:8443/a", "https://sso.example:8443/a"),
        ("https://h/" + "x" * 300, "https://h/" + "x" * 190),
    ],
)
def test_redirects_are_told_without_secrets(location: str | None, place: str) -> None:
    assert redirect_target(location) == place


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (301, "", EndReason.AGENT_PROTOCOL),
        (400, "", EndReason.AGENT_REJECTED),
        (401, '{"detail":{"status":"invalid_api_key"}}', EndReason.AGENT_UNAUTHORIZED),
        (401, '{"detail":{"status":"quota_exceeded"}}', EndReason.AGENT_QUOTA),
        (403, "", EndReason.AGENT_UNAUTHORIZED),
        (404, '{"detail":{"status":"document_not_found"}}', EndReason.AGENT_NOT_FOUND),
        (422, '{"detail":[{"loc":[],"msg":"","type":""}]}', EndReason.AGENT_REJECTED),
        (429, '{"detail":{"status":"too_many_concurrent_requests"}}', EndReason.AGENT_BUSY),
        (500, "", EndReason.AGENT_UNREACHABLE),
        (503, "<html>", EndReason.AGENT_UNREACHABLE),
    ],
)
def test_http_statuses(status: int, text: str, reason: EndReason) -> None:
    assert reason_of_status(status, text) is reason


@given(st.integers(1000, 4999), st.text(st.characters(), max_size=30))
def test_every_close_is_an_end_by_the_agent(code: int, text: str) -> None:
    assert reason_of_close(code, text) in AGENT_ENDS
