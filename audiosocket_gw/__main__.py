"""Run the command line as ``python -m audiosocket_gw``."""

from audiosocket_gw.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
