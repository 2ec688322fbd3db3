"""Reads the recordings beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from audiosocket_gw.ami.registry import Headers

CALL = UUID("11111111-2222-4333-8444-555555555555")
"""The UUID of the call in every recording."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What Asterisk sent before, in answer to `CoreShowChannels`, and afterwards."""

    events: list[Headers]
    listed: list[Headers]
    afterwards: list[Headers]


def recording(name: str) -> Recording:
    """Read one of the recordings."""
    parts = (Path(__file__).parent / f"{name}.txt").read_text().split("#")
    return Recording(*(_messages(part) for part in parts))


def _messages(text: str) -> list[Headers]:
    blocks = [block for block in text.split("\n\n") if block.startswith(("Event: ", "Response: "))]
    return [dict(line.split(": ", 1) for line in block.strip("\n").split("\n")) for block in blocks]
