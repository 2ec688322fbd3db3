"""Where an Asterisk's manager interface is, how to log in there, and what its certificate must be for."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from audiosocket_gw.ami.certificate import is_address
from audiosocket_gw.errors import ConfigurationError, Faults
from audiosocket_gw.runtime.tls_trust import trust


@dataclass(frozen=True, slots=True)
class AmiAddress:
    """Where Asterisk's manager interface is, and who we are there.

    ``md5`` logs in by challenge, so that the password itself is not sent. ``tls_ca_file`` is for a
    certificate that the system's authorities don't know; ``tls_name`` is the name in it, if not ``host``.
    """

    host: str
    username: str
    password: SecretStr
    port: int = 5038
    md5: bool = False
    tls: bool = False
    tls_ca_file: Path | None = None
    tls_name: str | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def certified_name(self) -> str:
        """What the certificate must be for."""
        return self.tls_name or self.host

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return what TLS is to check.

        Raises:
            ConfigurationError: ``tls_ca_file`` can't be read, or ``tls_name`` is no name.
        """
        if not self.tls:
            return None
        faults = Faults()
        if self.tls_ca_file is None:
            context = ssl.create_default_context()
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            with faults.collected():
                trust(context, self.tls_ca_file, "AMI_TLS_CA_FILE")
            context.check_hostname = not is_address(self.certified_name)  # AmiConnection does that one
        with faults.collected():
            _check_name(context, self.certified_name)
        faults.raise_if_any()
        return context


def _check_name(context: ssl.SSLContext, name: str) -> None:
    try:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
    except ValueError as error:
        raise ConfigurationError(
            f"AMI_TLS_NAME={name!r}: {error}. Set it to the name in Asterisk's certificate."
        ) from None
