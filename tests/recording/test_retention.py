"""What is kept of past calls, and what is not touched."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.recording import directory as directory_module
from audiosocket_gw.recording.directory import call_name, claim, prepare, started_on
from audiosocket_gw.recording.retention import Limits, Retention

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SUFFIXES = (".wav", ".jsonl")


def call(directory: Path, *, days: float, wav: int = 90_000, transcript: int = 10_000) -> str:
    """Leave the files of a call, as many bytes; return their name."""
    started = NOW - timedelta(days=days)
    name = call_name(uuid4(), started)
    for suffix, size in zip(SUFFIXES, (wav, transcript), strict=True):
        path = directory / f"{name}{suffix}"
        path.write_bytes(bytes(size))
        set_written(path, started)
    return name


def set_written(path: Path, time: datetime) -> None:
    os.utime(path, (time.timestamp(), time.timestamp()))


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def stems(directory: Path) -> set[str]:
    return {path.stem for path in directory.iterdir()} if directory.exists() else set()


def sweep(directory: Path, limits: Limits, *spared: str) -> list[str]:
    """Return the calls of which nothing is left, the oldest first."""
    before = stems(directory)
    Retention(directory, SUFFIXES, limits).sweep(spared, NOW)
    return sorted(before - stems(directory))


def test_the_oldest_go_first_with_both_files(tmp_path: Path) -> None:
    middle, newest, oldest = (call(tmp_path, days=days) for days in (2, 1, 3))
    assert sweep(tmp_path, Limits(max_bytes=200_000)) == [oldest]
    assert names(tmp_path) == {f"{name}{suffix}" for name in (middle, newest) for suffix in SUFFIXES}
    assert sweep(tmp_path, Limits(max_bytes=200_000)) == []
    assert sweep(tmp_path, Limits(max_bytes=99_900)) == [middle, newest]


def test_a_small_file_counts_as_what_it_takes_on_the_disk(tmp_path: Path) -> None:
    """Otherwise calls that break off at once would leave a million files."""
    calls = [call(tmp_path, days=days, wav=44, transcript=1) for days in (4, 3, 2, 1)]
    assert sweep(tmp_path, Limits(max_bytes=2 * 2 * 4096)) == calls[:2]


def test_a_file_alone_is_a_call_too(tmp_path: Path) -> None:
    alone = call(tmp_path, days=3)
    (tmp_path / f"{alone}.wav").unlink()
    call(tmp_path, days=1)
    assert sweep(tmp_path, Limits(max_bytes=100_000)) == [alone]


def test_days_are_counted_from_the_start_of_the_call(tmp_path: Path) -> None:
    old, young = call(tmp_path, days=30.001), call(tmp_path, days=29.999)
    assert sweep(tmp_path, Limits(max_age=timedelta(days=30))) == [old]
    assert f"{young}.wav" in names(tmp_path)


def test_a_clock_that_was_behind_makes_no_call_old(tmp_path: Path) -> None:
    behind, old = call(tmp_path, days=400), call(tmp_path, days=31)
    set_written(tmp_path / f"{behind}.jsonl", NOW - timedelta(days=1))
    middle = call(tmp_path, days=2)
    assert sweep(tmp_path, Limits(max_age=timedelta(days=30))) == [old]
    assert sweep(tmp_path, Limits(max_bytes=150_000)) == [middle]
    assert sweep(tmp_path, Limits(max_age=timedelta(hours=23))) == [behind]


def test_any_time_of_a_file_is_taken(tmp_path: Path) -> None:
    ancient, future = call(tmp_path, days=31), call(tmp_path, days=31)
    for suffix in SUFFIXES:
        os.utime(tmp_path / f"{ancient}{suffix}", (-(2**31), -(2**31)))
        os.utime(tmp_path / f"{future}{suffix}", (2**33, 2**33))
    assert sweep(tmp_path, Limits(max_age=timedelta(days=30))) == [ancient]


def test_without_limits_nothing_is_removed(tmp_path: Path) -> None:
    call(tmp_path, days=10_000)
    assert sweep(tmp_path, Limits()) == []


def test_calls_that_are_up_are_spared_but_they_count(tmp_path: Path) -> None:
    up, over, later = (call(tmp_path, days=days) for days in (40, 2, 1))
    assert sweep(tmp_path, Limits(1_000, timedelta(days=30)), up) == [over, later]
    assert names(tmp_path) == {f"{up}.wav", f"{up}.jsonl"}


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    name = call(tmp_path, days=40)
    others = (
        "notes.txt",
        "music.wav",
        f"{name}.wav.bak",
        f"copy-{name}.wav",
        f"{name}",
        f"{name}.mp3",
        f"{name.upper()}.wav",
        "20269999T000000.000Z-01234567-89ab-cdef-0123-456789abcdef.wav",
        ".wav",
    )
    for other in others:
        (tmp_path / other).write_bytes(bytes(9_999))
    folder = call_name(uuid4(), NOW - timedelta(days=50))
    (tmp_path / f"{folder}.wav").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    target = outside / "precious.wav"
    target.write_bytes(bytes(100))
    link = call_name(uuid4(), NOW - timedelta(days=50))
    (tmp_path / f"{link}.wav").symlink_to(target)
    sweep(tmp_path, Limits(0, timedelta(0)))
    assert names(tmp_path) == {*others, f"{folder}.wav", f"{link}.wav", "outside"}
    assert target.exists()


class _Listing:
    """The folder of a year, without its files: what `os.scandir` returns."""

    def __init__(self, directory: Path, count: int) -> None:
        self._directory, self._count = directory, count

    def __enter__(self) -> Iterator[_ListedFile]:
        return (_ListedFile(self._directory, number) for number in range(self._count))

    def __exit__(self, *_: object) -> None: ...


class _ListedFile:
    def __init__(self, directory: Path, number: int) -> None:
        self.name = f"{call_name(UUID(int=number), NOW - timedelta(seconds=number))}.wav"
        self.path = str(directory / self.name)

    def is_file(self, *, follow_symlinks: bool) -> bool:
        return not follow_symlinks

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        return os.stat_result((0o100600, 0, 0, 0, 0, 0, 1_000, 0, 0, 0))


def test_a_large_folder_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object for each file would also be work for the garbage collector, which holds Python's lock."""
    count = 20_000
    retention = Retention(tmp_path, SUFFIXES, Limits(max_bytes=count * 4_096))
    monkeypatch.setattr(os, "scandir", lambda directory: _Listing(directory, count))
    tracemalloc.start()
    try:
        retention.sweep(now=NOW)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500 * count


def test_other_suffixes_are_other_peoples(tmp_path: Path) -> None:
    name = call(tmp_path, days=40)
    (tmp_path / f"{name}.flight").write_bytes(bytes(10))
    Retention(tmp_path, (".flight",), Limits(max_bytes=0)).sweep(now=NOW)
    assert names(tmp_path) == {f"{name}.wav", f"{name}.jsonl"}


def test_what_can_not_be_removed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, other = call(tmp_path, days=3), call(tmp_path, days=2)
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if stuck in path.name:
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert sweep(tmp_path, Limits(max_bytes=0)) == [other]
    assert "can't be removed: Operation not permitted" in caplog.text
    assert stuck in caplog.text


def test_a_directory_that_is_gone_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert sweep(tmp_path / "gone", Limits(max_bytes=0)) == []
    assert "gone can't be read" in caplog.text


def test_the_log_says_what_was_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    call(tmp_path, days=3, wav=3_000_000)
    sweep(tmp_path, Limits(max_bytes=0))
    assert "removed 1 old calls, 3.0 MB" in caplog.text


@given(st.datetimes(datetime(1_000, 1, 1), timezones=st.just(UTC)), st.uuids())
def test_a_name_tells_when_the_call_started(time: datetime, uuid: UUID) -> None:
    name = call_name(uuid, time)
    found = started_on(name)
    assert found is not None
    assert timedelta(0) <= time - found < timedelta(milliseconds=1)
    assert str(uuid) in name


@given(st.lists(st.datetimes(datetime(1_000, 1, 1), timezones=st.just(UTC))))
def test_names_are_in_order_of_time(times: list[datetime]) -> None:
    uuid = uuid4()
    by_time = [call_name(uuid, time) for time in sorted(times)]
    assert by_time == sorted(by_time)


def test_a_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "recordings"
    prepare(directory, "RECORD_DIR")
    assert directory.stat().st_mode & 0o777 == 0o700
    assert names(directory) == set()
    prepare(directory, "RECORD_DIR")


def test_a_directory_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    prepare(tmp_path, "RECORD_DIR")
    assert tmp_path.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/recordings"])
def test_a_directory_that_can_not_be_used_is_told_at_once(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=f"^RECORD_DIR='.*{place}': files can't be written there: "):
        prepare(tmp_path / place, "RECORD_DIR")


def test_a_directory_has_one_owner_at_a_time(tmp_path: Path) -> None:
    with claim(tmp_path / "a", "RECORD_DIR"), claim(tmp_path / "b", "FLIGHT_DIR"):
        assert names(tmp_path / "a") == set()
        with (
            pytest.raises(ConfigurationError, match=r"^FLIGHT_DIR='.*a' is in use: "),
            claim(tmp_path / "a", "FLIGHT_DIR"),
        ):
            pass
        with (
            pytest.raises(ConfigurationError, match=r"^RECORD_DIR='.*a' is in use: "),
            claim(tmp_path / "b" / ".." / "a", "RECORD_DIR"),
        ):
            pass
    with claim(tmp_path / "a", "RECORD_DIR"):
        pass


def test_a_directory_is_free_again_when_its_owner_is_killed(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from audiosocket_gw.recording.directory import claim

        with claim(Path(sys.argv[1]), "RECORD_DIR"):
            print("claimed", flush=True)
            sys.stdin.read()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"claimed\n"
        with pytest.raises(ConfigurationError, match="is in use"), claim(tmp_path, "RECORD_DIR"):
            pass
        other.kill()
    with claim(tmp_path, "RECORD_DIR"):
        pass


def test_a_file_system_without_locks_is_told_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr(fcntl, "flock", flock)
    with claim(tmp_path, "RECORD_DIR"):
        assert f"RECORD_DIR={tmp_path}: it can't be locked: Bad file descriptor" in caplog.text


def test_a_directory_that_can_not_be_read_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(directory_module, "prepare", lambda *_: None)
    monkeypatch.setattr(os, "open", refuse)
    with (
        pytest.raises(ConfigurationError, match=r"^RECORD_DIR='.*': it can't be read: Permission denied"),
        claim(tmp_path, "RECORD_DIR"),
    ):
        pass


def test_a_claim_is_renewed_on_the_directory_that_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "a"
    before = len(list(Path("/proc/self/fd").iterdir()))
    with claim(directory, "RECORD_DIR") as claimed:
        claimed.renew()
        assert caplog.messages == []
        directory.rename(tmp_path / "moved")
        directory.mkdir()
        claimed.renew()
        claimed.renew()
        (told,) = caplog.messages
        assert told.startswith(f"RECORD_DIR={directory}: it is another directory than it was")
        with pytest.raises(ConfigurationError, match="is in use"), claim(directory, "FLIGHT_DIR"):
            pass
        with claim(tmp_path / "moved", "FLIGHT_DIR"):
            pass
    claimed.renew()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_directory_that_another_gateway_has_taken_meanwhile_is_its_own(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    with claim(directory, "RECORD_DIR") as claimed:
        directory.rmdir()
        before = len(list(Path("/proc/self/fd").iterdir()))
        with claim(directory, "RECORD_DIR"), pytest.raises(OSError, match="another gateway uses") as caught:
            claimed.renew()
        assert caught.value.errno == errno.EBUSY
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        claimed.renew()


@pytest.mark.parametrize(("mode", "told"), [(0o700, False), (0o770, False), (0o777, True), (0o1777, True)])
def test_a_directory_that_anybody_may_write_to_is_told(
    tmp_path: Path, mode: int, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(mode)
    prepare(tmp_path, "RECORD_DIR")
    expected = f"RECORD_DIR={tmp_path}: every user of this machine may add or remove files there"
    assert [message.startswith(f"{expected} (mode {mode:o})") for message in caplog.messages] == [True] * told


def test_a_directory_of_another_user_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.getuid() == 0:
        os.chown(tmp_path, 4711, 4711)
    monkeypatch.setattr(os, "geteuid", lambda: 4712)
    prepare(tmp_path, "RECORD_DIR")
    owner = tmp_path.stat().st_uid
    (message,) = caplog.messages
    assert message.startswith(f"RECORD_DIR={tmp_path}: the user {owner}, whose directory it is, may add or")
    assert message.endswith("make it the gateway's (user 4712)")


def test_a_directory_that_is_a_symbolic_link_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    prepare(tmp_path / "link", "FLIGHT_DIR")
    assert caplog.messages == [f"FLIGHT_DIR={tmp_path}/link is a symbolic link to {tmp_path}/there"]
