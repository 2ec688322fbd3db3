"""Makes the page of a file in a process of its own, which can't hold up the calls of the gateway.

Reading a long call takes seconds of Python's lock and much memory: in a thread it would make frames late, and
a hostile or huge file could end all calls.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from audiosocket_gw.call_page.files import PageError, page_of_file

LIMIT_S = 60
MAX_MEMORY = 2**30
"""Limits of the process: seconds, also of CPU time, and bytes of data."""

NICENESS = 15

MAX_PAGE = 32 * 2**20
"""Bytes of a page without audio; `strips` and `marks` keep it far below."""


def page_of_file_apart(path: Path) -> bytes:
    """Return the page of a flight recording or a recording. It blocks: call it in a thread.

    Raises:
        PageError: there is none; see `page_of_file`; or it takes too long.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "audiosocket_gw.call_page", str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise PageError(f"making its page took longer than {LIMIT_S} s") from None
    except OSError as error:
        raise PageError(f"no process can be started for its page: {error.strerror}") from None
    if done.returncode or len(done.stdout) > MAX_PAGE:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise PageError(lines[-1] if lines else f"making its page failed with status {done.returncode}")
    return done.stdout


def main(arguments: list[str]) -> int:
    """Write the page of a file to standard output, within limits; return the exit status."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
    try:
        page = page_of_file(Path(arguments[0]))
    except PageError as error:
        print(error, file=sys.stderr)
        return 1
    except MemoryError:
        print("the call is too long for the memory that a page may use", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(page)
    return 0
