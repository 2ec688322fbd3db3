"""What SIGHUP can change while calls are up, and what only a restart can."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from audiosocket_gw.settings.variables import Settings
from audiosocket_gw.tools.settings import ToolSettings

RELOADED = frozenset(
    {
        *(field.name for field in fields(ToolSettings)),
        *("transfer_destinations", "transfer_extensions", "transfer_contexts"),
        *("mcp_approval", "dtmf_actions", "dtmf_timeout", "allowed_peers", "log_level"),
    }
)
"""Settings that a running gateway takes over."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The variables that differ: those that take effect, and those that need a restart."""

    reloaded: tuple[str, ...]
    restart: tuple[str, ...]

    @classmethod
    def between(cls, before: Settings, after: Settings) -> Changes:
        """Compare the settings in use with those that were read."""
        changed = tuple(_changed(before, after))
        return cls(
            tuple(name.upper() for name in changed if name in RELOADED),
            tuple(name.upper() for name in changed if name not in RELOADED),
        )


def reloaded(before: Settings, after: Settings) -> Settings:
    """Return the settings in use after a reload: `RELOADED` of ``after``, the others of ``before``."""
    return before.model_copy(update={name: getattr(after, name) for name in RELOADED})


def _changed(before: Settings, after: Settings) -> Iterator[str]:
    for name in Settings.model_fields:
        if getattr(before, name) != getattr(after, name):
            yield name
