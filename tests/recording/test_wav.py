"""A file that can be played at any moment."""

from __future__ import annotations

import errno
import os
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audiosocket_gw.recording import wav
from audiosocket_gw.recording.wav import WavFile
from tests.recording.signals import Samples, read

PWrite = Callable[[int, Any, int], int]


def block(start: int, stop: int) -> Samples:
    """Samples that say where they are: on the right, the same from above."""
    numbers = np.arange(start, stop)
    return np.stack([numbers, 30_000 - numbers], axis=1).astype("<i2")


def assert_true(path: Path) -> int:
    """Read the file; return how many samples there are, each of which is in its place."""
    _, left, right = read(path)
    assert np.array_equal(np.stack([left, right], axis=1), block(0, len(left)))
    return len(left)


def test_it_can_be_played_from_the_first_moment_on(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    file = WavFile(path, 16_000)
    assert assert_true(path) == 0
    file.write(0, block(0, 100))
    assert assert_true(path) == 100
    file.write(100, block(100, 150))
    assert assert_true(path) == 150
    file.close()
    assert read(path)[0] == 16_000
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == 44 + 4 * 150


def test_what_was_written_can_be_corrected(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    file = WavFile(path, 8_000)
    file.write(0, np.zeros((100, 2), np.int16))
    file.write(0, block(0, 60))
    file.write(50, block(50, 120))
    assert read(path)[1][:60].tolist() == list(range(60))
    assert assert_true(path) == 120
    file.close()


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_text("somebody's")
    with pytest.raises(FileExistsError):
        WavFile(path, 8_000)
    assert path.read_text() == "somebody's"


class Killed(BaseException):
    """What is behind it is never done."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=6),
    overlap=st.integers(0, 100),
    calls=st.integers(0, 16),
    share=st.floats(0, 1),
)
def test_it_can_be_played_wherever_the_process_was_killed(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], overlap: int, calls: int, share: float
) -> None:
    """The system calls done by then are done, and of the last one any part. (No header is ever half done:
    44 bytes within a page.)"""
    path = tmp_path_factory.mktemp("killed") / "call.wav"
    pwrite: PWrite = os.pwrite
    left = calls

    def dying(file: int, data: Any, at: int) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            if at:
                pwrite(file, data[: int(len(data) * share)], at)
            raise Killed
        return pwrite(file, data, at)

    complete = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", dying)
        try:
            file = WavFile(path, 8_000)
            for length in lengths:
                start = max(0, complete - overlap)
                assert file.write(start, block(start, complete + length))
                complete += length
        except Killed:
            pass
    if calls:
        assert complete <= assert_true(path) <= complete + max(lengths)


def test_a_write_that_does_less_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: pwrite(file, data[:7], at))
    path = tmp_path / "call.wav"
    WavFile(path, 8_000).write(0, block(0, 1_000))
    assert assert_true(path) == 1_000


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "call.wav"
    file = WavFile(path, 8_000)
    file.write(0, block(0, 500))
    pwrite = os.pwrite

    def full(file: int, data: Any, at: int) -> int:
        room = 44 + 4 * 700 - at
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(file, data[:room], at)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        file.write(500, block(500, 1_000))
    file.close()
    assert assert_true(path) == 500
    assert path.stat().st_size == 44 + 4 * 500, "nothing that no header tells of"


def test_a_file_ends_at_its_greatest_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav, "MAX_BYTES", 44 + 4 * 700 + 3)
    path = tmp_path / "call.wav"
    file = WavFile(path, 8_000)
    assert file.write(0, block(0, 699))
    assert not file.write(699, block(699, 1_000))
    assert not file.write(1_000, block(1_000, 1_100))
    file.close()
    assert assert_true(path) == 700
    assert path.stat().st_size == 44 + 4 * 700


def test_two_gigabytes_are_within_what_a_header_can_say(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    file = WavFile(path, 8_000)
    last = (2**31 - 1 - 44) // 4
    assert file.write(last - 10, block(0, 10)), "a file with a hole: it takes no room"
    assert not file.write(last - 10, block(0, 11))
    file.close()
    with wave.open(str(path)) as whole:
        assert whole.getnframes() == last
    assert path.stat().st_size < 2**31


def test_a_header_that_can_not_be_written_leaves_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, "pwrite", full)
    for number in range(50):
        with pytest.raises(OSError, match="No space"):
            WavFile(tmp_path / f"{number}.wav", 8_000)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
