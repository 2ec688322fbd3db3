"""Caller data, as sent to the agent and the agent URL.

Every variable is always sent, with a default: ElevenLabs closes the conversation (1008) if a variable used in
the prompt is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote
from uuid import UUID

from audiosocket_gw.ami.call_control import CallerData

UNKNOWN = "unknown"
"""Placeholder for values that Asterisk doesn't have."""

_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def parse_call_variables(text: str) -> dict[str, str]:
    """Parse ``NAME`` and ``NAME=default``, separated by commas; the default's default is `UNKNOWN`.

    Raises:
        ValueError: a name isn't valid for a channel variable or for a dynamic variable of ElevenLabs.
    """
    variables = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, default = part.partition("=")
        if not re.fullmatch(r"(?!system__)[A-Za-z_][A-Za-z0-9_]{0,79}", name):  # ElevenLabs reserves it
            raise ValueError(f"{name!r} is not the name of a channel variable that can be sent to an agent")
        variables[name] = default if equals else UNKNOWN
    return variables


def caller_variables(uuid: UUID, data: CallerData | None, defaults: Mapping[str, str]) -> dict[str, str]:
    """Return the dynamic variables of a call.

    ``data`` is None if Asterisk couldn't be asked. ``defaults`` are ``CALL_VARIABLES``, by name.
    """
    channel = data.channel if data else None
    known = {
        "caller_number": channel.caller_number if channel else "",
        "caller_name": channel.caller_name if channel else "",
        "dialled_number": channel.dialled_number if channel else "",
        "context": channel.context if channel else "",
        "channel": channel.name if channel else "",
        "unique_id": channel.uniqueid if channel else "",
        "linked_id": channel.linkedid if channel else "",
    }
    variables = {"call_uuid": str(uuid)} | {name: value or UNKNOWN for name, value in known.items()}
    for name, default in defaults.items():
        variables[name] = (data.variables.get(name) if data else None) or default
    return variables


def caller_headers(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables as HTTP headers, ``X-AVR-Caller-Number`` and so on.

    A caller's name can contain anything: characters that aren't printable ASCII are percent-encoded, and
    blanks at the ends, which headers can't have, are removed.
    """
    headers = {}
    for name, value in variables.items():
        words = name.replace("_", "-").strip("-").title()
        headers[f"X-AVR-{'UUID' if name == 'call_uuid' else words}"] = quote(
            value.strip(" "), _PRINTABLE, errors="replace"
        )
    return headers
