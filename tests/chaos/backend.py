"""What the gateway believes is ElevenLabs and the owner's agent service: REST, and hostile agents.

The gateway asks the agent service (ELEVENLABS_AGENT_URL) whom to call, and gets a signed URL for that agent.
So the good calls reach the agents of the load, and all others reach agents that do what the attack wants.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

from tests.harness.agent_messages import metadata
from tests.harness.agent_peer import AgentPeer, text

GOOD = "good"
"""The agent of the good calls; the other agents are named by the UUID of their call."""

KEY = "chaos"

DEAF_PATH, TOOL_PATH = "/deaf", "/tool"
"""For the requests of tools: the first one is never answered."""

NEVER_S = 3600


def is_good(uuid: UUID) -> bool:
    """Tell whether it is a call of the load: its UUIDs begin with zeros."""
    return uuid.int >> 64 == 0


class HostileAgent:
    """The agent's end of one conversation, which has begun; it reads whatever comes."""

    def __init__(self, peer: AgentPeer) -> None:
        self._peer = peer

    async def send(self, *messages: bytes) -> None:
        """Send WebSocket frames, as fast as the gateway reads them.

        Raises:
            ConnectionError: the gateway has closed the connection.
        """
        self._peer.writer.write(b"".join(messages))
        await self._peer.writer.drain()

    def cut(self) -> None:
        """Break the connection, without a close frame."""
        self._peer.cut()


Answer = Callable[[str], bytes]
"""Returns the whole HTTP response to the agent service's request for a hostile call, by the path."""


class Backend:
    """The servers. ``formats`` are those of hostile agents: what they send and what they get."""

    def __init__(self, good_agent_port: int) -> None:
        self._good_agent_port = good_agent_port
        self._tasks: set[asyncio.Task[None]] = set()
        self._conversations: dict[str, asyncio.Future[HostileAgent]] = {}
        self.formats = ("pcm_8000", "pcm_8000")
        self.answer: Answer | None = None
        self.delay_s = 0.0
        """How long the REST services take."""
        self.conversations = 0
        """With hostile agents, so far."""
        self.answered = 0
        """Requests of tools."""
        self.rest_port = 0
        self.agent_port = 0

    @property
    def settings(self) -> dict[str, str]:
        """The gateway's settings that lead it here."""
        base = f"http://localhost:{self.rest_port}"
        return {
            "ELEVENLABS_AGENT_URL": f"{base}/agent",
            "ELEVENLABS_BASE_URL": base,
            "ELEVENLABS_API_KEY": KEY,
        }

    def conversation(self, uuid: UUID) -> asyncio.Future[HostileAgent]:
        """Return the future agent of a hostile call."""
        return self._conversations.setdefault(str(uuid), asyncio.get_running_loop().create_future())

    def forget(self, uuid: UUID) -> None:
        """Drop a call that is over."""
        self._conversations.pop(str(uuid), None)

    # REST

    async def serve_rest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ")[1]
            await asyncio.sleep(NEVER_S if path == DEAF_PATH else self.delay_s)
            self.answered += path == TOOL_PATH
            writer.write(_ok({}) if path == TOOL_PATH else self._respond(path, head))
            await writer.drain()

    def _respond(self, path: str, head: str) -> bytes:
        if not path.startswith("/agent"):
            agent = _agent_id(head)
            port = self._good_agent_port if agent == GOOD else self.agent_port
            return _ok({"signed_url": f"ws://localhost:{port}/v1/convai/conversation?agent_id={agent}"})
        found = re.search(r"(?i)^x-avr-uuid: *(\S+)", head, re.MULTILINE)
        assert found, head
        uuid = UUID(found[1])
        if is_good(uuid):
            return _ok({"system": GOOD})
        return self.answer(path) if self.answer is not None else _ok({"system": str(uuid)})

    # Agents

    async def serve_agent(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = AgentPeer(reader, writer)
        await peer.upgrade()
        await reader.read(65_536)  # the initiation
        writer.write(text(**metadata(*self.formats)))
        self.conversations += 1
        conversation = self.conversation(UUID(_agent_id(peer.request.decode())))
        if not conversation.done():
            conversation.set_result(HostileAgent(peer))
        while await reader.read(65_536):
            pass

    # Both

    def serve(self, handler: Callable[..., Any]) -> Callable[..., None]:
        """Return a handler that runs in a task, and to which the end of a connection is no error."""

        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                with suppress(ConnectionError, asyncio.IncompleteReadError):
                    await handler(reader, writer)
            finally:
                writer.transport.abort()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(run(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return accept

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close in the next turn


def _agent_id(head: str) -> str:
    found = re.search(r"agent_id=([^&\s]+)", head)
    assert found, head
    return found[1]


def _ok(answer: dict[str, Any]) -> bytes:
    body = json.dumps(answer).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


@asynccontextmanager
async def backend(good_agent_port: int) -> AsyncIterator[Backend]:
    """Serve while the block runs."""
    served = Backend(good_agent_port)
    rest = await asyncio.start_server(served.serve(served.serve_rest), "127.0.0.1", 0)
    agents = await asyncio.start_server(served.serve(served.serve_agent), "127.0.0.1", 0, backlog=1000)
    served.rest_port = rest.sockets[0].getsockname()[1]
    served.agent_port = agents.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        rest.close()
        agents.close()
        await served.end()
