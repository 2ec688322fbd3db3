"""Accepts TCP connections, and closes those of peers that may not connect, with nothing built for them.

asyncio's own server builds a task, a transport and a protocol for each connection first, and accepts a
hundred at a time.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Sequence

logger = logging.getLogger("audiosocket_gw.server")

BACKLOG = 1_024
"""Connections that the kernel holds until they are accepted. Beyond it, a telephone waits for a second."""

MOST_AT_ONCE = 8
"""Connections that are accepted before the event loop does something else."""

RETRY_S = 1.0
"""Pause when the process or the system has no descriptor left for another connection."""

_NO_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Listening sockets, and the connections that they accept."""

    def __init__(
        self, admits: Callable[[str, int], bool], create: Callable[[str, int], asyncio.BaseProtocol]
    ) -> None:
        """``admits`` returns whether a peer may connect, ``create`` its protocol: by address and port.

        A peer at a Unix socket has neither: an empty text and 0.
        """
        self._admits = admits
        self._create = create
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._retries: dict[socket.socket, asyncio.TimerHandle] = {}
        self.sockets: list[socket.socket] = []

    @property
    def opening(self) -> int:
        """The number of accepted connections whose protocol hasn't been created yet."""
        return len(self._opening)

    async def listen(self, host: str, port: int) -> None:
        """Listen on all addresses of ``host``.

        Raises:
            OSError: one of them can't be listened on.
        """
        server = await self._loop.create_server(asyncio.Protocol, host, port, start_serving=False)
        bound = [socket.socket(fileno=os.dup(each.fileno())) for each in server.sockets]
        server.close()
        self.listen_on(bound)

    def listen_on(self, bound: Sequence[socket.socket]) -> None:
        """Listen on bound sockets, which are closed at the end.

        Raises:
            OSError: one of them can't be listened on.
        """
        self.sockets = [*self.sockets, *bound]
        try:
            for listening in bound:
                listening.setblocking(False)
                listening.listen(BACKLOG)
                self._loop.add_reader(listening.fileno(), self._accept, listening)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Stop listening. Accepted connections stay open."""
        for retry in self._retries.values():
            retry.cancel()
        for listening in self.sockets:
            self._loop.remove_reader(listening.fileno())
            listening.close()
        self.sockets = []

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(MOST_AT_ONCE):
            try:
                connection, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_RESOURCES:
                    raise
                self._pause(listening, error)
                return
            host, port = address[:2] if isinstance(address, tuple) else ("", 0)
            if not self._admits(host, port):
                connection.close()
                continue
            connection.setblocking(False)
            self._open(connection, host, port)

    def _open(self, connection: socket.socket, host: str, port: int) -> None:
        def create() -> asyncio.BaseProtocol:
            return self._create(host, port)

        opening = self._loop.create_task(self._loop.connect_accepted_socket(create, connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """Stop accepting for a moment: the kernel would report the socket as ready all the time."""
        logger.error("no connection can be accepted for %g s: %s", RETRY_S, error)
        self._loop.remove_reader(listening.fileno())
        self._retries[listening] = self._loop.call_later(
            RETRY_S, self._loop.add_reader, listening.fileno(), self._accept, listening
        )
