"""Measure what a call costs and how late its audio is, against a relay in C; see docs/performance.md."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers import PEERS
from profiling import profile
from report import machine, markdown
from scenarios import RELAY, SCENARIOS, Bench, Rounds, Table, median_of
from trial import TrialError

ROWS = {
    "CPU per call, ms/s": ("{:.2f}", "cpu_ms"),
    "CPU against the relay": ("{:.2f}", "ratio"),
    "busy, of one core": ("{:.0%}", "busy"),
    "memory per call, KiB": ("{:.0f}", "kib"),
    "lateness p50 / p99 / max, ms": (
        "{:.1f} / {:.1f} / {:.1f}",
        *(f"lateness_ms.{p}" for p in ("p50", "p99", "max")),
    ),
    "gaps over 40 / 60 ms": ("{:.0f} / {:.0f}", "gaps_over_40_ms", "gaps_over_60_ms"),
    "frames per second": ("{:.3f}", "frames_per_s.p50"),
    "caller to agent p50 / p99, ms": ("{:.2f} / {:.2f}", "caller_to_agent_ms.p50", "caller_to_agent_ms.p99"),
    "onset of a reply p50 / p99, ms": ("{:.1f} / {:.1f}", "onset_ms.p50", "onset_ms.p99"),
    "stop p50 / p99, ms": ("{:.1f} / {:.1f}", "flush_ms.p50", "flush_ms.p99"),
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
    "waited for its core / taken by the host": ("{:.1%} / {:.1%}", "waited", "stolen"),
}
"""What is printed: a format, and the names of the figures in it. Medians of the rounds."""


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="audiosocket-gw-bench-") as name:
        folder = Path(name)
        try:
            bench = Bench.build(folder, options.seconds, options.calls, _others(options))
            if options.profile:
                for calls in options.calls:
                    print(profile(bench, folder, calls))
                return 0
            report = _measure(options, bench, folder)
        except TrialError as error:
            print(f"benchmark: {error}", file=sys.stderr)
            return 1
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))
    print(f"\nAll figures: {options.json}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--scenario", nargs="+", choices=SCENARIOS, default=[], help="what to measure; all but peers"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round, 2 s each: rough figures in 3 minutes"
    )
    parser.add_argument("--calls", type=int, nargs="+", default=[100, 200], help="of density and peers")
    parser.add_argument("--seconds", type=float, default=4.0, help="measured time of a trial")
    parser.add_argument("--rounds", type=int, default=3, help="trials of each; the medians are printed")
    parser.add_argument("--profile", action="store_true", help="say where the gateway's time goes, instead")
    parser.add_argument(
        "--peers", action="store_true", help="measure other gateways, too; see benchmarks/peers"
    )
    parser.add_argument(
        "--gateway-command",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "COMMAND"),
        help="measure another gateway, too; COMMAND may hold {port} and {agent_port}",
    )
    parser.add_argument("--json", type=Path, default=Path("bench-output/results.json"), help="where to write")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 2.0
    with_others = options.peers or options.gateway_command
    options.scenario = options.scenario or (["peers"] if with_others else [*SCENARIOS][:-1])
    return options


def _others(options: argparse.Namespace) -> list[tuple[str, str]]:
    return [*(PEERS.items() if options.peers else ()), *map(tuple, options.gateway_command)]


def _measure(options: argparse.Namespace, bench: Bench, folder: Path) -> dict[str, Any]:
    """Measure, and print on the way; return all figures."""
    report: dict[str, Any] = {"machine": machine(), "scenarios": {}}
    print("; ".join(f"{name} {value}" for name, value in report["machine"].items()))
    missed = []
    for name in options.scenario:
        for table in SCENARIOS[name](bench):
            rounds = table.measure(folder, options.rounds)
            verdicts = judge(table, rounds)
            missed += [f"{table.title}: {verdict['what']}" for verdict in verdicts if not verdict["met"]]
            report["scenarios"].setdefault(name, {})[table.title] = {"rounds": rounds, "targets": verdicts}
            print(table_of_figures(rounds, table.title), flush=True)
            print(table_of_targets(verdicts), flush=True)
    print("\nNot met: " + ("; ".join(missed) or "nothing"))
    return report


def judge(table: Table, rounds: Rounds) -> list[dict[str, Any]]:
    """Hold what was measured against the targets."""
    values = [(target, target.measure(rounds)) for target in table.targets]
    return [
        {
            "what": target.what,
            "limit": f"at {'least' if target.at_least else 'most'} {target.limit:g}",
            "measured": value,
            "met": target.is_met(value),
        }
        for target, value in values
    ]


def table_of_figures(rounds: Rounds, title: str) -> str:
    """Return the medians as a Markdown table."""
    for figures in rounds.values():
        for number, one in enumerate(figures):
            relay = rounds[RELAY][number] if RELAY in rounds else {"cpu_ms": float("nan")}
            one["ratio"] = one["cpu_ms"] / relay["cpu_ms"]
    lines = [[title, *rounds]]
    for row, (form, *names) in ROWS.items():
        cells = [form.format(*(median_of(figures, name) for name in names)) for figures in rounds.values()]
        lines.append([row, *cells])
    return markdown(lines)


def table_of_targets(verdicts: Sequence[dict[str, Any]]) -> str:
    if not verdicts:
        return ""
    lines = [["target", "limit", "measured", ""]]
    for verdict in verdicts:
        mark = "met" if verdict["met"] else "NOT MET"
        lines.append([verdict["what"], verdict["limit"], f"{verdict['measured']:.3g}", mark])
    return markdown(lines)


if __name__ == "__main__":
    sys.exit(main())
