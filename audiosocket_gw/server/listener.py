"""The listening socket: it accepts Asterisk's connections, and closes all when the gateway stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence

from audiosocket_gw.call.context import CallContext
from audiosocket_gw.log.limit import at_most
from audiosocket_gw.log.text import Sentence
from audiosocket_gw.runtime.forked_child import close_in_child
from audiosocket_gw.runtime.loop_budget import LoopBudget
from audiosocket_gw.server.acceptor import Acceptor
from audiosocket_gw.server.admission import Admission
from audiosocket_gw.server.calls import Calls
from audiosocket_gw.server.connection import AudioSocketConnection
from audiosocket_gw.server.connections import Connections
from audiosocket_gw.server.refusals import Refusals
from audiosocket_gw.server.settings import IpNetwork, ServerSettings

logger = logging.getLogger("audiosocket_gw.server")

CLOSE_S = 3.4
"""Time limit of `AudioSocketServer.close`."""

_NO_KNOWN_PBX = (
    "ALLOWED_PEERS lists no address by itself, so all share the places, and one may take half; "
    "list your PBX (docs/security.md)"
)


class AudioSocketServer:
    """Accepts Asterisk's connections; each becomes a call."""

    def __init__(self, settings: ServerSettings, context: CallContext) -> None:
        self.context = context
        self._settings = settings
        self._admission = Admission(settings, context.pbxs.has if len(context.pbxs) else None)
        self.calls = Calls(context, self._admission)
        self._connections = Connections[AudioSocketConnection]()
        self._acceptor = Acceptor(self._admits, self._create_connection)
        self._budget = LoopBudget(asyncio.get_running_loop())
        close_in_child(self)

    async def start(self) -> None:
        """Start accepting connections.

        Raises:
            OSError: the address can't be listened on.
        """
        await self._acceptor.listen(self._settings.host, self._settings.port)
        if self._settings.allowed_peers and not self._admission.knows_pbxs:
            logger.info(_NO_KNOWN_PBX)

    def renew(self, allowed_peers: Sequence[IpNetwork], context: CallContext) -> Coroutine[None, None, None]:
        """Use these for new connections and calls; the result waits until present calls are over."""
        self.context = context
        self._admission.admit_peers(allowed_peers)
        return self.calls.renew(context)

    def _admits(self, host: str, port: int) -> bool:
        is_open = len(self._connections) + self._acceptor.opening
        rejection = self._admission.reject_connection(host, is_open, asyncio.get_running_loop().time())
        if rejection is not None:
            logger.warning(
                "%s:%d: connection rejected: %s", host, port, Sentence(rejection), extra=at_most(1, host)
            )
        return rejection is None

    def _create_connection(self, host: str, port: int) -> AudioSocketConnection:
        return AudioSocketConnection(
            host,
            port,
            self.calls,
            self._admission,
            self._connections,
            self._budget,
            self._settings.handshake_timeout,
        )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port on which it listens."""
        host, port = self._acceptor.sockets[0].getsockname()[:2]
        return host, port

    @property
    def is_stopping(self) -> bool:
        """Whether new calls are refused, since the gateway stops."""
        return self._admission.is_stopping

    @property
    def max_calls(self) -> int:
        """Calls that may be in progress at the same time (``MAX_CALLS``)."""
        return self._settings.max_calls

    @property
    def refusals(self) -> Refusals:
        """Connections and calls that were refused before a call began."""
        return self._admission.refusals

    def refuse_new_calls(self) -> None:
        """Stop listening: Asterisk's next connection is refused, and its dialplan takes the fallback."""
        self._admission.is_stopping = True
        self._acceptor.close()
        for connection in tuple(self._connections):
            connection.hang_up_unless_in_call()

    async def close(self, detail: str) -> None:
        """End the remaining calls, then close all connections, within `CLOSE_S`."""
        clock = asyncio.get_running_loop().time
        closes_at = clock() + CLOSE_S
        await self.calls.end(detail)
        connections = tuple(self._connections)
        for connection in connections:
            connection.hang_up()
        if connections:
            left_s = max(0.0, closes_at - clock())
            await asyncio.wait([connection.gone for connection in connections], timeout=left_s)
        for connection in tuple(self._connections):
            connection.drop()

    def descriptors(self) -> list[int]:
        """Return the descriptors of the listening sockets and the connections."""
        listening = (socket.fileno() for socket in self._acceptor.sockets)
        return [*listening, *(each.fd for each in self._connections)]
