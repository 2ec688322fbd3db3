"""Does the HTTP surface make frames late? Compares windows with readers and without, in one process.

`python -m benchmarks.http_load --calls 300`; see docs/performance.md. The readers: a page (the events of all
calls, and the list every second), ten pollers of /calls and /metrics once a second, and one that reads lists
without a pause, at 10 MB/s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import machine, markdown
from benchmarks.trial import free_port, stolen_time_s
from tests.chaos.backend import backend
from tests.chaos.gateway import gateway_under_attack
from tests.chaos.good_calls import GoodCalls, good_calls

POLLERS = 10
POLL_S = 1.0
SLOW_BYTES_PER_S = 10_000_000
CHUNK_BYTES = 65_536

MAX_RATIO = 1.2
"""What the p99 of the lateness may be with readers, against none."""

Window = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a window")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of windows; the medians count")
    parser.add_argument(
        "--json", type=Path, default=Path("bench-output/http_load.json"), help="where to write"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="audiosocket-gw-http-") as folder:
        windows, answers = asyncio.run(measure(Path(folder), options.calls, options.rounds, options.seconds))
    ratio = print_report(windows, answers)
    report = {"machine": machine(), "calls": options.calls, "windows": windows, "ratio": ratio}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))
    print(f"All figures: {options.json}")
    return 0 if ratio <= MAX_RATIO else 1


async def measure(folder: Path, calls: int, rounds: int, seconds: float) -> tuple[list[Window], Counter[str]]:
    """Return the windows, in pairs: without readers, and with them; and what the readers got."""
    agent_port, http_port = free_port(), free_port()
    windows: list[Window] = []
    answers: Counter[str] = Counter()
    async with backend(agent_port) as servers:
        settings = {"MAX_CALLS": str(2 * calls), "REFUSE_OVERLOAD": "false", "HTTP_PORT": str(http_port)}
        async with (
            gateway_under_attack(folder, settings | servers.settings) as gateway,
            good_calls(gateway.port, agent_port, calls) as good,
        ):
            # This process shares the load's core, and leaves the gateway its own.
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
            for _ in range(rounds):
                windows.append(await _window("none", good, gateway.pid, seconds))
                async with readers(http_port, answers):
                    windows.append(await _window("readers", good, gateway.pid, seconds))
    return windows, answers


async def _window(name: str, calls: GoodCalls, pid: int, seconds: float) -> Window:
    cpu, stolen, began = _cpu_s(pid), stolen_time_s(), time.monotonic()
    heard = await calls.measure(seconds)
    wall = time.monotonic() - began
    return asdict(heard) | {
        "readers": name,
        "busy": (_cpu_s(pid) - cpu) / wall,
        "stolen": (stolen_time_s() - stolen) / wall,
    }


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


# The readers


@asynccontextmanager
async def readers(port: int, answers: Counter[str]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(_follow(port, answers)),
            tasks.create_task(_poll(port, ["/calls", "/load"], answers, 0.5)),
            tasks.create_task(_read_slowly(port, answers)),
            *(
                tasks.create_task(_poll(port, ["/calls", "/metrics"], answers, number / POLLERS))
                for number in range(POLLERS)
            ),
        ]
        try:
            await asyncio.sleep(0.5)
            yield
        finally:
            for task in running:
                task.cancel()


async def _poll(port: int, paths: list[str], answers: Counter[str], phase_s: float) -> None:
    await asyncio.sleep(phase_s)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            for path in paths:
                await _get(path, reader, writer, answers)
            await asyncio.sleep(POLL_S)
    finally:
        writer.close()


async def _read_slowly(port: int, answers: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            await _get("/calls", reader, writer, answers, name="slow /calls", bytes_per_s=SLOW_BYTES_PER_S)
    finally:
        writer.close()


async def _follow(port: int, answers: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    try:
        while chunk := await reader.read(CHUNK_BYTES):
            answers["events"] += chunk.count(b"\nevent: ")
    finally:
        writer.close()


async def _get(
    path: str,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answers: Counter[str],
    *,
    name: str = "",
    bytes_per_s: float = float("inf"),
) -> None:
    began = time.monotonic()
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    left = length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    while left:
        left -= len(await reader.read(min(left, CHUNK_BYTES)))
        await asyncio.sleep(began + (length - left) / bytes_per_s - time.monotonic())
    answers[f"{name or path} {head.split()[1].decode()}"] += 1
    answers["bytes"] += length


# The report


def print_report(windows: list[Window], answers: Counter[str]) -> float:
    """Print the figures; return the ratio of the medians of the p99 lateness."""
    head = [
        "readers",
        "p99, ms",
        "longest gap, ms",
        "gaps > 60 ms",
        "lost",
        "busy",
        "load's own p99, ms",
        "stolen",
    ]
    rows = [
        [
            each["readers"],
            f"{each['p99_ms']:.2f}",
            f"{each['longest_gap_ms']:.0f}",
            str(each["gaps_over_60_ms"]),
            str(each["lost"]),
            f"{each['busy']:.0%}",
            f"{each['load_p99_ms']:.2f}",
            f"{each['stolen']:.0%}",
        ]
        for each in windows
    ]
    print(markdown([head, *rows]))
    print("Answers: " + ", ".join(f"{count:,} {name}" for name, count in sorted(answers.items())))
    quiet, read = (
        median(each["p99_ms"] for each in windows if each["readers"] == name) for name in ("none", "readers")
    )
    print(
        f"p99 lateness, medians: {quiet:.2f} ms without readers, {read:.2f} ms with: ratio {read / quiet:.2f}"
    )
    return float(read / quiet)


if __name__ == "__main__":
    sys.exit(main())
