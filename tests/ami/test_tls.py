"""AMI by TLS with the certificates of Asterisk's own script, on every Python."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audiosocket_gw.ami.certificate import is_for_address
from audiosocket_gw.ami.client import AmiClient
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.settings import GatewaySettings, Settings
from tests.harness.certificates import Certificates, make_certificates
from tests.harness.fake_asterisk import TIMING, FakeAsterisk
from tests.harness.waiting import until

Make = Callable[[str], Certificates]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    made: dict[str, Certificates] = {}

    def certificates(name: str) -> Certificates:
        if name not in made:
            made[name] = make_certificates(tmp_path_factory.mktemp("tls"), name)
        return made[name]

    return certificates


@pytest.fixture(autouse=True)
def as_python_3_13(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the default be strict on older Pythons, too."""
    real = ssl.create_default_context

    def strict(*arguments: Any, **named: Any) -> ssl.SSLContext:
        context = real(*arguments, **named)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)


@asynccontextmanager
async def client(certificates: Certificates, **address: Any) -> AsyncIterator[AmiClient]:
    fake = FakeAsterisk()
    await fake.start(certificates.serving())
    try:
        ours: dict[str, Any] = {"tls": True, "tls_ca_file": certificates.ca} | address
        async with AmiClient(replace(fake.address, **ours), TIMING) as made:
            yield made
    finally:
        await fake.stop()
        # The server's side of a handshake that the client refuses is an error of the server's loop.
        asyncio.get_running_loop().set_exception_handler(None)


@pytest.mark.parametrize(
    ("certified", "address"),
    [
        ("pbx.example.com", {"tls_name": "pbx.example.com"}),
        ("localhost", {"host": "localhost"}),
        ("127.0.0.1", {}),
        ("192.0.2.5", {"tls_name": "192.0.2.5"}),
    ],
)
async def test_asterisks_own_certificate(make: Make, certified: str, address: dict[str, str]) -> None:
    async with client(make(certified), **address) as ami:
        while not ami.connected:
            await ami.wait_for_update()
        assert (await ami.perform("Ping", {})).headers["Response"] == "Success"


@pytest.mark.parametrize(
    ("certified", "address"),
    [
        ("pbx.example.com", {}),
        ("pbx.example.com", {"tls_name": "other.example.com"}),
        ("127.0.0.1", {"tls_name": "127.0.0.2"}),
        ("192.0.2.5", {}),
    ],
)
async def test_certificate_of_another(
    make: Make, certified: str, address: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with client(make(certified), **address) as ami:
        await until(lambda: caplog.text, lambda log: "AMI_TLS_NAME" in log)
        assert not ami.connected
    assert "not valid for" in caplog.text


async def test_authority_that_is_not_ours(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    async with client(make("127.0.0.1"), tls_ca_file=make("192.0.2.5").ca) as ami:
        await until(lambda: caplog.text, lambda log: "AMI_TLS_CA_FILE" in log)
        assert not ami.connected


async def test_a_file_that_is_broken_for_a_while_ends_nothing_for_good(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ca = tmp_path / "ca.crt"
    ca.write_text("being written")
    async with client(make("127.0.0.1"), tls_ca_file=ca) as ami:
        await until(lambda: caplog.text, lambda log: "AMI_TLS_CA_FILE" in log)
        ca.write_bytes(make("127.0.0.1").ca.read_bytes())
        while not ami.connected:
            await ami.wait_for_update()


def test_settings_reach_it(make: Make) -> None:
    ca = make("127.0.0.1").ca
    settings = Settings(
        ami_host="192.0.2.1:5039", ami_password="x", ami_tls=True, ami_tls_ca_file=ca, ami_tls_name="pbx"
    )
    address = GatewaySettings.of(settings).ami.common
    assert address is not None
    assert (address.host, address.port) == ("192.0.2.1", 5039)
    assert (address.tls, address.tls_ca_file, address.certified_name) == (True, ca, "pbx")
    assert replace(address, tls_name=None).certified_name == "192.0.2.1"


def tls_settings(**settings: Any) -> GatewaySettings:
    given = {"elevenlabs_agent_id": "a", "port": 0, "ami_host": "127.0.0.1", "ami_password": "x"}
    return GatewaySettings.of(Settings(**given | settings, ami_tls=True))


async def test_a_file_without_a_certificate_stops_the_start(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    settings = tls_settings(ami_tls_ca_file=empty)
    with pytest.raises(ConfigurationError, match=r"AMI_TLS_CA_FILE=.*no certificate in it"):
        async with Gateway(settings):
            pass


@pytest.mark.parametrize("name", [".example.com", "a..b", "x" * 70])
async def test_a_name_that_is_none_stops_the_start(name: str) -> None:
    settings = tls_settings(ami_tls_name=name)
    with pytest.raises(ConfigurationError, match="AMI_TLS_NAME="):
        async with Gateway(settings):
            pass


@pytest.mark.parametrize(
    ("certificate", "address", "is_for"),
    [
        ({"subject": ((("commonName", "192.0.2.5"),),)}, "192.0.2.5", True),
        ({"subject": ((("commonName", "2001:DB8::5"),),)}, "2001:db8::5", True),
        (
            {"subject": ((("commonName", "192.0.2.5"),),), "subjectAltName": (("DNS", "x"),)},
            "192.0.2.5",
            False,
        ),
        ({"subjectAltName": (("IP Address", "192.0.2.5"), ("DNS", "x"))}, "192.0.2.5", True),
        ({"subjectAltName": (("DNS", "192.0.2.5"),)}, "192.0.2.5", False),
        ({"subject": ((("organizationName", "192.0.2.5"),),)}, "192.0.2.5", False),
        ({"subject": ((("commonName", "*"),),)}, "192.0.2.5", False),
        ({}, "192.0.2.5", False),
    ],
)
def test_for_which_address_a_certificate_is(certificate: dict[str, Any], address: str, is_for: bool) -> None:
    assert is_for_address(certificate, address) is is_for
