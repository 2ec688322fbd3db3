"""The soak, small; and what counts as growth."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.growth import LEAST_S, LIMITS, Sample, Verdict, judge, warm

REPOSITORY = Path(__file__).parent.parent

HOUR_S = 3_600


def samples(seconds: float, every_s: float = 30, **per_hour: float) -> list[Sample]:
    """Return samples of a run in which some figures grow."""
    return [
        {"at_s": at_s, **{limit.name: 100 + per_hour.get(limit.name, 0) * at_s / HOUR_S for limit in LIMITS}}
        for at_s in range(0, round(seconds), round(every_s))
    ]


def verdict(name: str, judged: list[Verdict]) -> Verdict:
    return next(one for one in judged if one.limit.name == name)


def test_what_stays_does_not_grow() -> None:
    judged = judge(samples(HOUR_S))
    assert [one.limit for one in judged] == list(LIMITS)
    assert all(one.met for one in judged)
    assert {one.per_hour for one in judged} == {0}


@pytest.mark.parametrize(("mib_per_hour", "met"), [(3.9, True), (4.5, False), (-50, True)])
def test_growth_is_measured_per_hour(mib_per_hour: float, met: bool) -> None:
    memory = verdict("resident_mib", judge(samples(3 * HOUR_S, resident_mib=mib_per_hour)))
    assert memory.per_hour == pytest.approx(mib_per_hour)
    assert memory.met is met


def test_a_leak_shows_in_half_an_hour() -> None:
    judged = judge(samples(HOUR_S / 2, descriptors=60, resident_mib=20))
    assert verdict("descriptors", judged).met is False
    assert verdict("resident_mib", judged).met is False
    assert verdict("tasks", judged).met


def test_a_burst_in_one_sample_is_no_growth() -> None:
    run = samples(HOUR_S)
    run[-1] = {name: 10 * value if name != "at_s" else value for name, value in run[-1].items()}
    assert all(one.met for one in judge(run))


def test_the_warm_up_does_not_count() -> None:
    run = [{**one, "resident_mib": 20.0} if one["at_s"] < 120 else one for one in samples(HOUR_S)]
    assert verdict("resident_mib", judge(run)).met
    assert len(warm(run)) == len(run) - 10


@pytest.mark.parametrize("seconds", [60, LEAST_S])
def test_a_short_run_proves_nothing(seconds: float) -> None:
    assert {one.met for one in judge(samples(seconds, every_s=10, resident_mib=1_000))} == {None}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_samples_are_not_judged(count: int) -> None:
    assert judge(samples(HOUR_S)[:count]) == []


@pytest.mark.load
@pytest.mark.skipif(shutil.which("cc") is None, reason="the long calls are a C program")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="gateway and load need a core each")
def test_a_minute_of_a_few_calls(tmp_path: Path) -> None:
    output = tmp_path / "soak.json"
    words = ["--minutes", "1", "--calls", "6", "--json", str(output)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(output.read_text())
    assert len(report["samples"]) >= 6
    for sample in report["samples"]:
        assert sample["calls"] >= 2  # of the long ones
        assert sample["fallen"] == 0
        assert sample["resident_mib"] > 20
        assert min(sample[name] for name in ("objects", "descriptors", "threads", "tasks")) > 0
    assert {one["what"] for one in report["verdicts"]} == {limit.name for limit in LIMITS}
    assert report["mixed"].keys() & {"short", "long", "interrupted", "closed_by_agent"}
    assert "too short to tell" in done.stdout
