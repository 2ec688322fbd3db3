"""The address of a manager interface, its login, and the name in its certificate."""

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
    """The address of Asterisk's manager interface, and our login.

    ``md5``: log in by challenge instead of sending the password. ``tls_ca_file``: the authority of a
    certificate that the system's authorities didn't issue. ``tls_name``: the name in it, if not ``host``.
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
        """The name that the certificate must have."""
        return self.tls_name or self.host

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS context that checks the certificate.

        Raises:
            ConfigurationError: ``tls_ca_file`` can't be read, or ``tls_name`` is not a name.
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
            context.check_hostname = not is_address(self.certified_name)  # AmiConnection checks the address
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
