"""What is left of a recording whose process was killed, or ran out of disk."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recording.endless_call import CALL, words
from tests.recording.signals import FRAME, RATE, read

PROJECT = Path(__file__).parents[2]


def run(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.recording.endless_call", str(directory), *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )


def files_of(directory: Path) -> tuple[Path, Path]:
    (audio,) = directory.glob(f"*-{CALL}.wav")
    return audio, audio.with_suffix(".jsonl")


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Read what is whole: behind the last line break there may be part of a line."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def assert_true_so_far(directory: Path) -> float:
    """Check the files as far as they go; return how many seconds that is."""
    audio, transcript = files_of(directory)
    rate, left, right = read(audio)
    assert rate == RATE
    # Each frame in its place: on the right from when it was sent, on the left until it came, and the last one
    # had not come.
    expected = np.repeat(np.arange(len(right) // FRAME + 1), FRAME)[: len(right)]
    assert np.array_equal(right, expected)
    assert np.array_equal(left[:-FRAME], expected[:-FRAME])
    first, *said = lines_of(transcript)
    assert (first["type"], first["uuid"]) == ("call", str(CALL))
    assert [line["text"] for line in said if line["type"] == "said"] == [
        words(number) for number in range(len([line for line in said if line["type"] == "said"]))
    ]
    return len(left) / rate


@pytest.mark.parametrize("moment", range(8))
def test_a_process_killed_in_mid_write_leaves_a_playable_recording(tmp_path: Path, moment: int) -> None:
    with run(tmp_path) as process:
        try:
            until = time.monotonic() + 60
            while sum(path.stat().st_size for path in tmp_path.glob("*.wav")) < 100_000:
                assert process.poll() is None, "it has ended by itself"
                assert time.monotonic() < until
                time.sleep(0.01)
            time.sleep(0.0137 * moment)
        finally:
            process.kill()
    seconds = assert_true_so_far(tmp_path)
    assert seconds >= 2
    _, transcript = files_of(tmp_path)
    assert abs(lines_of(transcript)[-1]["at"] - seconds) <= 1.2, "no more than the last second is missing"


def test_a_disk_that_is_full_ends_the_recording_and_not_the_call(tmp_path: Path) -> None:
    with run(tmp_path, "150000") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.splitlines()[-1] == "the call has ended"
    assert output.count("recording stopped, the call continues: File too large") == 1
    assert f"RECORD_DIR={tmp_path}" in output
    assert assert_true_so_far(tmp_path) >= 3
