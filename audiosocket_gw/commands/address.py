"""An address on the command line."""

from __future__ import annotations

from audiosocket_gw.errors import ConfigurationError


def parse_address(address: str, option: str = "") -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; an IPv6 address stands in brackets.

    Raises:
        ConfigurationError: it isn't of that form; the message names ``option``, if there is one.
    """
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65_536:
        shown = f"{option} {address!r}".lstrip()
        raise ConfigurationError(f"{shown} is not HOST:PORT, such as 127.0.0.1:5001")
    return host.strip("[]"), int(port)
