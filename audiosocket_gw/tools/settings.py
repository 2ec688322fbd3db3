"""What the operator has set of the tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSettings:
    """The settings of the tools; each has the name of its environment variable, times are in seconds.

    Without ``tools_dir`` there are the built-in tools only.
    """

    tools_dir: Path | None
    tool_timeout: float
