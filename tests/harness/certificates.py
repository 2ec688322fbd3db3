"""TLS of a test's own: certificates that lie ready, and those that Asterisk's ``ast_tls_cert`` makes."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

# Each is signed by itself; their keys are no secrets.
LOCALHOST = Path(__file__).with_name("localhost.pem")
"""Of localhost and 127.0.0.1, valid for a hundred years."""
EXPIRED = Path(__file__).with_name("expired.pem")
"""Of the same, up to 2021."""
ELSEWHERE = Path(__file__).with_name("elsewhere.pem")
"""Of elsewhere.example."""


def serving(certificate: Path = LOCALHOST, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a server's context; of one version of TLS alone where that is given."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def trusting(certificate: Path | None = LOCALHOST) -> ssl.SSLContext:
    """Return a client's context that trusts this certificate, or those of the machine."""
    return ssl.create_default_context(cafile=certificate)


CONFIG = "[req]\ndistinguished_name = subject\nprompt = no\n[subject]\nCN = {name}\nO = {organisation}\n"
COMMANDS = (
    "genrsa -out ca.key 2048",
    "req -new -config ca.cfg {x509} -days 2 -key ca.key -out ca.crt",
    "genrsa -out server.key 2048",
    "req -batch -new -config server.cfg -key server.key -out server.csr",
    "x509 -req -days 2 -in server.csr -CA ca.crt -CAkey ca.key -set_serial 01 -out server.crt",
)


@dataclass(frozen=True)
class Certificates:
    """An authority and a server, without extensions.

    ``ca`` is the authority's certificate, ``server`` the server's, with its key.
    """

    ca: Path
    server: Path

    def serving(self) -> ssl.SSLContext:
        return serving(self.server)


def make_certificates(directory: Path, name: str) -> Certificates:
    """Make both for a server of this name or address."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates")

    (directory / "ca.cfg").write_text(CONFIG.format(name="Asterisk Private CA", organisation="A PBX"))
    (directory / "server.cfg").write_text(CONFIG.format(name=name, organisation="A PBX"))
    for command in COMMANDS:
        arguments = command.format(x509=_x509_option()).split()
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
    pem = directory / "server.pem"
    pem.write_text((directory / "server.key").read_text() + (directory / "server.crt").read_text())
    return Certificates(directory / "ca.crt", pem)


def _x509_option() -> str:
    """Return the option that makes a certificate of version 1, as OpenSSL before 3.2 does unasked.

    From then on it makes one of version 3 without ``CA:TRUE``, which no OpenSSL takes for an authority.
    """
    told = subprocess.run(["openssl", "req", "-help"], capture_output=True, text=True, check=True)
    return "-x509v1" if "-x509v1" in told.stderr + told.stdout else "-x509"
