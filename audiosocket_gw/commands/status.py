"""``audiosocket-gw status``: what the gateway and its calls do now."""

from __future__ import annotations

import json
import shutil
import sys
import time

from audiosocket_gw.commands.call_table import status_text
from audiosocket_gw.commands.gateway_client import GatewayClient, NoAnswer
from audiosocket_gw.http_api.settings import HttpSettings

REFRESH_S = 1.0
BAD_CALLS = 5

_TO_THE_TOP = "\x1b[H\x1b[J"
"""Moves the cursor to the upper left corner and clears the rest."""


def run_status(settings: HttpSettings, *, once: bool, as_json: bool) -> int:
    """Print the status; on a terminal again every second, until Ctrl-C. Return the exit status.

    Raises:
        ConfigurationError: the settings don't say where the gateway can be asked.
    """
    live = not (once or as_json) and sys.stdout.isatty()
    with GatewayClient(settings) as client:
        try:
            while True:
                text = _found(client, as_json=as_json)
                print(f"{_TO_THE_TOP}{text}" if live else text, flush=True)
                if not live:
                    return 0
                time.sleep(REFRESH_S)
        except NoAnswer as error:
            print(f"audiosocket-gw: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 0


def _found(client: GatewayClient, *, as_json: bool) -> str:
    bad = client.get(f"/history?bad=true&limit={BAD_CALLS}")["calls"]
    load, calls = client.get("/load"), client.get("/calls")["calls"]
    if as_json:
        return json.dumps({"load": load, "calls": calls, "bad": bad}, indent=1)
    return status_text(load, calls, bad, shutil.get_terminal_size().columns)
