"""TCP connections to a host with several addresses: one that doesn't answer costs 250 ms (RFC 8305).

A name often has addresses that can't be reached: IPv6 where nothing routes it, a machine of a pair that is
down. Tried one after the other, one that swallows everything uses up the whole deadline, in every call.

asyncio's own (``happy_eyeballs_delay``) isn't used: Python 3.11, and 3.12 and 3.13 for long, leave tasks
behind when it is cancelled, as by a deadline (python/cpython#128479), and may lose the reason why nothing
answered (python/cpython#135836, an IndexError).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any

from audiosocket_gw.errors import reason_of

ATTEMPT_DELAY_S = 0.25
"""How long an address has before the next one is tried beside it (RFC 8305, section 5)."""

AddressInfo = tuple[Any, Any, int, str, Any]
"""One answer of ``getaddrinfo``: family, type, protocol, canonical name, address."""


async def open_socket(host: str, port: int) -> socket.socket:
    """Return a connected, non-blocking socket: to the first of the host's addresses that answers.

    Raises:
        OSError: there is no such host, or none of its addresses takes the connection; says why for each.
        ValueError: ``host`` is no name of a host.
    """
    return await _race(interleaved(await _addresses(host, port)))


def interleaved(addresses: Iterable[AddressInfo]) -> list[AddressInfo]:
    """Let the address families take turns, each in its own order (RFC 8305, section 4)."""
    families: dict[int, list[AddressInfo]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return [address for address in chain(*zip_longest(*families.values())) if address is not None]


async def _addresses(host: str, port: int) -> Sequence[AddressInfo]:
    with suppress(socket.gaierror):  # an address needs no thread to look it up
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _race(addresses: Iterable[AddressInfo]) -> socket.socket:
    """Try one address after the other; the next as soon as the one before has failed, or its time is over."""
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
                timeout=ATTEMPT_DELAY_S if waiting else None,
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
    """End what is still being tried, and close what came too late to win.

    It doesn't wait for that: whoever were cancelled meanwhile would lose the winner.
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
