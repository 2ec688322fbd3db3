"""TCP connections to a host with several addresses: an unreachable one costs 250 ms (RFC 8305).

A name often has unreachable addresses: IPv6 without a route, one machine of a pair that is down. In sequence,
one address that drops all packets would use up the whole deadline of every call.

asyncio's ``happy_eyeballs_delay`` isn't used: on Python 3.11 and early releases of 3.12 and 3.13 it leaks
tasks when it is cancelled, as by a deadline (python/cpython#128479), and may replace the error by an
IndexError (python/cpython#135836).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import chain, zip_longest
from typing import Any

from audiosocket_gw.errors import reason_of

ATTEMPT_DELAY_S = 0.25
"""Time that an address has before the next one is tried in parallel (RFC 8305, section 5)."""

_WITH_IPV4 = (ip_network("64:ff9b::/96"), ip_network("::/96"))
"""NAT64's own prefix, and IPv4-compatible addresses: the last 32 bits are an IPv4 address."""

_LOCAL_NAT64 = ip_network("64:ff9b:1::/48")
"""NAT64 within an organisation (RFC 8215): nothing says where its address is."""

AddressInfo = tuple[Any, Any, int, str, Any]
"""One answer of ``getaddrinfo``: family, type, protocol, canonical name, address."""


class PrivateAddressError(OSError):
    """The host has no public address; the message names one that it has."""


async def open_socket(
    host: str, port: int, *, public_only: bool = False, attempt_delay_s: float = ATTEMPT_DELAY_S
) -> socket.socket:
    """Return a connected, non-blocking socket, to the address of the host that answers first.

    ``public_only``: don't connect to private, loopback and link-local addresses.

    Raises:
        OSError: there is no such host, or none of its addresses accepts the connection; the message has the
        reason for each. `PrivateAddressError` if it may not be connected to any.
        ValueError: ``host`` is not a valid host name.
    """
    addresses = interleaved(await _addresses(host, port))
    if public_only:
        public = [address for address in addresses if is_public(address[4][0])]
        if addresses and not public:
            raise PrivateAddressError(addresses[0][4][0])
        addresses = public
    return await _race(addresses, attempt_delay_s)


def is_public(address: str) -> bool:
    """Return whether the address is reached through the public internet."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        embedded = _embedded(ip)
        if embedded is not None:
            return is_public(str(embedded))
        if ip.is_site_local or ip in _LOCAL_NAT64:
            return False
    return ip.is_global and not ip.is_multicast


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that a translator (NAT64, RFC 6052) or a tunnel (6to4) connects to."""
    if any(ip in network for network in _WITH_IPV4):
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour


def interleaved(addresses: Iterable[AddressInfo]) -> list[AddressInfo]:
    """Alternate between the address families, each in its own order (RFC 8305, section 4)."""
    families: dict[int, list[AddressInfo]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return [address for address in chain(*zip_longest(*families.values())) if address is not None]


async def _addresses(host: str, port: int) -> Sequence[AddressInfo]:
    with suppress(socket.gaierror):  # an address needs no look-up, and so no thread
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _race(addresses: Iterable[AddressInfo], delay_s: float) -> socket.socket:
    """Try the addresses in order; start the next one when the one before has failed, or after ``delay_s``."""
    waiting = list(addresses)
    attempts: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    try:
        while winner is None and (waiting or not all(attempt.done() for attempt in attempts)):
            if waiting:
                attempts.append(asyncio.create_task(_connected(waiting.pop(0))))
            running = [attempt for attempt in attempts if not attempt.done()]
            await asyncio.wait(
                running,
                timeout=delay_s if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            winner = next(filter(_has_succeeded, attempts), None)
    finally:
        _give_up(attempt for attempt in attempts if attempt is not winner)
    if winner is None:
        raise _failure([attempt.exception() for attempt in attempts])
    return winner.result()


async def _connected(info: AddressInfo) -> socket.socket:
    family, kind, protocol, _, address = info
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


def _has_succeeded(attempt: asyncio.Task[socket.socket]) -> bool:
    return attempt.done() and not attempt.cancelled() and attempt.exception() is None


def _give_up(attempts: Iterable[asyncio.Task[socket.socket]]) -> None:
    """Cancel the remaining attempts, and close sockets that connected too late.

    It doesn't wait for them: a cancellation during the wait would lose the winning socket.
    """
    for attempt in attempts:
        attempt.cancel()
        attempt.add_done_callback(_close)


def _close(attempt: asyncio.Task[socket.socket]) -> None:
    if _has_succeeded(attempt):
        attempt.result().close()


def _failure(errors: Sequence[BaseException | None]) -> OSError:
    reasons = list(dict.fromkeys(reason_of(error) for error in errors if error is not None))
    if len(reasons) == 1 and isinstance(errors[0], OSError):
        return errors[0]
    return OSError("; ".join(reasons) or "the host has no address")
