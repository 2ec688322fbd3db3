"""The Asterisk of these tests: that of `tests/asterisk`, with more in its dialplan and its manager.conf."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.ami.pbx import Pbx
from tests.asterisk.installation import Unavailable, installation


@pytest.fixture(scope="session")
def pbx() -> Iterator[Pbx]:
    """Asterisk; where none can be had the test is skipped, or fails where it is required."""
    required = os.environ.get("CI") == "true" or os.environ.get("AUDIOSOCKET_GW_REQUIRE_ASTERISK") == "1"
    try:
        found = installation()
    except Unavailable as error:
        if required:
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    with Pbx(found) as running:
        yield running
