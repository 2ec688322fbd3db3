"""``audiosocket-gw tools``: prints the declarations of the tools for ElevenLabs."""

from __future__ import annotations

import json
from pathlib import Path

from audiosocket_gw.tools.builtin import load_tools


def run_tools(timeout_s: float, directory: Path | None) -> int:
    """Print the request bodies that create the tools in ElevenLabs, as JSON; return the exit status 0.

    Raises:
        ConfigurationError: ``directory`` (``TOOLS_DIR``) or a file in it is invalid.
    """
    print(json.dumps(load_tools(timeout_s, directory).elevenlabs_configs(), indent=2))
    return 0
