"""The HTTP server: it listens while its context is open, in the event loop of the calls."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

import uvicorn
from uvicorn.server import ServerState

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.http_api import unix_socket
from audiosocket_gw.http_api.access import Access
from audiosocket_gw.http_api.application import create_application
from audiosocket_gw.http_api.connection import HttpConnection
from audiosocket_gw.http_api.endpoint import Endpoint
from audiosocket_gw.http_api.settings import HttpSettings
from audiosocket_gw.http_api.unix_socket import UnixSocket
from audiosocket_gw.runtime.forked_child import close_in_child
from audiosocket_gw.runtime.loop_budget import LoopBudget
from audiosocket_gw.server.acceptor import Acceptor

logger = logging.getLogger("audiosocket_gw.http")

MAX_CONNECTIONS = 64
"""Connections to the port, and as many to the Unix socket. Each has one request in progress at most."""

REST_S = 0.02
"""Pause of requests that have used up their budget: a flood of them has a tenth of the thread."""

CHECK_S = 1.0
"""Interval at which the deadlines of connections are checked."""

CLOSE_S = 1.0
"""Time for requests in progress to finish at the end."""

HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]
"""Sent with every response: no page of another site shows it in a frame, or loads it as something else."""


class HttpServer:
    """Serves the endpoints on the port and the Unix socket of the settings."""

    def __init__(self, settings: HttpSettings, endpoints: Iterable[Endpoint]) -> None:
        self._settings = settings
        token = settings.http_token.get_secret_value().encode() if settings.http_token else None
        self._config = uvicorn.Config(
            create_application(endpoints, Access(token)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )
        # Not `uvicorn.Server`: it takes over the signals of the process and exits it when the port is in use.
        self._config.load()
        self._state = ServerState()
        self._state.default_headers = HEADERS
        self._budget = LoopBudget(asyncio.get_running_loop(), rest_s=REST_S)
        self._port = Acceptor(lambda *_: self._has_room(local=False), lambda *_: self._connect(local=False))
        self._local = Acceptor(lambda *_: self._has_room(local=True), lambda *_: self._connect(local=True))
        self._unix_socket: UnixSocket | None = None
        self._watch: asyncio.Task[None] | None = None
        close_in_child(self)

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port on which it listens; None: on no port."""
        if not self._port.sockets:
            return None
        host, port = self._port.sockets[0].getsockname()[:2]
        return host, port

    async def __aenter__(self) -> Self:
        settings = self._settings
        try:
            if settings.http_port is not None:
                await _listen(self._port, settings.http_host, settings.http_port)
            if settings.http_socket is not None:
                self._unix_socket = UnixSocket(settings.http_socket)
                self._local.listen_on([self._unix_socket.socket])
        except BaseException:
            self._stop_listening()
            raise
        if self.address is not None:
            logger.info("HTTP on %s:%d", *self.address)
        if settings.http_socket is not None:
            logger.info("HTTP on the Unix socket %s", settings.http_socket)
        self._watch = asyncio.get_running_loop().create_task(self._check_connections(), name="HTTP deadlines")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_listening()
        if self._watch is not None:
            self._watch.cancel()
        for connection in self._connections:
            connection.shutdown()
        await self._finish_requests()
        for task in tuple(self._state.tasks):
            task.cancel()
        for connection in self._connections:
            connection.drop()
        await self._finish_requests()

    def descriptors(self) -> list[int]:
        """Return the descriptors of the listening sockets and the connections."""
        listening = (each.fileno() for each in (*self._port.sockets, *self._local.sockets))
        return [*listening, *(connection.descriptor for connection in self._connections)]

    @property
    def _connections(self) -> tuple[HttpConnection, ...]:
        return tuple(each for each in self._state.connections if isinstance(each, HttpConnection))

    def _stop_listening(self) -> None:
        self._port.close()
        self._local.close()
        if self._unix_socket is not None:
            self._unix_socket.remove()
            self._unix_socket = None

    async def _finish_requests(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                while self._state.tasks:
                    await asyncio.wait(tuple(self._state.tasks))

    # Connections

    def _has_room(self, *, local: bool) -> bool:
        """Return whether another connection may be opened; close a stranger's or an idle one for it."""
        acceptor = self._local if local else self._port
        # Those that were dropped in this step of the loop are closed in the next one.
        open_ones = [each for each in self._connections if each.is_local is local and not each.is_dropped]
        if len(open_ones) + acceptor.opening < MAX_CONNECTIONS:
            return True
        dispensable = [each for each in open_ones if not (each.is_trusted and each.is_busy)]
        if not dispensable:
            logger.warning("HTTP connection refused: %d requests are in progress", len(open_ones))
            return False
        min(dispensable, key=lambda each: (each.is_trusted, each.since)).drop()
        return True

    def _connect(self, *, local: bool) -> HttpConnection:
        return HttpConnection(self._config, self._state, self._budget, local=local)

    async def _check_connections(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(CHECK_S)
            for connection in self._connections:
                connection.check(clock())


async def try_to_listen(settings: HttpSettings) -> None:
    """Check that the port and the Unix socket can be listened on.

    Raises:
        ConfigurationError: one of them can't; no connection was accepted.
    """
    if settings.http_socket is not None:
        unix_socket.check(settings.http_socket)
    if settings.http_port is not None:
        acceptor = Acceptor(lambda *_: False, lambda *_: asyncio.Protocol())
        await _listen(acceptor, settings.http_host, settings.http_port)
        acceptor.close()


async def _listen(acceptor: Acceptor, host: str, port: int) -> None:
    try:
        await acceptor.listen(host, port)
    except (OSError, socket.gaierror) as error:
        raise ConfigurationError(
            f"HTTP_HOST={host!r} HTTP_PORT={port}: can't listen there: {error.strerror}. Choose an address "
            "of this machine and a free port."
        ) from None
