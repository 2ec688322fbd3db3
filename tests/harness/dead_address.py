"""A host whose first address swallows everything, as IPv6 that nothing routes, or a machine that is down."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

DEAD = "127.0.0.2"
ALIVE = "127.0.0.1"


@contextmanager
def swallowing(port: int) -> Iterator[None]:
    """Let ``DEAD:port`` take no more connections, and refuse none: its queue is full, so SYNs are dropped."""
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.socket())
        listening.bind((DEAD, port))
        listening.listen(0)
        while True:
            filling = sockets.enter_context(socket.socket())
            filling.settimeout(0.2)
            try:
                filling.connect((DEAD, port))
            except TimeoutError:
                break
        yield


class Resolver:
    """Says which addresses each host has; of one that it doesn't know, what the system says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts: dict[str, list[str]] = {}
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: Any, *rest: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        numeric = options.get("flags", rest[4] if len(rest) > 4 else 0) & socket.AI_NUMERICHOST
        if name not in self.hosts or numeric:
            return self._real(host, *rest, **options)
        return [info for address in self.hosts[name] for info in self._real(address, *rest, **options)]
