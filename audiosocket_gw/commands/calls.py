"""``audiosocket-gw calls``: lists the calls in progress, shows one, hangs it up or transfers it."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

from audiosocket_gw.commands.call_table import call_table, clean, duration
from audiosocket_gw.commands.gateway_client import GatewayClient, NoAnswer
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.http_api.settings import HttpSettings

Json = dict[str, Any]


def run_calls(
    settings: HttpSettings,
    uuid: str | None,
    action: str | None,
    destination: str | None,
    *,
    yes: bool,
    as_json: bool,
) -> int:
    """Do what is asked; return the exit status. ``uuid``: the beginning of one is enough.

    Raises:
        ConfigurationError: arguments that don't belong together, or no gateway is set.
    """
    if (action == "transfer") is (destination is None):
        raise ConfigurationError("usage: calls UUID transfer DESTINATION, or calls UUID hangup")
    with GatewayClient(settings) as client:
        try:
            if uuid is None:
                return _list(client, as_json=as_json)
            found = _find(client, uuid)
            if action is None:
                return _show(client, found, as_json=as_json)
            return _act(client, found, action, destination, yes=yes)
        except NoAnswer as error:
            print(f"audiosocket-gw: {error}", file=sys.stderr)
            return 1


def _list(client: GatewayClient, *, as_json: bool) -> int:
    calls = client.get("/calls")["calls"]
    if as_json:
        print(json.dumps(calls, indent=1))
    else:
        print("\n".join(call_table(calls, shutil.get_terminal_size().columns)))
    return 0


def _find(client: GatewayClient, beginning: str) -> str:
    """Return the UUID of the call in progress, or as it was given."""
    found = [
        call["uuid"] for call in client.get("/calls")["calls"] if call["uuid"].startswith(beginning.lower())
    ]
    if len(found) > 1:
        raise NoAnswer(f"{len(found)} calls begin with {beginning}: give more of the UUID")
    return found[0] if found else beginning


def _show(client: GatewayClient, uuid: str, *, as_json: bool) -> int:
    record = client.get(f"/calls/{uuid}")
    if as_json:
        print(json.dumps(record, indent=1))
    else:
        width = max(map(len, record))
        for name, value in record.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            print(f"{name.ljust(width)}  {clean(text)}")
    return 0


def _act(client: GatewayClient, uuid: str, action: str, destination: str | None, *, yes: bool) -> int:
    record = client.get(f"/calls/{uuid}")
    what = "Hang up" if destination is None else f"Transfer to {destination}:"
    if not yes and not _confirmed(f"{what} {_describe(record)}"):
        print("Nothing was done.")
        return 1
    client.post(f"/calls/{uuid}/{action}", None if destination is None else _place(destination))
    print("Accepted.")
    return 0


def _place(destination: str) -> Json:
    extension, at, context = destination.partition("@")
    return {"extension": extension, "context": context} if at else {"destination": destination}


def _describe(record: Json) -> str:
    caller = record["caller_number"] or "an unknown caller"
    return clean(f"the call of {caller} with {record['agent']}, {duration(record['duration_ms'])}")


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigurationError("no one can be asked to confirm this here: add --yes")
    return input(f"{question}? [y/N] ").strip().lower() in ("y", "yes")
