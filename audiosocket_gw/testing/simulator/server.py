"""The simulator as a server: HTTP and WebSocket on one port, inside the running event loop."""

from __future__ import annotations

import asyncio
import logging
import secrets
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from audiosocket_gw.testing.simulator.access import Access, Denial
from audiosocket_gw.testing.simulator.rest import CONVERSATION_PATH, Rest, respond
from audiosocket_gw.testing.simulator.scenario import Refusal, Scenario
from audiosocket_gw.testing.simulator.session import Session
from audiosocket_gw.testing.simulator.simulated_agent import SimulatedAgent
from audiosocket_gw.testing.simulator.websocket import WebSocketConnection

logger = logging.getLogger(__name__)

_CLOSING_TIME_S = 1.0
"""Time for clients to receive the remaining messages at the end."""


class _WebSocketProtocol(WebSocketsSansIOProtocol):
    """Gives the application access to the transport, to cut the connection."""

    async def run_asgi(self) -> None:
        self.scope["state"]["transport"] = self.transport
        await super().run_asgi()


class Simulator:
    """A stand-in for ElevenLabs. Use it as an asynchronous context manager.

    ``api_key``: the ``xi-api-key`` required for a signed URL; None: none. ``record``: keep every conversation
    with its audio and messages, for tests; otherwise ended ones are discarded.

    The end of the context closes all conversations. If the simulator itself failed in any of them, it then
    raises an `ExceptionGroup`.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        record: bool = True,
    ) -> None:
        self.scenario = scenario
        self.conversations: list[SimulatedAgent] = []
        """In the order of their start."""
        self._host = host
        self._port = port
        self._record = record
        self._started = asyncio.Condition()
        self._failures: list[Exception] = []
        self._access = Access(scenario, api_key)
        self._state = ServerState()
        self._config = uvicorn.Config(
            Starlette(
                routes=[
                    *Rest(scenario, self._access).routes,
                    WebSocketRoute(CONVERSATION_PATH, self._converse),
                ]
            ),
            ws=_WebSocketProtocol,
            ws_ping_interval=None,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
        )

    @property
    def base_url(self) -> str:
        """The value for ``ELEVENLABS_BASE_URL``: ``http://127.0.0.1:PORT``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def __aenter__(self) -> Self:
        # Not `uvicorn.Server`: it takes over the signals of the process and exits it when the port is in use.
        self._config.load()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        await self._finish_tasks()
        for connection in list(self._state.connections):
            connection.transport.abort()
        await self._finish_tasks()
        await self._server.wait_closed()
        if self._failures and error is None:
            raise ExceptionGroup("conversations of the simulator failed", self._failures)

    async def wait_for_conversation(self, number: int = 1) -> SimulatedAgent:
        """Wait until the ``number``-th conversation, counted from 1, has started, and return it."""
        async with self._started:
            await self._started.wait_for(lambda: len(self.conversations) >= number)
        return self.conversations[number - 1]

    async def _finish_tasks(self) -> None:
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=_CLOSING_TIME_S)

    def _connection(self) -> asyncio.Protocol:
        return H11Protocol(self._config, self._state, app_state={})

    async def _converse(self, websocket: WebSocket) -> None:
        agent_id = websocket.query_params.get("agent_id")
        denial = self._access.check_agent(agent_id) or self._check_signature(websocket, str(agent_id))
        if denial is not None:
            await self._turn_away(websocket, denial)
            return
        await _accept(websocket)
        conversation_id = f"conv_{secrets.token_hex(14)}"
        connection = WebSocketConnection(websocket, conversation_id)
        agent = SimulatedAgent(connection, self.scenario, str(agent_id), conversation_id, record=self._record)
        async with self._started:
            self.conversations.append(agent)
            self._started.notify_all()
        try:
            await Session(agent).run()
        except Exception as error:
            # One conversation must not disturb another, nor fail silently.
            logger.exception("%s: the simulator failed", conversation_id)
            self._failures.append(error)
            await connection.close(1011, "Internal error")
        finally:
            if not self._record:
                self.conversations.remove(agent)

    def _check_signature(self, websocket: WebSocket, agent_id: str) -> Denial | None:
        query = websocket.query_params
        signature = query.get("conversation_signature") or query.get("token")
        return self._access.check_signature(signature, agent_id, asyncio.get_running_loop().time())

    async def _turn_away(self, websocket: WebSocket, denial: Denial) -> None:
        match self.scenario.refusal:
            case Refusal.HTTP:
                await websocket.send_denial_response(respond(denial))
            case Refusal.REDIRECT:
                place = f"https://elsewhere.invalid{CONVERSATION_PATH}?{websocket.url.query}"
                await websocket.send_denial_response(RedirectResponse(place, 301))
            case Refusal.FORBIDDEN:
                await websocket.close()
            case Refusal.CLOSE:
                await _accept(websocket)
                await websocket.close(1008, denial.message)


async def _accept(websocket: WebSocket) -> None:
    """Accept, with the subprotocol ``convai`` if it is offered, as JavaScript's client does."""
    offered = websocket.scope["subprotocols"]
    await websocket.accept("convai" if "convai" in offered else None)
