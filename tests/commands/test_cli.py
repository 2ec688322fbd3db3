"""The command line: what it takes, what it says, and its exit status."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from audiosocket_gw import __version__
from audiosocket_gw.commands.cli import create_parser, main
from audiosocket_gw.errors import EXIT_CONFIGURATION


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"audiosocket-gw {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sing"],
        ["serve", "--agent", "siri"],
        ["serve", "--port", "x"],
        ["call"],
        ["simulator", "--port", "x"],
        ["originate"],
        ["originate", "PJSIP/1001", "--variable", "TIER"],
        ["originate", "PJSIP/1001", "--variable", "=gold"],
        ["originate", "PJSIP/1001", "--ring", "0"],
        ["originate", "PJSIP/1001", "--ring", "nan"],
        ["tools", "extra"],
    ],
)
def test_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == EXIT_CONFIGURATION
    assert "usage: audiosocket-gw" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = re.findall(r"^    ([a-z]+)(?: {2}|$)", capsys.readouterr().out, re.MULTILINE)
    (commands,) = (action for action in create_parser()._actions if action.choices is not None)
    assert {"serve", "call"} <= set(shown) == set(commands.choices or ())


def test_serve_without_an_agent_says_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve"]) == EXIT_CONFIGURATION
    said = capsys.readouterr().err
    assert said.startswith("audiosocket-gw: no agent is set: ")
    assert all(fix in said for fix in ("ELEVENLABS_AGENT_ID", "ELEVENLABS_AGENT_URL", "AGENT=simulator"))


def test_bad_settings_are_a_line_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_CALLS", "many")
    assert main(["serve", "--agent", "simulator", "--port", "70000"]) == EXIT_CONFIGURATION
    said = capsys.readouterr().err.splitlines()
    assert sorted(line.partition("=")[0] for line in said) == [
        "audiosocket-gw: MAX_CALLS",
        "audiosocket-gw: PORT",
    ]


def test_a_host_that_is_not_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--agent", "simulator", "--host", "192.0.2.1", "--port", "0"]) == EXIT_CONFIGURATION
    assert "HOST='192.0.2.1'" in capsys.readouterr().err


def test_a_scenario_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulator", "--scenario", "no-such", "--port", "0"]) == EXIT_CONFIGURATION
    assert "no-such" in capsys.readouterr().err


def _printed_tools(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    assert main(["tools"]) == 0
    configs = [body["tool_config"] for body in json.loads(capsys.readouterr().out)]
    return {config["name"]: config for config in configs}


def test_tools_prints_what_elevenlabs_must_know(capsys: pytest.CaptureFixture[str]) -> None:
    printed = _printed_tools(capsys)
    assert set(printed) == {"avr_transfer", "avr_hangup"}
    assert {config["type"] for config in printed.values()} == {"client"}


def test_tools_prints_those_of_the_users_directory_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "stock.py").write_text(
        'async def stock() -> int:\n    """Count the pieces."""\n    return 1\n'
    )
    monkeypatch.setenv("TOOLS_DIR", str(tmp_path))
    monkeypatch.setenv("TOOL_TIMEOUT", "7")
    printed = _printed_tools(capsys)
    assert set(printed) == {"avr_transfer", "avr_hangup", "stock"}
    assert (printed["stock"]["description"], printed["stock"]["response_timeout_secs"]) == (
        "Count the pieces.",
        12,
    )


def test_tools_of_a_directory_that_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLS_DIR", "no-such")
    assert main(["tools"]) == EXIT_CONFIGURATION
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "TOOLS_DIR=no-such" in shown.err


def test_it_runs_as_a_module() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "audiosocket_gw", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == f"audiosocket-gw {__version__}\n"


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m audiosocket_gw tools | true; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode in (0, 141)
