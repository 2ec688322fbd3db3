"""Settings of the flight recorder."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from audiosocket_gw.recording.retention import Limits


class FlightKeep(StrEnum):
    """Which calls' flight recordings are kept."""

    BAD = "bad"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightSettings:
    """The settings of the flight recorder; each has the name of its environment variable.

    Without ``flight_dir`` there is no flight recorder.
    """

    flight_dir: Path | None
    flight_keep: FlightKeep
    flight_max_mb: int
    flight_max_days: float

    @property
    def limits(self) -> Limits:
        """The limits of retention."""
        return Limits.of(self.flight_max_mb, self.flight_max_days)
