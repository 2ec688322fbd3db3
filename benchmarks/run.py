"""Measure what a call costs and how late its sound is, against a relay in C; see docs/performance.md."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from profiling import profile
from trial import (
    OWN_COMMAND,
    Figures,
    Subject,
    TrialError,
    build_load,
    build_relay,
    build_tls_load,
    run_trial,
)

RELAY = "relay in C"

Rounds = dict[str, list[Figures]]
"""The figures of each subject, a round after the other."""

ROWS = {
    "CPU per call, ms/s": ("{:.2f}", "cpu_ms"),
    "CPU against the relay": ("{:.2f}", "ratio"),
    "memory per call, KiB": ("{:.0f}", "kib"),
    "lateness p50 / p99 / max, ms": (
        "{:.1f} / {:.1f} / {:.1f}",
        *(f"lateness_ms.{p}" for p in ("p50", "p99", "max")),
    ),
    "gaps over 40 / 60 ms": ("{:.0f} / {:.0f}", "gaps_over_40_ms", "gaps_over_60_ms"),
    "frames per second": ("{:.3f}", "frames_per_s.p50"),
    "caller to agent p50 / p99, ms": ("{:.2f} / {:.2f}", "caller_to_agent_ms.p50", "caller_to_agent_ms.p99"),
    "onset of a reply p50 / p99, ms": ("{:.1f} / {:.1f}", "onset_ms.p50", "onset_ms.p99"),
    "flush p50 / p99, ms": ("{:.1f} / {:.1f}", "flush_ms.p50", "flush_ms.p99"),
    "calls set up per second": ("{:.0f}", "calls_per_s"),
    "calls up / refused / fallen": ("{:.0f} / {:.0f} / {:.0f}", "calls", "refused", "fallen"),
    "to agent: lost / repeated": ("{:.0f} / {:.0f}", "up_lost", "up_repeated"),
    "to caller: lost / repeated / underrun": (
        "{:.0f} / {:.0f} / {:.0f}",
        "down_lost",
        "down_repeated",
        "underruns",
    ),
    "the load's own CPU / lateness p99, ms": ("{:.0%} / {:.1f}", "load_cpu", "load_lateness_ms.p99"),
    "time that the host took, of one core": ("{:.1%}", "stolen"),
}
"""What is printed: a format, and the names of the figures in it. Medians of the rounds."""


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="audiosocket-gw-bench-") as name:
        folder = Path(name)
        try:
            subjects = _subjects(options, folder)
            if options.profile:
                for calls in options.calls:
                    print(profile(subjects[1], folder, calls=calls, seconds=options.seconds))
                return 0
            report = {"machine": machine(), "seconds": options.seconds, "results": {}}
            print("; ".join(f"{name} {value}" for name, value in report["machine"].items()))
            for calls in options.calls:
                rounds = run_rounds(subjects, folder, calls, options.seconds, options.rounds)
                report["results"][calls] = rounds
                print(table(rounds, f"{calls} calls"), flush=True)
        except TrialError as error:
            print(f"benchmark: {error}", file=sys.stderr)
            return 1
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))
    print(f"All figures: {options.json}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[100, 200], help="calls at the same time")
    parser.add_argument("--seconds", type=float, default=6.0, help="measured time of a trial")
    parser.add_argument("--rounds", type=int, default=3, help="trials of each; the medians are printed")
    parser.add_argument("--tls", action="store_true", help="measure the gateway with TLS to the agent, too")
    parser.add_argument("--fresh", action="store_true", help="measure a fresh process, too")
    parser.add_argument("--profile", action="store_true", help="say where the gateway's time goes, instead")
    parser.add_argument(
        "--gateway-command",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "COMMAND"),
        help="measure another gateway, too; COMMAND may hold {port} and {agent_port}",
    )
    parser.add_argument("--json", type=Path, default=Path("bench-output/results.json"), help="where to write")
    return parser.parse_args()


def _subjects(options: argparse.Namespace, folder: Path) -> list[Subject]:
    """Return what to measure: the relay, the gateway, and what the options add."""
    load = build_load(folder)
    subjects = [Subject(RELAY, build_relay(folder), load), Subject("gateway", OWN_COMMAND, load)]
    if options.fresh:
        subjects.append(Subject("gateway, fresh", OWN_COMMAND, load, warm=False))
    if options.tls:
        subjects.append(Subject("gateway, TLS", OWN_COMMAND, build_tls_load(folder)))
    return subjects + [Subject(name, command, load) for name, command in options.gateway_command]


def run_rounds(subjects: Sequence[Subject], folder: Path, calls: int, seconds: float, rounds: int) -> Rounds:
    """Measure one after the other, and all of it again: what the machine does meanwhile meets them alike."""
    results: Rounds = {subject.name: [] for subject in subjects}
    for _ in range(rounds):
        for subject in subjects:
            figures = run_trial(subject, folder, calls=calls, seconds=seconds)
            results[subject.name].append(figures)
            figures["ratio"] = figures["cpu_ms"] / results[RELAY][-1]["cpu_ms"]
    return results


def table(rounds: Rounds, title: str) -> str:
    """Return the medians as a Markdown table."""
    lines = [[title, *rounds], ["---"] * (len(rounds) + 1)]
    for row, (form, *names) in ROWS.items():
        cells = [form.format(*(_median(figures, name) for name in names)) for figures in rounds.values()]
        lines.append([row, *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [" | ".join(map(str.ljust, line, widths)) for line in lines]
    return "\n" + "\n".join(f"| {line} |" for line in padded)


def _median(rounds: Sequence[Figures], name: str) -> float:
    """``name`` may lead into an inner dictionary, which lacks it when there was nothing to count."""
    outer, _, inner = name.partition(".")
    values: list[float] = [
        figures[outer].get(inner, float("nan")) if inner else figures[outer] for figures in rounds
    ]
    return statistics.median(values)


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


if __name__ == "__main__":
    sys.exit(main())
