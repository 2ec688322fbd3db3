"""The results of all attacks, as a file, and as the table of docs/reliability.md.

``python -m tests.chaos.report`` writes the table of the last run into the page.
"""

from __future__ import annotations

import json
import os
import platform
import re
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any

from tests.chaos import attacks
from tests.chaos.attack import ATTACKS, Attack
from tests.chaos.verdict import Outcome

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "chaos-output"
"""Also has a folder for each attack, with the gateway's log."""

RESULTS = FOLDER / "results.json"
PAGE = REPOSITORY / "docs" / "reliability.md"

BEGIN, END = "<!-- results of make chaos-test -->\n", "<!-- end of the results -->\n"

Row = dict[str, Any]


def record(attack: Attack, outcome: Outcome) -> None:
    """Add an outcome to the results, in place of an older one."""
    attacked = outcome.attacked
    figures = {
        "hold_up_ms": attacked.loop.hold_up_ms,
        "gap_ms": attacked.heard.longest_gap_ms,
        "p99_ms": attacked.heard.p99_ms,
        "quiet_p99_ms": outcome.quiet.heard.p99_ms,
        "growth_mib": attacked.growth_mib,
        "tries": outcome.tries,
        "admitted": outcome.admitted,
        "disturbed": outcome.is_disturbed,
        "details": asdict(outcome),
    }
    _add(attack, figures, outcome.faults)


def record_death(attack: Attack, why: str) -> None:
    """Add an attack that the gateway didn't survive."""
    _add(attack, dict.fromkeys(("hold_up_ms", "gap_ms", "p99_ms", "quiet_p99_ms", "growth_mib"), inf), [why])


def _add(attack: Attack, figures: Row, faults: list[str]) -> None:
    rows = read()
    about = {"door": attack.door, "what": attack.what, "before": attack.before, "faults": faults}
    rows[attack.name] = about | figures
    FOLDER.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1))


def read() -> dict[str, Row]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def table(rows: list[Row]) -> str:
    """Return the table in Markdown."""
    head = ("attack", "without the defence", "hold-up", "gap", "p99 (quiet)", "memory")
    lines = [_line(*head), _line(*["---"] * len(head))]
    for door, group in groupby(rows, key=lambda row: row["door"]):
        lines.append(_line(f"**{door}**", *[""] * (len(head) - 1)))
        lines += [_line(*_cells(row)) for row in group]
    return "".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    came_up = f"; {row['admitted']} of {row['tries']} new calls came up" if row.get("tries") else ""
    failed = f"; **fails: {'; '.join(row['faults'])}**" if row["faults"] else ""
    return (
        row["what"] + came_up + failed,
        row["before"],
        f"{row['hold_up_ms']:.0f} ms",
        f"{row['gap_ms']:.0f} ms",
        f"{row['p99_ms']:.1f} ({row['quiet_p99_ms']:.1f}) ms{'*' if row.get('disturbed') else ''}",
        f"{row['growth_mib']:+.0f} MiB",
    )


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n".replace("  ", " ")


def machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    date = datetime.now(UTC).strftime("%d %B %Y").lstrip("0")
    cores = f"{os.cpu_count()} cores ({model[1] if model else platform.machine()})"
    return (
        f"{date}, {cores}, Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    )


def refresh(page: str, rows: list[Row]) -> str:
    """Return the page with the results between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{machine()}.\n\n{table(rows)}\n{END}{after}"


def rows_in_order() -> list[Row]:
    assert attacks  # they fill the table
    rows = read()
    return [rows[attack.name] for attack in ATTACKS if attack.name in rows]


if __name__ == "__main__":
    PAGE.write_text(refresh(PAGE.read_text(), rows_in_order()))
