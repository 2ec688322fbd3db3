"""The engine leaves nothing behind, however the tests end."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.containers.engine import CGROUPS, Engine, cache_directory
from tests.containers.stack import PROJECT, wait_until

pytestmark = pytest.mark.container

PROGRAM = """
    import signal, sys, time
    from pathlib import Path
    from tests.containers.engine import Engine, cache_directory

    # Whoever was started in the background of a script has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Engine(cache_directory(), Path(sys.argv[1])) as engine:
        print(*(process.pid for process in engine._processes), engine._pid, flush=True)
        time.sleep(600)
"""


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie doesn't."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.usefixtures("engine")  # skips where there can be none
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_of_an_engine_whose_tests_are_killed(tmp_path: Path, ending: signal.Signals) -> None:
    tests = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), tmp_path],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with tests:
        assert tests.stdout is not None
        processes = [int(pid) for pid in tests.stdout.readline().split()]
        assert len(processes) == 3
        assert all(map(alive, processes))
        tests.send_signal(ending)
    wait_until(lambda: not any(map(alive, processes)), lambda: f"of {processes} some are alive")
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    # The next one takes over, and removes what only it can.
    with Engine(cache_directory(), tmp_path) as engine:
        assert "Server Version" in engine.run("docker", "info")
    group = f"audiosocket-gw-{tmp_path.stat().st_ino}"
    assert not [*CGROUPS.glob(group), *CGROUPS.glob(f"*/{group}")]
