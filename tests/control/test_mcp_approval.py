"""The setting MCP_APPROVAL."""

from __future__ import annotations

import pytest

from audiosocket_gw.control.mcp_approval import McpApproval
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("text", "allowed", "shown"),
    [
        ("deny", (), "deny"),
        ("DENY", (), "deny"),
        ("allow", ("book", "cancel"), "allow"),
        ("book", ("book",), "book"),
        (" cancel, book ,", ("book", "cancel"), "book,cancel"),
    ],
)
def test_values(text: str, allowed: tuple[str, ...], shown: str) -> None:
    policy = McpApproval.parse(text)
    assert tuple(tool for tool in ("book", "cancel") if policy.allows(tool)) == allowed
    assert str(policy) == shown


def test_the_default_is_no() -> None:
    assert not Settings(elevenlabs_agent_id="agent").mcp_approval.allows("book")


@pytest.mark.parametrize("text", ["deny,book", "allow, book", "allow,deny"])
def test_a_mixture_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEVENLABS_AGENT_ID", "agent")
    monkeypatch.setenv("MCP_APPROVAL", text)
    with pytest.raises(ConfigurationError, match=r"MCP_APPROVAL.*stands alone"):
        load_settings()
