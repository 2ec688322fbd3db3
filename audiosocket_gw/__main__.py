"""The process: ``audiosocket-gw``, or ``python -m audiosocket_gw``."""

from __future__ import annotations

from audiosocket_gw.log.setup import open_standard_descriptors


def main() -> int:
    """Run the command line; return the exit status."""
    # Before anything is imported that opens a file for good, as libffi (ctypes, numpy) does on Debian forky.
    open_standard_descriptors()
    from audiosocket_gw.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    raise SystemExit(main())
