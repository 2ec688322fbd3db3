"""What the operator has set of the tools."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class ToolsIsolation(StrEnum):
    """Where the tools of ``TOOLS_DIR`` run."""

    INLINE = "inline"
    """On the event loop of the calls."""
    PROCESS = "process"
    """In worker processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSettings:
    """The settings of the tools; each has the name of its environment variable, times are in seconds.

    Without ``tools_dir`` there are the built-in tools only. ``tools_workers`` is the number of processes with
    `ToolsIsolation.PROCESS`.
    """

    tools_dir: Path | None
    tool_timeout: float
    tool_max_running: int
    tools_isolation: ToolsIsolation
    tools_workers: int
