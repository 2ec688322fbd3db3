"""Where the time of a gateway goes, by function: sampled by py-spy, or counted by cProfile without it."""

from __future__ import annotations

import dataclasses
import os
import pstats
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from scenarios import GATEWAY, PINNED, Bench, Column
from trial import GatewayProcess, Trial, TrialError, run_trial

SAMPLES_PER_S = 200
TOP = 30

EVENT_LOOP = "_run_once"
"""What is in every stack of the event loop's thread."""


def profile(bench: Bench, folder: Path, calls: int) -> str:
    """Run a trial and return a table: the share of the time in each function itself, and below it.

    Each 20 ms are forwarded at once, unless the environment sets ``AUDIO_CHUNK_MS``.
    """
    settings = {} if "AUDIO_CHUNK_MS" in os.environ else PINNED
    column = bench.of_gateway(GATEWAY, settings, Trial(calls, bench.seconds))
    py_spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if py_spy is not None:
        return _sampled(py_spy, column, folder)
    return _counted(column, folder)


def _sampled(py_spy: str, column: Column, folder: Path) -> str:
    stacks = folder / "stacks.txt"
    seconds = column.trial.seconds
    samplers: list[subprocess.Popen[bytes]] = []

    def sample(gateway: GatewayProcess) -> None:
        words = [py_spy, "record", "--format", "raw", "--rate", str(SAMPLES_PER_S)]
        options = ["--duration", str(round(seconds)), "--output", str(stacks), "--pid", str(gateway.pid)]
        # Without stopping the process for each sample: it has a clock to keep.
        samplers.append(
            subprocess.Popen([*words, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )

    run_trial(column.subject, folder, Trial(column.trial.calls, seconds + 1), on_steady=sample)
    for sampler in samplers:
        sampler.wait()
    if not stacks.exists():
        raise TrialError("py-spy has sampled nothing; it needs the right to trace processes (root)")
    return _table(stacks.read_text())


def _table(stacks: str) -> str:
    """Sum up py-spy's stacks: ``outermost;...;innermost count`` on each line."""
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    total = 0
    for line in stacks.splitlines():
        stack, _, samples = line.rpartition(" ")
        if EVENT_LOOP not in stack:
            continue  # a thread that waits for work
        functions = [_function(frame) for frame in stack.split(";")]
        own[functions[-1]] += int(samples)
        below.update(dict.fromkeys(functions, int(samples)))
        total += int(samples)
    rows = [f"{total} samples", "  self   with what it calls"]
    rows += [
        f"{own[name] / total:6.1%} {below[name] / total:6.1%}  {name}" for name, _ in own.most_common(TOP)
    ]
    return "\n".join(rows)


def _function(frame: str) -> str:
    """``name (path:line)`` without the line, and with the end of the path only."""
    name, _, place = frame.rpartition(" (")
    return f"{name}  {'/'.join(place.partition(':')[0].split('/')[-2:])}"


def _counted(column: Column, folder: Path) -> str:
    output = folder / "profile.out"
    python, _, rest = column.subject.command.partition(" -m ")
    command = f"{python} -m cProfile -o {output} -m {rest}"
    run_trial(dataclasses.replace(column.subject, command=command, warm=False), folder, column.trial)
    limit = time.monotonic() + 10
    while not output.exists() and time.monotonic() < limit:
        time.sleep(0.1)
    text = folder / "profile.txt"
    with text.open("w") as stream:
        pstats.Stats(str(output), stream=stream).strip_dirs().sort_stats("tottime").print_stats(TOP)
    return text.read_text()
