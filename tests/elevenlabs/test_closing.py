"""Every code, status and text that was seen, to its one reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw import events
from audiosocket_gw.elevenlabs.closing import reason_of_close, reason_of_status
from audiosocket_gw.events import EndReason


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (1000, "", EndReason.AGENT_HANGUP),
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
        (1001, "", EndReason.AGENT_FAILED),
        (1005, "", EndReason.AGENT_FAILED),
        (4999, "of tomorrow", EndReason.AGENT_FAILED),
    ],
)
def test_close_codes(code: int, text: str, reason: EndReason) -> None:
    assert reason_of_close(code, text) is reason


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
    assert reason_of_close(code, text) in events.AGENT_ENDS
