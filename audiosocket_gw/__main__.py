"""The process: ``audiosocket-gw``, or ``python -m audiosocket_gw``."""

from __future__ import annotations

import os
import sys

from audiosocket_gw.errors import EXIT_CONFIGURATION
from audiosocket_gw.log.setup import open_standard_descriptors


def main() -> int:
    """Run the command line; return the exit status."""
    # Before anything is imported that opens a file for good, as libffi (ctypes, numpy) does on Debian forky.
    open_standard_descriptors()
    try:
        from audiosocket_gw.commands.cli import main as command_line
    except ValueError as error:  # websockets reads numbers from the environment while it is imported
        variables = [
            f"{name}={value!r}" for name, value in os.environ.items() if name.startswith("WEBSOCKETS_")
        ]
        if not variables:
            raise
        print(f"audiosocket-gw: {', '.join(variables)}: {error}. Unset it.", file=sys.stderr)
        return EXIT_CONFIGURATION
    return command_line()


if __name__ == "__main__":
    raise SystemExit(main())
