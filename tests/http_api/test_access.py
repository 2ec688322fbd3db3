"""Who may ask: by the token, or without one only this machine's own programs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.http_api.access import Access, host_of, is_loopback
from audiosocket_gw.settings import GatewaySettings, Settings

TOKEN = "0123456789abcdef"
LOCAL = {"host": "localhost:8080"}


def status(method: str, headers: dict[str, str], token: str | None = None) -> int | None:
    refusal = Access(token.encode() if token else None).refuse(method, headers)
    return refusal.status if refusal else None


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (f"Bearer {TOKEN}", None),
        (f"bearer  {TOKEN} ", None),
        ("", 401),
        (TOKEN, 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer ", 401),
        ("Bearer \xff\u0100", 401),
    ],
)
def test_a_token(authorization: str, expected: int | None) -> None:
    assert status("POST", {"authorization": authorization, "host": "gateway.example"}, TOKEN) == expected


@given(st.text())
def test_no_other_text_is_the_token(text: str) -> None:
    if text.strip() != TOKEN:
        assert status("GET", {"authorization": f"Bearer {text}"}, TOKEN) == 401


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8080", "LOCALHOST:1", "localhost."),
        *("127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "[::ffff:127.0.0.1]:8080"),
    ],
)
def test_this_machine_needs_no_token(host: str) -> None:
    assert status("GET", {"host": host}) is None
    assert status("POST", {"host": host}) is None
    assert status("POST", {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}) is None


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "192.0.2.1:8080",
            "0.0.0.0:8080",
        ),
        *("[::]:8080", "[::ffff:192.0.2.1]:8080", "127.0.0.1.nip.io", "localhost@evil.example", "::1"[:2]),
        *("localhost:80@evil.example", "[::1]evil.example", "[::1]:80@evil.example", "127.0.0.1:80:90"),
    ],
)
def test_a_name_that_is_made_to_point_here_is_refused(host: str) -> None:
    assert status("GET", {"host": host}) == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:3000", "http://localhost"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_site_is_refused(origin: str, method: str) -> None:
    assert status(method, LOCAL | {"origin": origin}) == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_site_loads_is_refused_though_it_hides_its_origin(site: str) -> None:
    assert status("POST", LOCAL | {"sec-fetch-site": site}) == 403
    assert status("POST", LOCAL | {"sec-fetch-site": site, "sec-fetch-mode": "navigate"}) == 403
    frame = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    assert status("GET", LOCAL | frame) == 403
    for mode in ("no-cors", "cors", "same-origin", "websocket", ""):
        assert status("GET", LOCAL | {"sec-fetch-site": site, "sec-fetch-mode": mode}) == 403


def test_a_link_on_another_site_works() -> None:
    opened = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert status("GET", LOCAL | opened) is None


def test_hosts_and_ports() -> None:
    hosts = ["a", "a:1", "[::1]", "[::1]:1", "127.0.0.1:1", "::1", "a:1:2", "a:b", "[::1]a", "a@b", ""]
    assert list(map(host_of, hosts)) == ["a", "a", "::1", "::1", "127.0.0.1", *[""] * 6]
    assert not is_loopback("")


def exposure(**settings: object) -> list[str]:
    return list(GatewaySettings.of(Settings(**settings)).http.exposure())


def test_another_address_than_the_loopback_needs_a_token() -> None:
    (line,) = exposure(http_port=8080, http_host="0.0.0.0")
    assert line.startswith("HTTP_HOST='0.0.0.0' HTTP_TOKEN='': ")
    assert "openssl rand -hex 32" in line
    assert exposure(http_port=8080, http_host="0.0.0.0", http_token=TOKEN) == []
    assert exposure(http_port=8080) == exposure(http_host="0.0.0.0") == []
    assert len(exposure(http_port=8080, http_host="gateway.example")) == 1
