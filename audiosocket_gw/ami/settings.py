"""Settings of Asterisk's manager interface."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from audiosocket_gw.ami.address import AmiAddress

_PLACE = re.compile(r"([A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?)(?::([0-9]{1,5}))?")


def parse_place(text: str) -> tuple[str, int | None]:
    """Parse a host with or without a port: ``pbx``, ``192.0.2.1:5039``.

    Raises:
        ValueError: the text has another form.
    """
    match = _PLACE.fullmatch(text)
    if match is None or not 0 < int(match[2] or 1) <= 65_535:
        raise ValueError(f"{text!r} is neither a host nor host:port (IPv6: give it a name)")
    return match[1], int(match[2]) if match[2] else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AmiSettings:
    """The settings of the manager interface; each has the name of its environment variable.

    Without ``ami_password`` there is no manager interface.
    """

    ami_host: str | None
    ami_hosts: tuple[str, ...]
    ami_port: int
    ami_username: str
    ami_password: SecretStr | None
    ami_md5: bool
    ami_tls: bool
    ami_tls_ca_file: Path | None
    ami_tls_name: str | None

    @property
    def common(self) -> AmiAddress | None:
        """The address of ``AMI_HOST``."""
        return self._address(self.ami_host) if self.ami_host else None

    @property
    def listed(self) -> tuple[AmiAddress, ...]:
        """The addresses of ``AMI_HOSTS``."""
        return tuple(filter(None, map(self._address, self.ami_hosts)))

    @property
    def by_place(self) -> dict[str, AmiAddress]:
        """All addresses, by the text of the setting; ``AMI_HOST`` is the first."""
        places = (self.ami_host, *self.ami_hosts)
        return {place: address for place in places if place and (address := self._address(place))}

    def _address(self, place: str) -> AmiAddress | None:
        if self.ami_password is None:
            return None
        host, port = parse_place(place)
        return AmiAddress(
            host,
            self.ami_username,
            self.ami_password,
            port=port or self.ami_port,
            md5=self.ami_md5,
            tls=self.ami_tls,
            tls_ca_file=self.ami_tls_ca_file,
            tls_name=self.ami_tls_name,
        )
