"""Connects the agent of a call and sends it the caller data."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from audiosocket_gw.call.caller_data import caller_headers
from audiosocket_gw.call.context import CallContext
from audiosocket_gw.elevenlabs import client_messages
from audiosocket_gw.elevenlabs.agent import AgentAddress
from audiosocket_gw.elevenlabs.connection import AgentConnection, MessageHandler, connect
from audiosocket_gw.elevenlabs.setup_steps import SetupSteps
from audiosocket_gw.tap import Tap


async def connect_agent(
    context: CallContext,
    caller: asyncio.Task[Mapping[str, str]],
    on_message: MessageHandler,
    tap: Tap | None,
    steps: SetupSteps,
    tasks: asyncio.TaskGroup,
) -> AgentConnection:
    """Locate the agent, connect it, and start the conversation.

    ``caller`` returns the dynamic variables. The WebSocket is opened meanwhile, unless there is an agent URL
    (``ELEVENLABS_AGENT_URL``), which needs them first. ``on_message`` receives the agent's messages.
    ``steps`` times what is done.

    Raises:
        AgentError: the conversation couldn't start; the error's ``end`` says why.
    """

    async def headers() -> dict[str, str]:
        return caller_headers(await caller)

    async def initiation(address: AgentAddress) -> bytes:
        variables = {**await caller, **address.dynamic_variables}
        return client_messages.initiation(variables, address.config_override)

    address = await context.locator.locate(headers, steps)
    return await connect(
        address.url,
        tasks.create_task(initiation(address)),
        on_message,
        ssl_context=context.ssl_context,
        timeout_s=context.settings.agent_connect_timeout,
        queue_timeout_s=context.settings.agent_queue_timeout,
        budget=context.agent_budget,
        steps=steps,
        public_only=address.public_only,
        tap=tap,
    )


async def send_buffered(agent: AgentConnection, pieces: Iterator[bytes]) -> None:
    """Send the agent what the caller has said so far. Other calls work between two pieces."""
    for piece in pieces:
        agent.send_audio(piece)
        await asyncio.sleep(0)
