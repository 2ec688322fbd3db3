"""A page made in a process of its own, as the gateway makes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from audiosocket_gw.call_page import apart
from audiosocket_gw.call_page.apart import page_of_file_apart
from audiosocket_gw.call_page.files import PageError, page_of_file
from tests.call_page.calls import conversation
from tests.call_page.test_files import write_flight


def test_the_page_is_the_same_as_in_this_process(tmp_path: Path) -> None:
    path = write_flight(tmp_path, conversation())
    assert page_of_file_apart(path) == page_of_file(path)


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.flight"
    with pytest.raises(PageError, match="No such file"):
        page_of_file_apart(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(PageError, match="it is not a flight recording"):
        page_of_file_apart(path)


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "LIMIT_S", 0.2)
    path = tmp_path / "x.flight"
    os.mkfifo(path)  # opening it waits for a writer
    with pytest.raises(PageError, match=r"longer than 0\.2 s"):
        page_of_file_apart(path)
