"""How hard the property tests look: `ci` in every test run, `long` in ``make fuzz``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("ci", max_examples=100, deadline=None)
settings.register_profile(
    "long", max_examples=5_000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)


def load() -> None:
    """Take the profile named by ``HYPOTHESIS_PROFILE``."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def a_part_of_the_examples(parts: int) -> settings:
    """Return the settings of a test whose examples take long: one of so many ``parts``."""
    profile = settings.get_current_profile_name()
    return settings(max_examples=settings.get_profile(profile).max_examples // parts)
