"""Fuzz the targets in turn: `python -m tests.fuzz.run --minutes 5`; needs atheris (`make fuzz` installs it).

What breaks a target is written to ``fuzz-output/TARGET-crash-...``, and bytes that reach new code to
``fuzz-output/corpus/TARGET``, from where `tests.fuzz.keep` takes some into ``tests/fuzz/corpus``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.target import Target

OUTPUT = Path("fuzz-output")
FOUND = OUTPUT / "corpus"

HANGS_AFTER_S = 10
"""Bytes that keep a target busy for so long are a crash, too: each takes milliseconds."""

MEMORY_MB = 1_024

_RUNS = re.compile(r"^stat::number_of_executed_units: (\d+)$", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+)")


@dataclass(frozen=True, slots=True)
class Search:
    """What came of fuzzing one target."""

    name: str
    runs: int
    covered: int
    """Edges of code that were reached."""
    broke: bool


def main() -> int:
    options = _options()
    if options.one:
        fuzz_here(options.one, [*options.libfuzzer, *options.targets])
    names = options.targets or target_names()
    seconds = max(1, round(60 * options.minutes / len(names)))
    searches = []
    for name in names:
        searches.append(search(name, seconds))
        print(row(searches[-1]), flush=True)
    print(f"{sum(one.runs for one in searches):,} runs in all")
    broken = [one.name for one in searches if one.broke]
    if broken:
        print(f"broken: {', '.join(broken)}; see {OUTPUT}", file=sys.stderr)
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="names of targets; all")
    parser.add_argument("--minutes", type=float, default=5.0, help="for all targets together")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options, libfuzzer = parser.parse_known_args()
    options.libfuzzer = libfuzzer
    return options


def target_names() -> list[str]:
    """Ask another process: this one imports nothing that is to be instrumented."""
    words = [sys.executable, "-c", "from tests.fuzz.targets import TARGETS; print(*TARGETS)"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def row(one: Search) -> str:
    return f"{one.name:<24} {one.runs:>10,} runs  {one.covered:>6} edges  {'BROKEN' if one.broke else 'ok'}"


def search(name: str, seconds: int) -> Search:
    """Fuzz one target in a process of its own."""
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    log = OUTPUT / f"{name}.log"
    done = _libfuzzer(
        name,
        f"-max_total_time={seconds}",
        f"-timeout={HANGS_AFTER_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={OUTPUT}/{name}-",
        "-len_control=20",
        "-print_final_stats=1",
        str(found),
    )
    log.write_text(done)
    runs, covered = _RUNS.search(done), _COVERED.findall(done)
    broke = "ERROR: libFuzzer" in done or "Uncaught Python exception" in done or not runs
    return Search(name, int(runs[1]) if runs else 0, int(covered[-1]) if covered else 0, broke)


def _libfuzzer(name: str, *arguments: str) -> str:
    words = [sys.executable, "-m", "tests.fuzz.run", "--one", name, *arguments]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.stdout.decode(errors="replace")


def fuzz_here(name: str, arguments: Sequence[str]) -> None:
    """Fuzz in this process, and end it."""
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        raise SystemExit("atheris is missing: make fuzz installs it (Python 3.11 to 3.14, x86-64)") from None
    with atheris.instrument_imports(include=["audiosocket_gw"], enable_loader_override=False):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    target = targets[name]
    with tempfile.TemporaryDirectory() as folder:
        seeds, words = Path(folder, "seeds"), Path(folder, "words")
        seeds.mkdir()
        for number, seed in enumerate([*target.seeds(), *target.corpus()]):
            (seeds / str(number)).write_bytes(seed)
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        extra = [f"-max_len={target.max_bytes}", *([f"-dict={words}"] if target.words else [])]
        atheris.Setup([sys.argv[0], *extra, *arguments, str(seeds)], keeping_what_breaks(target))
        atheris.Fuzz()


def keeping_what_breaks(target: Target) -> Callable[[bytes], None]:
    """Return the check; the bytes that break it are written at once, under libFuzzer's name.

    libFuzzer writes them, too, but only if the interpreter then ends as it should.
    """

    def check(data: bytes) -> None:
        try:
            target.check(data)
        except BaseException:
            OUTPUT.mkdir(exist_ok=True)
            name = f"{target.name}-crash-{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"
            (OUTPUT / name).write_bytes(data)
            raise

    return check


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
