"""The one Asterisk that all tests here share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.asterisk.installation import Unavailable, installation
from tests.asterisk.lab import Lab


def _is_required() -> bool:
    return os.environ.get("CI") == "true" or os.environ.get("AUDIOSOCKET_GW_REQUIRE_ASTERISK") == "1"


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Asterisk; where none can be had the test is skipped, or fails if ``CI=true``."""
    try:
        found = installation()
    except Unavailable as error:
        if _is_required():
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    with Lab(found) as running:
        yield running


@pytest.fixture(autouse=True)
def _old_enough(request: pytest.FixtureRequest) -> None:
    """Skip what this Asterisk is too old for (`tests.asterisk.release`)."""
    if marker := request.node.get_closest_marker("since"):
        release = request.getfixturevalue("lab").release
        if not release.is_since(marker.args):
            pytest.skip(f"needs Asterisk {', '.join(marker.args)}: this is {release.words}")
