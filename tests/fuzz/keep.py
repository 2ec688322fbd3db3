"""Keep the smallest units of ``fuzz-output`` that reach what others don't: `python -m tests.fuzz.keep`.

They replace those in ``tests/fuzz/corpus``, which `make test` replays. libFuzzer's own merge starts its
program anew as an executable, which a Python script isn't.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import audiosocket_gw
from tests.fuzz.run import FOUND
from tests.fuzz.target import CORPUS, MAX_KEPT_BYTES, Target
from tests.fuzz.targets import TARGETS

PACKAGE = str(Path(audiosocket_gw.__file__).parent)

Arc = tuple[CodeType, int, int]
"""A step from one line of the package to another one."""


def main() -> int:
    for name in sys.argv[1:] or TARGETS:
        target = TARGETS[name]
        found = [path.read_bytes() for path in (FOUND / name).glob("*") if path.is_file()]
        kept = list(smallest(target, [*target.corpus(), *found]))
        write(CORPUS / name, kept)
        print(f"{name}: {len(kept)} kept of {len(found)}, {sum(map(len, kept))} bytes", flush=True)
    return 0


def smallest(target: Target, units: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the units that reach what neither the seeds nor smaller units do, while there is room."""
    reached: set[Arc] = set()
    for seed in target.seeds():
        reached |= arcs(target, seed)
    room = MAX_KEPT_BYTES
    for unit in sorted(set(units), key=lambda unit: (len(unit), unit)):
        if len(unit) <= room and (new := arcs(target, unit) - reached):
            reached |= new
            room -= len(unit)
            yield unit


def arcs(target: Target, unit: bytes) -> set[Arc]:
    """Return the steps between lines of the package that the target takes for these bytes."""
    found: set[Arc] = set()

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        line = 0

        def step(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal line
            if event == "line":
                found.add((frame.f_code, line, frame.f_lineno))
                line = frame.f_lineno
            return step

        return step

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        target.check(unit)
    finally:
        sys.settrace(before)
    return found


def write(folder: Path, units: Iterable[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for number, unit in enumerate(units):
        (folder / f"{number:03}").write_bytes(unit)


if __name__ == "__main__":
    sys.exit(main())
