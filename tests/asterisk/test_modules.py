"""The modules that the shipped modules.conf names run, and with them what the shipped files suggest."""

from __future__ import annotations

import re

import pytest

from tests.asterisk.installation import SHIPPED
from tests.asterisk.lab import Lab

pytestmark = pytest.mark.asterisk


async def test_every_module_runs(lab: Lab) -> None:
    named = re.findall(r"^load = (\S+)", (SHIPPED / "modules.conf").read_text(), re.MULTILINE)
    assert named
    running = set(re.findall(r"^(\S+\.so) .* Running ", await lab.cli("module show"), re.MULTILINE))
    assert set(named) <= running


@pytest.mark.parametrize("application", ["MixMonitor", "Queue"])
async def test_what_comments_and_documents_suggest_is_there(lab: Lab, application: str) -> None:
    assert f"-= Info about Application '{application}' =-" in await lab.cli(
        f"core show application {application}"
    )
