"""The benchmark, small: that it runs, and that its figures are those of calls that were held."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.load

RUN = Path(__file__).parent.parent / "benchmarks" / "run.py"
CALLS = 5
SECONDS = 2

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="the load is a C program")
needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None or not Path("/usr/include/openssl/ssl.h").exists(),
    reason="the load's TLS is OpenSSL's",
)


def run_benchmark(output: Path, scenario: str, *options: str) -> dict[str, Any]:
    """Return the figures and verdicts of each table."""
    size = ["--calls", str(CALLS), "--seconds", str(SECONDS), "--rounds", "1", "--json", str(output)]
    words = [sys.executable, str(RUN), "--scenario", scenario, *size, *options]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(output.read_text())
    assert set(report["machine"]) >= {"date", "CPU", "Python", "websockets"}
    tables: dict[str, Any] = report["scenarios"][scenario]
    for title, table in tables.items():
        assert title in done.stdout
        for verdict in table["targets"]:
            assert verdict["met"] == ("NOT MET" not in _line_of(verdict, done.stdout))
    return tables


def _line_of(verdict: dict[str, Any], output: str) -> str:
    """Return the row of a target; some figures that are not held against one have the same name."""
    rows = (line for line in output.splitlines() if line.startswith(f"| {verdict['what']} "))
    return next(row for row in rows if verdict["limit"] in row)


def assert_held(figures: dict[str, Any]) -> None:
    """All calls were up all the time, nothing was lost, and what takes time took some."""
    assert (figures["calls"], figures["refused"], figures["fallen"]) == (CALLS, 0, 0)
    assert figures["pongs"] == figures["pings"] > 0
    for fault in ("down_lost", "down_repeated", "up_repeated"):
        assert figures[fault] == 0, fault
    expected = CALLS * SECONDS * 50
    for frames in ("lateness_ms", "caller_to_agent_ms"):
        assert figures[frames]["count"] == pytest.approx(expected, rel=0.2)
        assert 0 <= figures[frames]["p50"] <= figures[frames]["p99"] <= figures[frames]["max"]
    assert figures["cpu_ms"] > 0
    assert figures["kib"] > 0
    assert figures["calls_per_s"] > 0


@needs_compiler
@needs_openssl
def test_the_gateway_is_measured_beside_the_relay(tmp_path: Path) -> None:
    (table,) = run_benchmark(tmp_path / "results.json", "density").values()
    rounds = table["rounds"]
    assert list(rounds) == ["relay in C", "gateway", "gateway, fresh", "gateway, TLS"]
    for (figures,) in rounds.values():
        assert_held(figures)
    assert rounds["relay in C"][0]["ratio"] == 1
    for name in ("gateway", "gateway, fresh", "gateway, TLS"):
        assert rounds[name][0]["up_lost"] == 0, "what a caller says before the agent is there is kept"
    measured = {verdict["what"]: verdict["measured"] for verdict in table["targets"]}
    ratio = rounds["gateway"][0]["cpu_ms"] / rounds["relay in C"][0]["cpu_ms"]
    assert measured["CPU per call against the relay"] == pytest.approx(ratio)


@needs_compiler
@pytest.mark.parametrize("source", ["load.c", "relay.c"])
def test_conversions_of_floats_are_explicit(source: str) -> None:
    """A conditional of ``INT64_MAX`` and a double is a double, 2^63, which doesn't fit into int64_t.

    GCC 12 made the largest number of it, GCC 16 the smallest, and every reply was interrupted at once.
    """
    checks = ["-fsyntax-only", "-Wall", "-Wextra", "-Wfloat-conversion", "-Werror"]
    done = subprocess.run(["cc", *checks, RUN.parent / source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_compiler
@needs_openssl
def test_ten_minutes_of_speech_wait_and_are_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Undefined behaviour, such as converting a double beyond int64_t, ends the load with every compiler.
    monkeypatch.setenv("CFLAGS", "-fsanitize=undefined,float-cast-overflow -fno-sanitize-recover=all")
    (table,) = run_benchmark(tmp_path / "results.json", "queue").values()
    (figures,) = table["rounds"]["gateway"]
    assert figures["calls"] == 10
    assert figures["down_lost"] == figures["down_repeated"] == figures["underruns"] == 0
    (verdict,) = table["targets"]
    assert verdict["measured"] >= 0.9  # the first seconds of it have been heard


@needs_compiler
@needs_openssl
def test_another_gateway_can_be_measured(tmp_path: Path) -> None:
    own = f"{sys.executable} -m audiosocket_gw serve"
    (table,) = run_benchmark(tmp_path / "results.json", "peers", "--gateway-command", "another", own).values()
    assert list(table["rounds"]) == ["relay in C", "gateway", "another"]
    assert_held(table["rounds"]["another"][0])


@needs_compiler
@needs_openssl
def test_peers_hold_calls_too(tmp_path: Path) -> None:
    (table,) = run_benchmark(tmp_path / "results.json", "peers", "--peers").values()
    assert list(table["rounds"]) == ["relay in C", "gateway", "official SDK"]
    assert table["rounds"]["official SDK"][0]["calls"] == CALLS


@needs_compiler
@needs_openssl
def test_a_gateway_that_does_not_listen_is_an_error_that_says_what_it_said(tmp_path: Path) -> None:
    broken = f"{sys.executable} -c print('no,thanks')"
    size = ["--calls", "1", "--seconds", "1", "--rounds", "1", "--json", str(tmp_path / "results.json")]
    done = subprocess.run(
        [sys.executable, RUN, *size, "--scenario", "peers", "--gateway-command", "broken", broken],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "does not listen" in done.stderr
    assert "no,thanks" in done.stderr
