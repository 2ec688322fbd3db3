"""Python functions that the agent may call: their schema, the check of their arguments, built-in ones.

A tool's name, description and parameters are read from the function itself. Arguments are checked before it
runs, and the agent always gets a result in words. `docs/tools.md` explains how to write a tool.
"""

from __future__ import annotations

from audiosocket_gw.errors import ToolError
from audiosocket_gw.tools.registry import ToolRegistry
from audiosocket_gw.tools.result import ToolResult
from audiosocket_gw.tools.tool import MAX_TIMEOUT_S, ToolContext, ToolFunction, tool

__all__ = [
    "MAX_TIMEOUT_S",
    "ToolContext",
    "ToolError",
    "ToolFunction",
    "ToolRegistry",
    "ToolResult",
    "tool",
]
