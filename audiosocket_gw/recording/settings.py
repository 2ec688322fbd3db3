"""Settings of the recordings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from audiosocket_gw.recording.retention import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """The settings of the recordings; each has the name of its environment variable.

    Without ``record_dir`` nothing is recorded.
    """

    record_dir: Path | None
    record_max_mb: int
    record_max_days: float

    @property
    def limits(self) -> Limits:
        """The limits of retention."""
        return Limits.of(self.record_max_mb, self.record_max_days)
