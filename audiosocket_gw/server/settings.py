"""Settings of the AudioSocket server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import SecretStr

IpNetwork = IPv4Network | IPv6Network

ANY = "any"
"""In ``ALLOWED_PEERS``: every address."""

_EVERY_ADDRESS = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def parse_networks(text: str) -> list[IpNetwork]:
    """Parse comma-separated networks (CIDR), or ``any``.

    Raises:
        ValueError: a network is malformed, or the text has commas and no network.
    """
    networks: list[IpNetwork] = []
    for part in filter(None, map(str.strip, text.split(","))):
        networks += _EVERY_ADDRESS if part.lower() == ANY else [ip_network(part)]
    if text and not networks:
        raise ValueError("it names no network, and an empty list would admit every address")
    return networks


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The settings of the server; each has the name of its environment variable, times are in seconds.

    ``port`` 0 takes a free port. Without ``allowed_peers`` only this machine may connect: ``host`` must be a
    loopback address (`exposure`). Without ``uuid_secret`` any UUID may begin a call.
    """

    host: str
    port: int
    max_calls: int
    allowed_peers: tuple[IpNetwork, ...]
    uuid_secret: SecretStr | None
    uuid_max_age: float
    handshake_timeout: float
    drain_timeout: float
    refuse_overload: bool

    def exposure(self) -> Iterator[str]:
        """Return a line if other machines could reach the port without being limited to some addresses."""
        if not self.allowed_peers and not _is_loopback(self.host):
            yield (
                f"HOST={self.host!r} ALLOWED_PEERS='': anyone could connect, and each call is billed: "
                "set ALLOWED_PEERS to the addresses of your PBXs (ALLOWED_PEERS=192.0.2.7; in Docker the "
                "subnet, ALLOWED_PEERS=172.20.0.0/16), or to any (ALLOWED_PEERS=any) to admit every address"
            )

    def accepts(self, address: str) -> bool:
        """Return whether a peer at ``address`` may connect."""
        if not self.allowed_peers:
            return True
        try:
            ip = parse_address(address)
        except ValueError:  # the peer had gone before its address could be read
            return False
        return any(ip in network for network in self.allowed_peers)

    @property
    def lists_addresses(self) -> bool:
        """Whether ``allowed_peers`` has single addresses."""
        return any(network.num_addresses == 1 for network in self.allowed_peers)

    def lists(self, address: str) -> bool:
        """Return whether ``allowed_peers`` has the address by itself, and not only a network around it."""
        return ip_network(parse_address(address)) in self.allowed_peers


def parse_address(address: str) -> IPv4Address | IPv6Address:
    """Parse an address; an IPv4 peer of a dual-stack listener (``::ffff:a.b.c.d``) is compared as IPv4.

    Raises:
        ValueError: it is none.
    """
    return without_mapping(ip_address(address.partition("%")[0]))


def without_mapping(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 one maps; Python before 3.13 ignores it in ``is_loopback``."""
    mapped = getattr(ip, "ipv4_mapped", None)
    return mapped if isinstance(mapped, IPv4Address) else ip


def _is_loopback(host: str) -> bool:
    try:
        return parse_address(host).is_loopback
    except ValueError:  # a name; `localhost` is reserved for the loopback (RFC 6761)
        return host == "localhost"
