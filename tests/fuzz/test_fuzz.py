"""What fuzzing has found is replayed, without atheris, so that no target rots and no fault comes back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from audiosocket_gw.protocol.audiosocket import Decoder, Hangup
from tests.fuzz.choices import Choices
from tests.fuzz.keep import smallest, write
from tests.fuzz.run import OUTPUT, keeping_what_breaks
from tests.fuzz.target import CORPUS, MAX_KEPT_BYTES, Target
from tests.fuzz.targets import TARGETS

MAX_CORPUS_BYTES = 200_000


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_seeds_and_corpus_break_nothing(target: Target) -> None:
    for number, data in enumerate([*target.seeds(), *target.corpus(), b""]):
        try:
            target.check(data)
        except Exception as error:
            error.add_note(f"number {number}: {data!r:.2000}")
            raise


@pytest.mark.parametrize("name", ["audiosocket", "websocket", "ami", "ami-text", "masking", "flight"])
def test_work_grows_with_the_bytes_and_no_faster(name: str) -> None:
    target = TARGETS[name]
    for data in target.seeds():
        shorter, longer = (calls_of(target.check, data * times) for times in (10, 40))
        assert longer <= 5 * shorter, data


def calls_of(check: Callable[[bytes], None], data: bytes) -> int:
    """Return how many functions are called."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        check(data)
    finally:
        sys.setprofile(before)
    return count


def test_the_corpus_is_small_and_each_part_has_its_target() -> None:
    sizes = {
        folder.name: sum(file.stat().st_size for file in folder.iterdir()) for folder in CORPUS.iterdir()
    }
    assert sizes.keys() <= TARGETS.keys()
    assert all(size <= MAX_KEPT_BYTES for size in sizes.values())
    assert sum(sizes.values()) <= MAX_CORPUS_BYTES


def test_choices_end_with_the_bytes() -> None:
    choices = Choices(b"\1\2\3abc")
    assert (choices.number(2), choices.number(256), choices.some(255)) == (1, 2, b"abc")
    assert not choices.more
    assert (choices.number(9), choices.flag(), choices.text(9), choices.of("xyz")) == (0, False, "", "x")
    assert list(choices.repeat(9)) == []
    assert choices.json((), ("text",)) == "text"


def test_cuts_leave_the_bytes_as_they_are() -> None:
    for how in (b"", b"\0", b"\1\2\3\4", bytes(range(40))):
        assert b"".join(Choices(how).cut(bytes(5_000))) == bytes(5_000)


# What searches and keeps


def no_hangup(data: bytes) -> None:
    """Break at a hang-up."""
    frames = list(Decoder(identified=True).receive(data))
    assert not any(isinstance(frame, Hangup) for frame in frames)


ODD = Target("odd", no_hangup, lambda: [b"\x10\0\1a"])


def test_what_breaks_a_target_is_written() -> None:
    check = keeping_what_breaks(ODD)
    check(b"\x10\0\1b")
    with pytest.raises(AssertionError):
        check(b"\0\0\0")
    (found,) = OUTPUT.iterdir()
    assert found.name.startswith("odd-crash-")
    assert found.read_bytes() == b"\0\0\0"


def test_what_reaches_nothing_new_is_not_kept() -> None:
    key, longer_key, more_audio = b"\3\0\1a", b"\3\0\2ab", b"\x12\0\2ab"
    assert list(smallest(ODD, [longer_key, more_audio, key, key])) == [key]
    assert list(smallest(ODD, [])) == []


def test_kept_units_replace_those_before(tmp_path: Path) -> None:
    for units in ([b"a", b"b", b"c"], [b"d"]):
        write(tmp_path / "kept", units)
    assert [path.read_bytes() for path in (tmp_path / "kept").iterdir()] == [b"d"]
