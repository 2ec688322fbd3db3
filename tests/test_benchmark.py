"""The benchmark, small: that it runs, and that its figures are those of calls that were held."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RUN = Path(__file__).parent.parent / "benchmarks" / "run.py"
CALLS = 5
SECONDS = 2

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="the load is a C program")
needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None or not Path("/usr/include/openssl/ssl.h").exists(),
    reason="the load's TLS is OpenSSL's",
)


def run_benchmark(output: Path, *options: str) -> dict[str, list[dict[str, Any]]]:
    """Return the figures of each subject, a round after the other."""
    size = ["--calls", str(CALLS), "--seconds", str(SECONDS), "--rounds", "1", "--json", str(output)]
    done = subprocess.run([sys.executable, RUN, *size, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(output.read_text())
    assert set(report["machine"]) >= {"date", "CPU", "Python", "websockets"}
    results: dict[str, list[dict[str, Any]]] = report["results"][str(CALLS)]
    for subject in results:
        assert subject in done.stdout
    return results


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
def test_the_gateway_is_measured_beside_the_relay(tmp_path: Path) -> None:
    results = run_benchmark(tmp_path / "results.json", "--fresh")
    assert list(results) == ["relay in C", "gateway", "gateway, fresh"]
    for (figures,) in results.values():
        assert_held(figures)
    assert results["relay in C"][0]["ratio"] == 1
    for name in ("gateway", "gateway, fresh"):
        assert results[name][0]["up_lost"] == 0, "what a caller says before the agent is there is kept"


@needs_compiler
@needs_openssl
def test_tls_is_measured_too(tmp_path: Path) -> None:
    (figures,) = run_benchmark(tmp_path / "results.json", "--tls")["gateway, TLS"]
    assert_held(figures)


@needs_compiler
def test_a_gateway_that_does_not_listen_is_an_error_that_says_what_it_said(tmp_path: Path) -> None:
    broken = f"{sys.executable} -c print('no,thanks')"
    size = ["--calls", "1", "--seconds", "1", "--rounds", "1", "--json", str(tmp_path / "results.json")]
    done = subprocess.run(
        [sys.executable, RUN, *size, "--gateway-command", "broken", broken],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "does not listen" in done.stderr
    assert "no,thanks" in done.stderr
