"""Python functions that the agent may call: their schema, the check of their arguments, built-in ones.

A tool's name, description and parameters are read from the function itself; its arguments are checked
before it runs, and whatever happens, the agent gets a sentence. `docs/tools.md` tells how to write one.
"""

from __future__ import annotations

from audiosocket_gw.errors import ToolError
from audiosocket_gw.tools.registry import ToolRegistry
from audiosocket_gw.tools.tool import MAX_TIMEOUT_S, ToolContext, ToolFunction, ToolResult, tool

__all__ = [
    "MAX_TIMEOUT_S",
    "ToolContext",
    "ToolError",
    "ToolFunction",
    "ToolRegistry",
    "ToolResult",
    "tool",
]
