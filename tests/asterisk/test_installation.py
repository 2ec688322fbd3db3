"""Which Asterisk the tests run on, and which of them: decided without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.asterisk import release
from tests.asterisk.installation import NEEDED, Installation, Unavailable
from tests.asterisk.lab import Ports
from tests.asterisk.release import Release


@pytest.mark.parametrize(
    ("words", "branch", "number"),
    [
        ("Asterisk 18.9.0", 18, 9),
        ("Asterisk 22.10.1+dfsg+~cs6.17.60671434-1", 22, 10),
        ("Asterisk 20.20.1", 20, 20),
        ("Asterisk certified/18.9-cert18", 18, 9),
        ("Asterisk certified-20.7-cert1", 20, 7),
        ("Asterisk 23.5.0-rc1", 23, 5),
        ("Asterisk GIT-22-0abcdef12", 22, release.HEAD),
        ("Asterisk GIT-master-0abcdef12M", release.HEAD, release.HEAD),
    ],
)
def test_release_is_read(words: str, branch: int, number: int) -> None:
    assert (Release.parse(words).branch, Release.parse(words).number) == (branch, number)


@pytest.mark.parametrize("words", ["", "Asterisk", "FreeSWITCH 1.10.9", "Asterisk GIT-"])
def test_what_is_no_release_is_an_error(words: str) -> None:
    with pytest.raises(ValueError, match="no release of Asterisk"):
        Release.parse(words)


@pytest.mark.parametrize(
    ("words", "has"),
    [
        ("Asterisk 18.26.4", False),
        ("Asterisk 20.16.0", False),
        ("Asterisk 20.17.0", True),
        ("Asterisk 21.11.0", False),
        ("Asterisk 21.12.3", True),
        ("Asterisk 22.6.1", False),
        ("Asterisk 22.10.1", True),
        ("Asterisk 23.0.0", False),
        ("Asterisk 23.4.1", True),
        ("Asterisk 24.0.0", True),
        ("Asterisk GIT-20-1234567", True),
        ("Asterisk GIT-master-1234567", True),
    ],
)
def test_each_branch_has_a_first_release(words: str, has: bool) -> None:
    assert Release.parse(words).is_since(release.WIDEBAND.args) is has


def test_a_branch_that_is_not_named_never_got_it() -> None:
    assert not Release.parse("Asterisk 21.12.3").is_since(release.SPLIT_HEADER.args)
    assert not Release.parse("Asterisk 18.26.4").is_since(release.KEYS.args)


def test_tree_without_asterisk_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=f"{tmp_path} has no Asterisk: .*usr/local/sbin/asterisk"):
        Installation.find(tmp_path)


@pytest.mark.parametrize(
    "modules", ["lib/asterisk/modules", "lib64/asterisk/modules", "lib/arch/asterisk/modules"]
)
def test_all_that_is_lacking_is_named(tmp_path: Path, modules: str) -> None:
    for path in ("usr/local/sbin/asterisk", f"usr/local/{modules}/app_audiosocket.so", "bin/sh"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    with pytest.raises(Unavailable) as refused:
        Installation.find(tmp_path)
    lacking = str(refused.value).partition("it lacks ")[2].split(", ")
    tools = [f"/{path}" for path in NEEDED if path != "bin/sh"]
    files = ["the sample configuration (make samples)", "English prompts (CORE-SOUNDS-EN-WAV)"]
    assert lacking[: len(tools) + 2] == [*tools, *files]
    assert "res_audiosocket.so" in lacking
    assert "app_senddtmf.so" in lacking, "what the tests' own dialplan needs"
    assert "app_audiosocket.so" not in lacking


def test_rtp_ports_begin_even_as_asterisk_wants_them() -> None:
    for _ in range(40):
        ports = Ports.pick()
        assert ports.rtp % 2 == 0
        assert ports.rtp > ports.phone_rtp + 3
