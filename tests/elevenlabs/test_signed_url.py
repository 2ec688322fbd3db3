"""A signed URL decides where the caller's audio goes: only to whom the operator has chosen."""

from __future__ import annotations

import pytest

from audiosocket_gw.elevenlabs.signed_url import check_signed_url, domain_of, is_chosen_by_answer

QUERY = "/v1/convai/conversation?agent_id=a&conversation_signature=very-secret"


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://api.elevenlabs.io", "wss://api.elevenlabs.io"),
        ("https://api.elevenlabs.io", "wss://API.elevenlabs.io."),
        ("https://api.elevenlabs.io", "wss://api.us.elevenlabs.io"),
        ("https://api.elevenlabs.io", "wss://api.eu.residency.elevenlabs.io:443"),
        ("https://api.eu.residency.elevenlabs.io", "wss://api.elevenlabs.io"),
        ("https://agents.example.co.uk", "wss://media.example.co.uk"),
        ("https://10.0.0.5:8443", "wss://10.0.0.5:8444"),
        ("https://[2001:db8::1]", "wss://[2001:db8::1]"),
        ("https://agents", "wss://agents"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080"),
        ("http://localhost:8080", "wss://localhost:8081"),
    ],
)
def test_the_same_owner(base_url: str, host: str) -> None:
    check_signed_url(host + QUERY, base_url)


@pytest.mark.parametrize(
    ("base_url", "signed_url", "why"),
    [
        ("https://api.elevenlabs.io", "ws://api.elevenlabs.io", "without TLS"),
        ("https://api.elevenlabs.io", "wss://evil.example", "host evil.example, .* api.elevenlabs.io"),
        ("https://api.elevenlabs.io", "wss://elevenlabs.io.evil.example", "host"),
        ("https://api.elevenlabs.io", "wss://evilelevenlabs.io", "host"),
        ("https://api.elevenlabs.io", "wss://127.0.0.1", "host 127.0.0.1"),
        ("https://api.elevenlabs.io", "wss://io", "host"),
        ("https://api.elevenlabs.io", "wss://user:very-secret@api.elevenlabs.io", "user name"),
        ("https://api.elevenlabs.io", "wss://api.elevenlabs.io@evil.example", "user name"),
        ("https://api.elevenlabs.io", "wss://api.elevenlabs.io\\@evil.example", "user name"),
        ("https://api.elevenlabs.io", "https://api.elevenlabs.io", "not a WebSocket URL"),
        ("https://api.elevenlabs.io", "wss://", "not a WebSocket URL"),
        ("https://api.elevenlabs.io", "wss://[::1", "not a URL"),
        ("https://api.elevenlabs.io", "wss://api.elevenlabs.io:99999", "not a URL"),
        ("https://api.elevenlabs.io", "wss://api.elevenlabs.io\u3002evil.example", "not a URL"),
        ("https://api.elevenlabs.io", "wss://api.elevenlabs.io/\r\nX: y", "not a URL"),
        ("https://agents.example.co.uk", "wss://evil.co.uk", "host"),
        ("https://10.0.0.5", "wss://10.0.0.6", "host"),
        ("https://agents", "wss://other", "host"),
        ("http://127.0.0.1:8080", "ws://localhost:8080", "host"),
        ("http://localhost", "ws://evil.localhost", "host"),
    ],
)
def test_another_owner(base_url: str, signed_url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        check_signed_url(signed_url + QUERY, base_url)
    assert "very-secret" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_long_host_is_cut() -> None:
    with pytest.raises(ValueError, match="host") as caught:
        check_signed_url(f"wss://{'a' * 100_000}.example", "https://api.elevenlabs.io")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("api.elevenlabs.io", "elevenlabs.io"),
        ("elevenlabs.io", "elevenlabs.io"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("api.example.de", "example.de"),
        ("localhost", None),
        ("127.0.0.1", None),
        ("::1", None),
    ],
)
def test_domains(host: str, domain: str | None) -> None:
    assert domain_of(host) == domain


@pytest.mark.parametrize(
    ("base_url", "signed_url", "chosen_by_answer"),
    [
        ("https://api.elevenlabs.io", "wss://api.elevenlabs.io/x", False),
        ("https://api.elevenlabs.io", "wss://ws.elevenlabs.io/x", True),
        ("https://10.0.0.5", "wss://10.0.0.5:9/x", False),
        ("http://agents.example.com", "ws://media.example.com/x", False),
    ],
)
def test_who_has_chosen_the_host(base_url: str, signed_url: str, chosen_by_answer: bool) -> None:
    assert is_chosen_by_answer(signed_url, base_url) is chosen_by_answer
