"""Settings of metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """The settings of metrics; each has the name of its environment variable.

    ``plan_concurrency``: conversations that the plan allows at once; ElevenLabs has no interface that tells.
    """

    plan_concurrency: int | None
