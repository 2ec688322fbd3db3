"""What the environment says of the network never stops the start with a traceback: by the real process."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import certifi
import httpx
import pytest

from audiosocket_gw.elevenlabs.connection import connect
from audiosocket_gw.errors import AgentError, ConfigurationError
from audiosocket_gw.runtime.loop_budget import LoopBudget
from audiosocket_gw.runtime.proxies import create_http_client_for_tools, warn_of_unused_proxy
from audiosocket_gw.runtime.tls_trust import create_ssl_context
from tests.harness.agent_peer import INITIATION, AgentPeer, agent, ignore, ready, until_close
from tests.harness.certificates import Certificates, make_certificates
from tests.harness.setup_steps import untold_steps

VARIABLES = [
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "OPENSSL_CONF"),
]


@pytest.fixture(autouse=True)
def without_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Served:
    """``audiosocket-gw serve``: what it said until it listened, or ended by itself with ``status``."""

    def __init__(self, **environment: str) -> None:
        clean = {name: value for name, value in os.environ.items() if name.upper() not in VARIABLES}
        settings = {"ELEVENLABS_AGENT_ID": "agent", "PORT": "0"}
        with subprocess.Popen(
            [sys.executable, "-m", "audiosocket_gw", "serve"],
            env=clean | settings | environment,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            self.said = ""
            for line in process.stderr:
                self.said += line
                if "listening for Asterisk" in line:
                    process.send_signal(signal.SIGTERM)
            self.status = process.wait()


# Proxies


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080", "ALL_PROXY='socks5://127.0.0.1:1080'"),
        ("all_proxy", "socks5h://me:pass@127.0.0.1:1080", "all_proxy='socks5h://***@127.0.0.1:1080'"),
        ("NO_PROXY", "fd07:b51a:cc66:f0::/64", "NO_PROXY='fd07:b51a:cc66:f0::/64'"),
        ("HTTP_PROXY", "ftp://me:pass@127.0.0.1", "HTTP_PROXY='ftp://***@127.0.0.1'"),
        ("HTTPS_PROXY", "http://127.0.0.1:port", "HTTPS_PROXY='http://127.0.0.1:port'"),
        ("HTTPS_PROXY", "http://me:pa/ss@127.0.0.1:1", "HTTPS_PROXY='http://***@127.0.0.1:1'"),
    ],
)
def test_a_proxy_that_can_not_be_used_is_named_and_the_gateway_starts(
    name: str, value: str, named: str
) -> None:
    served = Served(**{name: value})
    assert served.status == 0, served.said
    assert "Traceback" not in served.said
    assert "me:" not in served.said
    assert f"tools' HTTP requests go without a proxy: {named}" in served.said
    assert served.said.count("without a proxy") == 1


@pytest.mark.parametrize("value", ["http://127.0.0.1:9", "127.0.0.1:9", "me:pass@127.0.0.1:9"])
def test_a_proxy_that_the_agents_connection_does_not_use_is_told_of_once(value: str) -> None:
    served = Served(HTTPS_PROXY=value)
    assert served.status == 0, served.said
    shown = value.replace("me:pass", "***")
    assert served.said.count(f"api.elevenlabs.io go direct and don't use HTTPS_PROXY='{shown}'") == 1
    assert "me:pass" not in served.said
    covered = Served(HTTPS_PROXY=value, NO_PROXY="elevenlabs.io")
    assert covered.status == 0, covered.said
    assert "go direct" not in covered.said


def test_without_proxies_nothing_is_said() -> None:
    served = Served(REQUESTS_CA_BUNDLE="/nonexistent", CURL_CA_BUNDLE="/nonexistent")
    assert served.status == 0, served.said
    assert "proxy" not in served.said


def test_the_embedded_agent_is_not_behind_a_proxy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    warn_of_unused_proxy("http://127.0.0.1:1234", "http://localhost/", "http://[::1]:5/", None)
    assert not caplog.records


async def test_tools_use_a_proxy_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        async with create_http_client_for_tools(create_ssl_context()) as client:
            assert (await client.get("http://orders.invalid/7")).text == "hi"
    assert requests[0].startswith(b"GET http://orders.invalid/7 ")


# TLS


BROKEN = "-----BEGIN CERTIFICATE-----\nxxx\n-----END CERTIFICATE-----\n"
UNUSABLE = {
    "SSL_CERT_FILE": ["nowhere/file", "directory", "text", "broken"],
    "SSL_CERT_DIR": ["nowhere", "text"],
    "SSLKEYLOGFILE": ["nowhere/file", "directory"],
    "TLS_CA_FILE": ["nowhere/file", "directory", "text", "broken"],
}


@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name, paths in UNUSABLE.items() for path in paths]
)
def test_a_file_that_can_not_be_used_is_named(name: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "text").write_text("not a certificate")
    (tmp_path / "broken").write_text(BROKEN)
    served = Served(**{name: str(tmp_path / path)})
    assert served.status == 2, served.said
    assert "Traceback" not in served.said
    assert f"{name}=" in served.said
    assert str(tmp_path / path) in served.said


def test_the_directory_counts_only_without_a_file(tmp_path: Path) -> None:
    served = Served(SSL_CERT_DIR="/nonexistent", SSL_CERT_FILE=certifi.where())
    assert served.status == 0, served.said


@pytest.mark.parametrize("value", ["nowhere:empty", "empty", "empty:full"])
def test_a_directory_in_which_openssl_finds_nothing_is_told_of(value: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "ca.pem").write_text("by a name that OpenSSL doesn't look for")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "0a1b2c3d.0").write_text("")
    paths = ":".join(str(tmp_path / name) for name in value.split(":"))
    served = Served(SSL_CERT_DIR=paths)
    assert served.status == 0, served.said
    assert (f"SSL_CERT_DIR={paths!r}: it has no certificate" in served.said) is ("full" not in value)


@pytest.mark.parametrize(
    ("name", "value"), [("WEBSOCKETS_MAX_LOG_SIZE", "x"), ("WEBSOCKETS_BACKOFF_MIN_DELAY", "1,5")]
)
def test_a_number_that_is_read_before_anything_else(name: str, value: str) -> None:
    served = Served(**{name: value})
    assert served.status == 2, served.said
    assert "Traceback" not in served.said
    assert f"{name}={value!r}" in served.said


def test_a_key_log_that_can_be_written(tmp_path: Path) -> None:
    assert Served(SSLKEYLOGFILE=str(tmp_path / "keys")).status == 0


# A private authority


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture
def as_python_3_13(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the default be strict on older Pythons, too."""
    real = httpx.create_ssl_context

    def strict() -> ssl.SSLContext:
        context = real()
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(httpx, "create_ssl_context", strict)


async def talks(peer: AgentPeer) -> None:
    await peer.begin()
    await until_close(peer)


async def connect_to(url: str, context: ssl.SSLContext) -> None:
    local = url.replace("127.0.0.1", "localhost")
    connection = await connect(
        local,
        ready(INITIATION),
        ignore,
        ssl_context=context,
        timeout_s=30,
        queue_timeout_s=30,
        budget=LoopBudget(asyncio.get_running_loop()),
        steps=untold_steps(),
    )
    await connection.close()


@pytest.mark.usefixtures("as_python_3_13")
async def test_agent_behind_a_private_authority(
    private: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with agent(talks, private.serving()) as url:
        await connect_to(url, create_ssl_context(private.ca))
        with pytest.raises(AgentError, match="certificate verify failed"):
            await connect_to(url, create_ssl_context())
        # The way that needs no setting of ours is as strict as Python is.
        monkeypatch.setenv("SSL_CERT_FILE", str(private.ca))
        with pytest.raises(AgentError, match="certificate verify failed"):
            await connect_to(url, create_ssl_context())


def test_the_usual_authorities_are_trusted_besides(private: Certificates) -> None:
    assert len(create_ssl_context(private.ca).get_ca_certs()) == len(create_ssl_context().get_ca_certs()) + 1


def test_what_else_is_wrong_is_told_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> ssl.SSLContext:
        raise ssl.SSLError("no provider")

    monkeypatch.setattr(httpx, "create_ssl_context", fail)
    monkeypatch.setenv("OPENSSL_CONF", "/etc/odd.cnf")
    with pytest.raises(ConfigurationError, match=r"TLS can't be set up: .*OPENSSL_CONF='/etc/odd\.cnf'"):
        create_ssl_context()
