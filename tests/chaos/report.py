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
    measured = asdict(outcome) | {"is_disturbed": outcome.is_disturbed}
    _add(attack, outcome.faults, measured)


def record_death(attack: Attack, why: str) -> None:
    """Add an attack that the gateway didn't survive."""
    _add(attack, [why], None)


def _add(attack: Attack, faults: list[str], measured: Row | None) -> None:
    rows = read()
    about = {"door": attack.door, "what": attack.what, "before": attack.before}
    rows[attack.name] = about | {"faults": faults, "measured": measured}
    FOLDER.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1))


def read() -> dict[str, Row]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def table(rows: list[Row]) -> str:
    """Return the table in Markdown."""
    head = ("attack", "without the defence", "hold-up", "gap", "p99 (quiet)", "memory")
    lines = [_line(*head), _line(*["---"] * len(head))]
    for door, group in groupby(sorted(rows, key=_door), key=_door):
        lines.append(_line(f"**{door}**", *[""] * (len(head) - 1)))
        lines += [_line(*_about(row), *_figures(row["measured"])) for row in group]
    return "".join(lines)


def _door(row: Row) -> str:
    return str(row["door"])


def _about(row: Row) -> tuple[str, str]:
    measured = row["measured"] or {"tries": 0}
    came_up = (
        f"; {measured['admitted']} of {measured['tries']} new calls came up" if measured["tries"] else ""
    )
    failed = f"; **fails: {'; '.join(row['faults'])}**" if row["faults"] else ""
    return row["what"] + came_up + failed, row["before"]


def _figures(measured: Row | None) -> tuple[str, ...]:
    """Return hold-up, gap, p99 and memory; of a disturbed row gap and p99 of the loop's own timer."""
    if measured is None:
        return "-", "-", "-", "-"
    quiet, attacked = measured["quiet"], measured["attacked"]
    seen = (
        ("loop", "gap_ms", "late_p99_ms", "*")
        if measured["is_disturbed"]
        else ("heard", "longest_gap_ms", "p99_ms", "")
    )
    place, gap, p99, mark = seen
    return (
        f"{attacked['loop']['hold_up_ms']:.0f} ms",
        f"{attacked[place][gap]:.0f} ms{mark}",
        f"{attacked[place][p99]:.1f} ({quiet[place][p99]:.1f}) ms{mark}",
        f"{attacked['growth_mib']:+.0f} MiB",
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
