"""Makes call pages in a process of its own, which can't hold up the calls of the gateway.

Reading a long call takes seconds of Python's lock and much memory: in a thread it would make frames late, and
a hostile or huge file could end all calls.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from audiosocket_gw.call_page.files import PageError, find_call, page_of_call

LIMIT_S = 60
MAX_MEMORY = 2**30
"""Limits of the process: seconds, also of CPU time, and bytes of data."""

NICENESS = 15

MAX_PAGE = 32 * 2**20
"""Bytes of a page; `strips`, `marks` and `transcript` keep it far below."""

ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "HOME", "PYTHONPATH", "VIRTUAL_ENV")
"""Variables that the process gets: what it reads may be hostile, and it needs no secret."""

NO_SUCH_CALL = 3
"""Exit status of the process."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The call of which a page is wanted.

    ``record``: as `ledger.shown` returns it, None if it isn't known. ``with_words``: what was said may be
    shown.
    """

    uuid: UUID
    record: Mapping[str, Any] | None
    flight_dir: Path | None
    record_dir: Path | None
    with_words: bool


def make_page_apart(wanted: Wanted) -> bytes | None:
    """Return the page of a call from the best there is on it; None if there is nothing.

    It blocks, while the process works: call it in a thread.

    Raises:
        PageError: it can't be made, or takes too long.
    """
    try:
        done = subprocess.run(
            # -P: import nothing from the working directory, which may be one that others write to.
            [sys.executable, "-P", "-m", "audiosocket_gw.call_page"],
            input=_encode(wanted),
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
            | {"OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # without the terminal's signals
        )
    except subprocess.TimeoutExpired:
        raise PageError(f"making its page took longer than {LIMIT_S} s") from None
    except OSError as error:
        raise PageError(f"no process can be started for its page: {error.strerror}") from None
    if done.returncode == NO_SUCH_CALL:
        return None
    if done.returncode or len(done.stdout) > MAX_PAGE:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise PageError(lines[-1] if lines else f"making its page failed with status {done.returncode}")
    return done.stdout


def main() -> int:
    """Read from standard input what is wanted, and write its page to standard output, within limits."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
    wanted = _decode(sys.stdin.buffer.read())
    try:
        path = find_call(wanted.uuid, wanted.flight_dir, wanted.record_dir, wanted.record)
        if path is None and wanted.record is None:
            return NO_SUCH_CALL
        page = page_of_call(path, wanted.record, with_words=wanted.with_words)
    except PageError as error:
        print(error, file=sys.stderr)
        return 1
    except MemoryError:
        print("the call is too long for the memory that a page may use", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(page)
    return 0


def _encode(wanted: Wanted) -> bytes:
    directories = [str(path) if path else None for path in (wanted.flight_dir, wanted.record_dir)]
    return json.dumps([str(wanted.uuid), wanted.record, *directories, wanted.with_words]).encode()


def _decode(encoded: bytes) -> Wanted:
    uuid, record, flight_dir, record_dir, with_words = json.loads(encoded)
    flights, recordings = (Path(path) if path else None for path in (flight_dir, record_dir))
    return Wanted(UUID(uuid), record, flights, recordings, with_words)
