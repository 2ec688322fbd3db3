"""The tools that every agent has: names and parameters as in Agent Voice Response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from audiosocket_gw.tools import ToolContext, ToolRegistry, tool
from audiosocket_gw.tools.registry import UNLIMITED


@dataclass(frozen=True, slots=True)
class CallActions:
    """What a tool can do to its call. Both methods return a text for the agent, and act after the caller has
    heard the agent's last words; both raise `ToolError` if the action isn't possible.

    ``transfer`` takes extension, context and priority, as the agent gave them.
    """

    transfer: Callable[[str, str | None, str | None], Awaitable[str]]
    hang_up: Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallToolContext(ToolContext):
    """The context of a tool that acts on its call."""

    call: CallActions


@tool(after_speech=True)
async def avr_transfer(
    context: CallToolContext,
    transfer_extension: Annotated[
        str, Field(max_length=40, description="The extension or the name of the destination.")
    ],
    transfer_context: Annotated[
        str | None, Field(max_length=80, description="The dialplan context. Leave it out unless told.")
    ] = None,
    transfer_priority: Annotated[
        str | None, Field(max_length=10, description="The dialplan priority. Leave it out unless told.")
    ] = None,
) -> str:
    """Transfer the caller to a person or department. Announce it first, then call this."""
    return await context.call.transfer(transfer_extension, transfer_context, transfer_priority)


@tool(after_speech=True)
async def avr_hangup(context: CallToolContext) -> str:
    """Hang up, after the caller said goodbye or needs nothing more. Say goodbye first, then call this."""
    return await context.call.hang_up()


def load_tools(
    timeout_s: float, directory: Path | None, *, max_running: int = UNLIMITED, may_block: bool = False
) -> ToolRegistry:
    """Return the built-in tools and those of ``directory`` (``TOOLS_DIR``), as `ToolRegistry` runs them.

    Raises:
        ConfigurationError: the directory or a file in it is invalid.
    """
    registry = ToolRegistry(timeout_s, max_running=max_running, may_block=may_block)
    registry.register(avr_transfer)
    registry.register(avr_hangup)
    if directory is not None:
        registry.load(directory)
    return registry
