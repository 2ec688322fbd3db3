"""How measurements are reported: tables, and what they were made on."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any


def markdown(lines: list[list[str]]) -> str:
    """Return a table; the first line is its head."""
    lines.insert(1, ["---"] * len(lines[0]))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n" + "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)


def machine() -> dict[str, Any]:
    """Say what all this was measured on."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "date": datetime.date.today().isoformat(),
        "CPU": f"{os.cpu_count()} x {models[0].partition(': ')[2] if models else platform.machine()}",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "websockets": version("websockets"),
        "cc": compiler.splitlines()[0],
    }
