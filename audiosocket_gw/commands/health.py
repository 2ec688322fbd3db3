"""Is the gateway of this container listening? For a HEALTHCHECK, ``-m audiosocket_gw.commands.health``.

It asks the kernel (proc(5), ``/proc/net/tcp``) instead of the port: ``ALLOWED_PEERS`` doesn't admit a
connection from inside, which would be rejected and logged every time. It imports no other module of the
package, so it takes 25 ms instead of half a second.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

LISTEN = "0A"
"""The state of a listening socket (``TCP_LISTEN``) in the kernel's notation."""

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
DEFAULT_PORT = "5001"


def complaint(rows: Iterable[str], port: int) -> str | None:
    """Return the fault of the listener on ``port``, or None.

    ``rows``: lines of ``/proc/net/tcp`` and ``/proc/net/tcp6``. The receive queue of a listening socket is
    the number of connections that aren't accepted yet.
    """
    listening = False
    for row in rows:
        # sl local_address rem_address st tx_queue:rx_queue ...; the header line has another state.
        _, local, _, state, queues, *_ = row.split()
        if state != LISTEN or int(local.rpartition(":")[2], 16) != port:
            continue
        listening = True
        if waiting := int(queues.partition(":")[2], 16):
            return f"{waiting} connections to port {port} wait to be accepted"
    return None if listening else f"nothing listens on port {port}"


def main() -> int:
    """Return the exit status: 0, healthy; 1, unhealthy, and standard output says why."""
    port = int(os.environ.get("PORT") or DEFAULT_PORT)
    rows = [row for table in TABLES if table.exists() for row in table.read_text().splitlines()]
    problem = complaint(rows, port)
    print(problem or f"listening on port {port}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
