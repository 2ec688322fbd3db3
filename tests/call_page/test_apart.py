"""A page made in a process of its own, as the gateway makes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from audiosocket_gw.call_page import apart
from audiosocket_gw.call_page.apart import Wanted, make_page_apart
from audiosocket_gw.call_page.files import PageError, page_of_call
from tests.call_page.calls import CALL, conversation
from tests.call_page.test_files import NAME, OTHER, record_json, write_flight, write_recording


def test_the_page_is_the_same_as_in_this_process(tmp_path: Path) -> None:
    path = write_flight(tmp_path, conversation())
    record = record_json()
    wanted = Wanted(CALL, record, tmp_path, None, with_words=True)
    assert make_page_apart(wanted) == page_of_call(path, record, with_words=True)


def test_there_is_a_page_of_whatever_is_known(tmp_path: Path) -> None:
    assert make_page_apart(Wanted(CALL, None, tmp_path, None, with_words=True)) is None
    alone = make_page_apart(Wanted(CALL, record_json(), None, None, with_words=True))
    assert alone and b"its call record alone" in alone
    write_recording(tmp_path)
    recorded = make_page_apart(Wanted(CALL, None, None, tmp_path, with_words=True))
    assert recorded and b"Thank you" in recorded
    assert make_page_apart(Wanted(OTHER, None, tmp_path, tmp_path, with_words=True)) is None


def test_nothing_is_imported_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    assert make_page_apart(Wanted(CALL, record_json(), None, None, with_words=True)) is not None


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.flight").write_bytes(b"nonsense")
    with pytest.raises(PageError, match="it is not a flight recording"):
        make_page_apart(Wanted(CALL, None, tmp_path, None, with_words=True))


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "LIMIT_S", 0.5)
    os.mkfifo(tmp_path / f"{NAME}.flight")  # opening it waits for a writer
    with pytest.raises(PageError, match=r"longer than 0\.5 s"):
        make_page_apart(Wanted(CALL, None, tmp_path, None, with_words=True))


def test_more_memory_than_allowed_ends_only_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_flight(tmp_path, conversation())
    (tmp_path / "sitecustomize.py").write_text(
        "import resource\nresource.setrlimit = lambda which, _, real=resource.setrlimit: "
        "real(which, (2**20, 2**20)) if which == resource.RLIMIT_DATA else None\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PageError):
        make_page_apart(Wanted(CALL, None, tmp_path, None, with_words=True))
