"""Hold mixed calls for hours, with faults among them, and say whether the gateway grows.

`python -m benchmarks.soak --minutes 60 --calls 200`; see docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.growth import Verdict, judge
from benchmarks.mixed_calls import MixedCalls
from benchmarks.report import machine, markdown
from benchmarks.trial import free_port
from tests.chaos.backend import backend
from tests.chaos.gateway import GatewayUnderAttack, gateway_under_attack
from tests.chaos.good_calls import Heard, good_calls
from tests.harness.fake_asterisk import PASSWORD, USERNAME, FakeAsterisk, fake_asterisk

WINDOW_S = 30.0
WINDOWS_PER_ROUND = 10
"""The long calls are all hung up, and placed anew, after so many windows."""

MIXED = 0.1
"""Part of the calls that are mixed; the others are long, and measured frame by frame."""

LEAST_MIXED = 4

AMI_UP_S = 90.0
AMI_AWAY_S = 5.0

RECORDS_MB = 500
"""What is kept of recordings and of flight recordings; those of calls in progress come on top."""

FAULTS = ("gaps_over_60_ms", "fallen", "lost")
"""What no good call may notice. They are counted, and are no growth."""

COLUMNS = {
    "minute": "{minute:.1f}",
    "RSS, MiB": "{resident_mib:.1f}",
    "objects": "{objects:,.0f}",
    "descriptors": "{descriptors:.0f}",
    "threads": "{threads:.0f}",
    "tasks": "{tasks:.0f}",
    "calls": "{calls:.0f}",
    "begun": "{begun:,.0f}",
    "late p99, ms": "{p99_ms:.1f}",
    "longest gap, ms": "{gap_ms:.0f}",
    "held up, ms": "{hold_up_ms:.0f}",
    "fallen / lost": "{fallen:.0f} / {lost:.0f}",
}

Sample = dict[str, float]


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="audiosocket-gw-soak-") as folder:
        samples, count = asyncio.run(soak(Path(folder), 60 * options.minutes, options.calls))
    verdicts = judge(samples)
    faults = {name: sum(sample[name] for sample in samples) for name in FAULTS}
    print(table_of_verdicts(verdicts))
    print(f"\nMixed calls: {', '.join(f'{number:,} {name}' for name, number in sorted(count.items()))}")
    print("Good calls noticed: " + (", ".join(f"{number:g} {name}" for name, number in faults.items())))
    report = {
        "machine": machine(),
        "calls": options.calls,
        "samples": samples,
        "mixed": count,
        "faults": faults,
        "verdicts": [
            {"what": one.limit.name, "grown": one.grown, "per_hour": one.per_hour, "met": one.met}
            for one in verdicts
        ],
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))
    print(f"All figures: {options.json}")
    return 1 if any(one.met is False for one in verdicts) or faults["fallen"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long; below 25 growth isn't judged")
    parser.add_argument("--calls", type=int, default=200, help="at the same time")
    parser.add_argument("--json", type=Path, default=Path("bench-output/soak.json"), help="where to write")
    return parser.parse_args()


async def soak(folder: Path, seconds: float, calls: int) -> tuple[list[Sample], dict[str, int]]:
    """Hold the calls; return a sample for each window, and the number of mixed calls of each kind."""
    agent_port = free_port()
    at_a_time = min(max(LEAST_MIXED, round(MIXED * calls)), calls - 1)
    async with backend(agent_port) as servers, fake_asterisk() as pbx:
        settings = {
            "MAX_CALLS": str(2 * calls + 50),  # those that the gateway is closing count, too
            "MAX_CALL_SECONDS": "0",
            "RECORD_DIR": str(folder / "records"),
            "RECORD_MAX_MB": str(RECORDS_MB),
            "FLIGHT_DIR": str(folder / "flights"),
            "FLIGHT_MAX_MB": str(RECORDS_MB),
            "AMI_HOST": f"127.0.0.1:{pbx.port}",
            "AMI_USERNAME": USERNAME,
            "AMI_PASSWORD": PASSWORD,
        }
        async with gateway_under_attack(folder, settings | servers.settings) as gateway:
            mixed = MixedCalls(gateway.port, servers, pbx)
            print(row(list(COLUMNS)), row(["---"] * len(COLUMNS)), sep="\n", flush=True)
            async with _running(mixed.play(at_a_time)), _running(_restart(pbx)):
                samples = await _watch(gateway, agent_port, calls - at_a_time, mixed, seconds)
            return samples, dict(mixed.count)


@asynccontextmanager
async def _running(work: Any) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _restart(pbx: FakeAsterisk) -> None:
    """Let the manager interface go away, and come back, for ever."""
    while True:
        await asyncio.sleep(AMI_UP_S)
        await pbx.stop()
        await asyncio.sleep(AMI_AWAY_S)
        await pbx.start()
        pbx.received.clear()
        pbx.set_on.clear()


async def _watch(
    gateway: GatewayUnderAttack, agent_port: int, calls: int, mixed: MixedCalls, seconds: float
) -> list[Sample]:
    began_at = time.monotonic()
    samples: list[Sample] = []
    window_s = min(WINDOW_S, seconds / 6)
    while time.monotonic() - began_at < seconds:
        async with good_calls(gateway.port, agent_port, calls) as good:
            fallen_before = 0
            for _ in range(WINDOWS_PER_ROUND):
                heard = await good.measure(window_s)
                sample = await _sample(gateway, heard, time.monotonic() - began_at)
                sample["fallen"], fallen_before = heard.fallen - fallen_before, heard.fallen
                sample["begun"] = sum(mixed.count.values())
                samples.append(sample)
                print(row([form.format_map(sample) for form in COLUMNS.values()]), flush=True)
                if sample["at_s"] >= seconds:
                    break
    return samples


async def _sample(gateway: GatewayUnderAttack, heard: Heard, at_s: float) -> Sample:
    loop = await gateway.ask()
    objects = await gateway.objects()
    await gateway.ask()  # forget that: it is no work of the gateway's own
    return {
        "at_s": at_s,
        "minute": at_s / 60,
        "resident_mib": gateway.resident_mib(),
        "objects": objects,
        "descriptors": gateway.descriptors(),
        "threads": loop.threads,
        "tasks": loop.tasks,
        "calls": loop.calls,
        "p99_ms": heard.p99_ms,
        "gap_ms": heard.longest_gap_ms,
        "gaps_over_60_ms": heard.gaps_over_60_ms,
        "lost": heard.lost,
        "load_p99_ms": heard.load_p99_ms,
        "hold_up_ms": loop.hold_up_ms,
        "taken_ms": loop.taken_ms,
    }


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(str.rjust, cells, map(len, COLUMNS)))} |"


def table_of_verdicts(verdicts: Sequence[Verdict]) -> str:
    words = {True: "met", False: "NOT MET", None: "too short to tell"}
    lines = [["growth after the warm-up", "in the run", "per hour", "limit per hour", ""]]
    for one in verdicts:
        limit = one.limit
        lines.append(
            [limit.unit, f"{one.grown:+.1f}", f"{one.per_hour:+.1f}", f"{limit.per_hour:g}", words[one.met]]
        )
    return markdown(lines)


if __name__ == "__main__":
    sys.exit(main())
