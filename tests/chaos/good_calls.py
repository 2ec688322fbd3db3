"""The good calls: the benchmark's load, callers and agents alike, measured whenever the test asks for it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.trial import build_load, place

LONGEST_WINDOW_S = 60
SETTLE_S = 1


@dataclass(frozen=True, slots=True)
class Heard:
    """What good callers heard in a window; times in ms."""

    seconds: float
    p99_ms: float
    """Lateness of frames on the grid of 20 ms."""
    longest_gap_ms: float
    gaps_over_60_ms: int
    fallen: int
    """Calls that have ended, since the beginning."""
    lost: int
    """Frames of either direction, in this window."""
    load_p99_ms: float
    """Lateness of the load itself."""


class GoodCalls:
    """Calls that are up. Their number is `count`."""

    def __init__(self, process: asyncio.subprocess.Process, count: int) -> None:
        self._process = process
        self.count = count

    async def up(self) -> None:
        await self._line()

    async def measure(self, seconds: float) -> Heard:
        """Listen for so many seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n".encode())
        for _ in ("steady", "over"):
            await self._line()
        figures: dict[str, Any] = json.loads(await self._line())
        return Heard(
            seconds=figures["seconds"],
            p99_ms=figures["lateness_ms"].get("p99", 1000 * seconds),
            longest_gap_ms=figures["gap_ms"].get("max", 1000 * seconds),
            gaps_over_60_ms=figures["gaps_over_60_ms"],
            fallen=figures["fallen"] + figures["refused"],
            lost=figures["up_lost"] + figures["down_lost"],
            load_p99_ms=figures["load_lateness_ms"].get("p99", 1000 * seconds),
        )

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = await self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the load gave up: {(await self._process.stderr.read()).decode()}")
        return line


@cache
def load_program() -> Path:
    """Compile the load, once."""
    return build_load(Path(tempfile.mkdtemp(prefix="chaos-load-"))).program


@asynccontextmanager
async def good_calls(gateway_port: int, agent_port: int, count: int) -> AsyncIterator[GoodCalls]:
    """Hold ``count`` calls while the block runs."""
    arguments = (gateway_port, agent_port, count, LONGEST_WINDOW_S, f"settle={SETTLE_S}", "windows=stdin")
    process = await asyncio.create_subprocess_exec(
        load_program(),
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        calls = GoodCalls(process, count)
        place(process.pid, core=1)
        await calls.up()
        yield calls
    finally:
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()
