"""Settings of the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class CallerNumbers(StrEnum):
    """How callers are shown wherever a call record leaves the process."""

    MASKED = "masked"
    SHOWN = "shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSettings:
    """The settings of the ledger; each has the name of its environment variable."""

    caller_numbers: CallerNumbers
    call_log: Path | None
    history_db: Path | None
    history_max_calls: int
