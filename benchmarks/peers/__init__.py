"""Other gateways that can be run here: name and command. Each needs what its file says."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).parent

PEERS = {
    "official SDK": f"{sys.executable} {_HERE / 'sdk_bridge.py'}",
}
