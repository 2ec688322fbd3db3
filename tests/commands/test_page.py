"""``audiosocket-gw page FILE`` and ``replay FILE --html OUT``: what they write, and say if they can't."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from audiosocket_gw.call_page.files import page_of_file
from audiosocket_gw.commands.cli import main
from tests.call_page.calls import CALL, conversation
from tests.call_page.test_files import write_flight, write_recording


def test_a_page_is_written_beside_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flight = write_flight(tmp_path, conversation())
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert main(["page", str(flight)]) == 0
    (written,) = work.iterdir()
    assert written.name == f"{flight.stem}.html"
    assert written.read_bytes() == page_of_file(flight)
    assert str(written.name) in capsys.readouterr().out


def test_a_page_is_for_its_owner_alone(tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    before = os.umask(0)
    try:
        main(["page", str(write_flight(tmp_path, conversation())), "--output", str(out)])
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == 0o600


def test_replay_html_writes_the_same_page(tmp_path: Path) -> None:
    flight, out = write_flight(tmp_path, conversation()), tmp_path / "out.html"
    assert main(["replay", str(flight), "--html", str(out)]) == 0
    assert out.read_bytes() == page_of_file(flight)


def test_a_page_goes_to_standard_output(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    flight = write_flight(tmp_path, conversation())
    assert main(["page", str(flight), "--output", "-"]) == 0
    assert capfdbinary.readouterr().out == page_of_file(flight)


def test_a_page_plays_if_asked(tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    assert main(["page", str(write_recording(tmp_path)), "--audio", "--output", str(out)]) == 0
    assert b"<audio" in out.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["missing.flight"], "missing.flight: it can't be read: No such file"),
        (["{flight}", "--output", "/no/such/folder/x.html"], "/no/such/folder/x.html: No such file"),
        (["{log}", "--call", str(CALL)], "it has no record of the call"),
        (["{log}", "--audio"], "a call record has no audio"),
    ],
    ids=str,
)
def test_what_can_not_be_done_is_said(
    arguments: list[str], error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"flight": write_flight(tmp_path, conversation()), "log": tmp_path / "calls.jsonl"}
    names["log"].write_text('{"uuid": "x"}\n')
    assert main(["page", *(argument.format(**names) for argument in arguments)]) == 2
    assert error in capsys.readouterr().err


def test_a_page_of_a_file_that_is_no_call_is_an_error_of_replay_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.flight"
    path.write_bytes(b"\x1b[31m")
    assert main(["replay", str(path), "--html", str(tmp_path / "x.html")]) == 2
    assert "it is not a flight recording" in capsys.readouterr().err
