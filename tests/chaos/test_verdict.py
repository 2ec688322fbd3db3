"""The verdict, the report and the table of attacks, without an attack."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.chaos.good_calls import Heard
from tests.chaos.probe import Answer
from tests.chaos.report import BEGIN, END, PAGE, REPOSITORY, refresh, rows_in_order, table
from tests.chaos.verdict import Outcome, Window

HEARD = Heard(
    seconds=4.0, p99_ms=2.0, longest_gap_ms=25.0, gaps_over_60_ms=0, fallen=0, lost=0, load_p99_ms=0.1
)
ANSWER = Answer(
    turns=10_000,
    hold_up_ms=3.0,
    hold_up_cpu_ms=2.0,
    late_p99_ms=1.0,
    gap_ms=23.0,
    taken_ms=0.5,
    tasks=150,
    calls=50,
    threads=1,
)
QUIET = Window(HEARD, ANSWER, growth_mib=0.5, stolen=0.0)


def outcome(attacked: Window = QUIET, quiet: Window = QUIET) -> Outcome:
    return Outcome(quiet, attacked, left={}, stop_s=1.2, max_stop_s=7)


def heard(**changes: float) -> Window:
    return replace(QUIET, heard=replace(HEARD, **changes))  # type: ignore[arg-type]


def loop(**changes: float) -> Window:
    return replace(QUIET, loop=replace(ANSWER, **changes))  # type: ignore[arg-type]


def test_a_quiet_attack_has_no_faults() -> None:
    assert outcome().faults == []
    assert not outcome().is_disturbed


@pytest.mark.parametrize(
    ("attacked", "word"),
    [
        (heard(longest_gap_ms=61.0, gaps_over_60_ms=3), "3 gaps over 60 ms"),
        (heard(p99_ms=10.1), "late by 10.1 ms"),
        (heard(fallen=1), "1 good calls ended"),
        (heard(lost=2), "2 frames"),
        (loop(hold_up_ms=41.0), "held up for 41 ms"),
        (replace(QUIET, growth_mib=65.0), "grew by 65 MiB"),
    ],
)
def test_each_limit(attacked: Window, word: str) -> None:
    (fault,) = outcome(attacked).faults
    assert word in fault


def test_what_is_left_admitted_and_found() -> None:
    bad = replace(outcome(), left={"tasks": 3}, stop_s=9.0, tries=100, admitted=98, found=["it lied"])
    assert len(bad.faults) == 4
    assert not replace(bad, left={}, stop_s=1.0, admitted=99, found=[]).faults


def test_a_ratio_counts_only_beyond_the_floor() -> None:
    assert outcome(heard(p99_ms=9.9)).faults == []
    assert outcome(heard(p99_ms=23.0), quiet=heard(p99_ms=12.0)).faults == []


def test_what_the_quiet_window_has_is_no_fault() -> None:
    assert outcome(heard(longest_gap_ms=70.0), quiet=heard(longest_gap_ms=75.0)).faults == []
    assert outcome(loop(hold_up_ms=50.0), quiet=loop(hold_up_ms=55.0)).faults == []


@pytest.mark.parametrize(
    "window", [loop(taken_ms=11.0), replace(QUIET, stolen=0.03), heard(load_p99_ms=21.0)]
)
def test_a_disturbed_machine_is_noticed(window: Window) -> None:
    assert outcome(window).is_disturbed
    assert outcome(quiet=window).is_disturbed


def test_a_disturbed_machine_is_no_fault_unless_the_loop_was_late_by_itself() -> None:
    late = replace(HEARD, p99_ms=50.0, longest_gap_ms=100.0)
    disturbed = replace(ANSWER, taken_ms=30.0)
    assert outcome(Window(late, disturbed, 0.0, 0.0)).faults == []
    itself = replace(disturbed, late_p99_ms=45.0, gap_ms=95.0)
    assert len(outcome(Window(late, itself, 0.0, 0.0)).faults) == 2


def row(result: Outcome) -> dict[str, Any]:
    measured = asdict(result) | {"is_disturbed": result.is_disturbed}
    return {
        "door": "agent",
        "what": "pings",
        "before": "781 ms",
        "faults": result.faults,
        "measured": measured,
    }


def test_the_page_is_refreshed_between_its_marks() -> None:
    page = refresh(f"before\n{BEGIN}stale\n{END}after\n", [row(outcome())])
    assert page.startswith(f"before\n{BEGIN}")
    assert page.endswith(f"{END}after\n")
    assert "stale" not in page
    assert "| pings | 781 ms | 3 ms | 25 ms | 2.0 (2.0) ms | +0 MiB |" in page


def test_the_table_names_what_fails_and_what_was_disturbed() -> None:
    failed = row(replace(outcome(), tries=20, admitted=10))
    assert "pings; 10 of 20 new calls came up; **fails: only 10 of 20 new good calls came up**" in table(
        [failed]
    )
    assert "| 3 ms | 23 ms* | 1.0 (1.0) ms* |" in table([row(outcome(loop(taken_ms=50.0)))])
    assert "**fails: dead** | 781 ms | - |" in table(
        [row(outcome()) | {"faults": ["dead"], "measured": None}]
    )


def test_the_page_has_its_marks_and_names_tests_that_exist() -> None:
    page = PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    named = {word for word in page.replace("`", " ").split() if word.startswith("tests/")}
    assert named
    for name in named:
        assert (REPOSITORY / name.rstrip(",")).exists(), name


def test_names_of_attacks_are_unique() -> None:
    from tests.chaos.attack import ATTACKS

    rows_in_order()
    names = [attack.name for attack in ATTACKS]
    assert len(names) == len(set(names)) > 40
