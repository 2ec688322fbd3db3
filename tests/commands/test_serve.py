"""``serve``: one start names every fault of the settings, and of the files and folders that they name."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from audiosocket_gw.commands.cli import main
from audiosocket_gw.errors import EXIT_CONFIGURATION
from audiosocket_gw.flight.capture import SUFFIX


@pytest.fixture
def port_in_use() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def bad_files(folder: Path) -> dict[str, str]:
    """Return settings of which each names what can't be used."""
    nothing = folder / "nothing"
    nothing.write_text("nothing")
    tools = folder / "tools"
    tools.mkdir()
    (tools / "bad.py").write_text("raise OSError('no database')")
    (tools / "worse.py").write_text("syntax error")
    return {
        "HOLD_AUDIO": str(nothing),
        "TLS_CA_FILE": str(nothing),
        "AMI_HOSTS": "127.0.0.1,127.0.0.2",
        "AMI_PASSWORD": "secret",
        "AMI_TLS": "true",
        "AMI_TLS_CA_FILE": str(nothing),
        "AMI_TLS_NAME": "a..b",
        "TOOLS_DIR": str(tools),
        "RECORD_DIR": str(nothing),
        "FLIGHT_DIR": str(nothing / "flights"),
        "SSL_CERT_FILE": str(nothing),
        "SSLKEYLOGFILE": str(folder),
    }


ABOUT_FILES = [
    "PORT",
    "SSLKEYLOGFILE",
    "SSL_CERT_FILE",
    "TLS_CA_FILE",
    "AMI_TLS_CA_FILE",
    "AMI_TLS_NAME",
    "TOOLS_DIR",
    "TOOLS_DIR",
    "HOLD_AUDIO",
    "RECORD_DIR",
    "FLIGHT_DIR",
]


def faults_of_a_start(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Start the gateway, and return what each line says about, which is also shown with its value."""
    assert main(["serve"]) == EXIT_CONFIGURATION
    lines = [line.removeprefix("audiosocket-gw: ") for line in capsys.readouterr().err.splitlines()]
    assert all(re.match(r"(HOST='\S+' )?[A-Z_]+=[^:]+: .+|no agent is set: .+", line) for line in lines)
    return [line.removeprefix("HOST='127.0.0.1' ").partition("=")[0].partition(":")[0] for line in lines]


@pytest.fixture
def bad_environment(tmp_path: Path, port_in_use: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**bad_files(tmp_path), "PORT": str(port_in_use)}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("bad_environment")
def test_one_start_names_every_file_that_can_not_be_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELEVENLABS_AGENT_ID", "agent_1")
    assert faults_of_a_start(capsys) == ABOUT_FILES


@pytest.mark.usefixtures("bad_environment")
def test_one_start_names_them_beside_bad_settings_and_those_that_do_not_fit_together(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_CALLS", "many")
    monkeypatch.setenv("RECORD_MAX_MB", "-1")
    assert faults_of_a_start(capsys) == ["MAX_CALLS", "RECORD_MAX_MB", "no agent is set", *ABOUT_FILES]


def test_a_default_in_place_of_a_bad_value_is_no_second_fault(
    port_in_use: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT", "simulator")
    monkeypatch.setenv("HOST", "192.0.2.1")  # not an address of this machine: the default port is as bad
    monkeypatch.setenv("ALLOWED_PEERS", "any")
    monkeypatch.setenv("PORT", "65536")
    assert main(["serve"]) == EXIT_CONFIGURATION
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("audiosocket-gw: PORT='65536': ")


@pytest.mark.parametrize("room", ["RECORD", "FLIGHT"])
def test_a_start_that_fails_removes_no_recordings(
    room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default limit, in place of an invalid one, may be far below the one that was meant."""
    suffix = {"RECORD": ".wav", "FLIGHT": SUFFIX}[room]
    recording = tmp_path / f"20200101T000000.000Z-40325ec2-5efd-4bd3-805f-53576e581d13{suffix}"
    recording.touch()
    os.utime(recording, (1_577_836_800,) * 2)
    monkeypatch.setenv("AGENT", "simulator")
    monkeypatch.setenv(f"{room}_DIR", str(tmp_path))
    monkeypatch.setenv(f"{room}_MAX_DAYS", "1e9")
    assert main(["serve"]) == EXIT_CONFIGURATION
    assert recording.exists()


def test_a_port_that_others_can_reach_needs_a_list_of_who_may_connect(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the image without settings, or after a move from Agent Voice Response."""
    monkeypatch.setenv("AGENT", "simulator")
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setenv("PORT", "0")
    assert main(["serve"]) == EXIT_CONFIGURATION
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("audiosocket-gw: HOST='0.0.0.0' ALLOWED_PEERS='': ")
    assert "set ALLOWED_PEERS to the addresses of your PBXs" in line
