"""The steps of a set-up, where no one asks how long they took."""

from __future__ import annotations

import time
from uuid import UUID

from audiosocket_gw.elevenlabs.setup_steps import SetupSteps


def untold_steps() -> SetupSteps:
    """Return the steps of a call without observers."""
    return SetupSteps(UUID(int=1), lambda _: None, time.monotonic)
