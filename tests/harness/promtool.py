"""promtool, Prometheus' own check of rules and configurations."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "build" / "promtool" / "promtool"

REQUIRED = "AUDIOSOCKET_GW_REQUIRE_PROMTOOL"


def promtool(*arguments: str | Path, cwd: Path, text: str = "") -> None:
    """Run promtool, which reads ``text``; fail with what it says.

    Without promtool the test is skipped, unless it is required.
    """
    found = str(HERE) if HERE.exists() else shutil.which("promtool")
    if found is None:
        why = "needs promtool: sh tests/promtool.sh gets it (Debian), or install Prometheus"
        if os.environ.get(REQUIRED):
            pytest.fail(f"{REQUIRED} is set: {why}")
        pytest.skip(why)
    done = subprocess.run(
        [found, *map(str, arguments)], cwd=cwd, input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
