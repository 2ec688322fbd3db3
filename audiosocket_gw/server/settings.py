"""Settings of the AudioSocket server."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

IpNetwork = IPv4Network | IPv6Network


def parse_networks(text: str) -> list[IpNetwork]:
    """Parse comma-separated networks (CIDR).

    Raises:
        ValueError: a network is malformed, or the text has commas and no network.
    """
    networks = [ip_network(part.strip()) for part in text.split(",") if part.strip()]
    if text and not networks:
        raise ValueError("it names no network, and an empty list would admit every address")
    return networks


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The settings of the server; each has the name of its environment variable, times are in seconds.

    ``port`` 0 takes a free port. Without ``allowed_peers`` every address may connect.
    """

    host: str
    port: int
    max_calls: int
    allowed_peers: tuple[IpNetwork, ...]
    handshake_timeout: float
    drain_timeout: float
    refuse_overload: bool

    def accepts(self, address: str) -> bool:
        """Return whether a peer at ``address`` may connect."""
        if not self.allowed_peers:
            return True
        try:
            ip = _ip_address(address)
        except ValueError:  # the peer had gone before its address could be read
            return False
        return any(ip in network for network in self.allowed_peers)


def _ip_address(address: str) -> IPv4Address | IPv6Address:
    """Parse an address; an IPv4 peer of a dual-stack listener (``::ffff:a.b.c.d``) is compared as IPv4."""
    ip = ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return mapped if isinstance(mapped, IPv4Address) else ip
