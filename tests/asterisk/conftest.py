"""The one Asterisk that all tests here share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.asterisk.lab import Lab, Unavailable, asterisk_root


def _is_required() -> bool:
    return os.environ.get("CI") == "true" or os.environ.get("AUDIOSOCKET_GW_REQUIRE_ASTERISK") == "1"


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Asterisk 22; where none can be had the test is skipped, or fails if ``CI=true``."""
    try:
        root = asterisk_root()
    except Unavailable as error:
        if _is_required():
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    with Lab(root) as running:
        yield running
