"""``uuid``, and the script that makes the same UUIDs on a PBX."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from uuid import UUID

import pytest

from audiosocket_gw.commands.cli import main
from audiosocket_gw.errors import EXIT_CONFIGURATION
from audiosocket_gw.server.signed_uuid import SignedUuids

SCRIPT = Path(__file__).parents[2] / "asterisk" / "signed-uuid.sh"
SECRETS = ["0123456789abcdef0123456789abcdef", r"""'"\$`%!*?[a]{b}~#&;|<>()^=+-_.,/:@%s\n\x41""", "z" * 64]

pytestmark = pytest.mark.usefixtures("clean_environment")


def printed(capsys: pytest.CaptureFixture[str]) -> UUID:
    assert main(["uuid"]) == 0
    return UUID(capsys.readouterr().out.strip())


def test_the_command_prints_a_valid_uuid(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UUID_SECRET", SECRETS[0])
    first, second = printed(capsys), printed(capsys)
    assert first != second
    for uuid in (first, second):
        assert SignedUuids(SECRETS[0], 60).reject(uuid, time.time()) is None


def test_without_a_secret_it_says_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["uuid"]) == EXIT_CONFIGURATION
    assert capsys.readouterr().err.startswith("audiosocket-gw: UUID_SECRET is not set: ")


@pytest.mark.parametrize("secret", ["short", "with a blank in it 0123456789abcdef", "z" * 65])
def test_a_bad_secret_is_not_shown(
    secret: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UUID_SECRET", secret)
    assert main(["uuid"]) == EXIT_CONFIGURATION
    said = capsys.readouterr().err
    assert "UUID_SECRET=(secret): a secret is 32 to 64 printable ASCII characters" in said
    assert secret not in said


@pytest.fixture
def bash() -> str:
    found = shutil.which("bash")
    if found is None:
        pytest.skip("no bash here")
    return found


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("end", ["", "\n"])
def test_the_script_makes_the_same(secret: str, end: str, bash: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(secret + end)
    uuids = SignedUuids(secret, 60)
    made = set()
    for _ in range(5):
        done = subprocess.run([bash, SCRIPT, file], capture_output=True, text=True, check=True)
        uuid = UUID(done.stdout.strip())
        assert done.stdout == f"{uuid}\n"
        assert uuids.reject(uuid, time.time()) is None
        uuids.use(uuid)
        made.add(uuid)
    assert len(made) == 5


def test_the_script_refuses_a_weak_secret(bash: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("short\n")
    done = subprocess.run([bash, SCRIPT, tmp_path / "secret"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "it needs 32 to 64" in done.stderr


def test_the_script_passes_the_secret_to_no_program(bash: str, tmp_path: Path) -> None:
    """Any user of the machine can see the arguments of all programs."""
    (tmp_path / "secret").write_text(SECRETS[0])
    spies = tmp_path / "bin"
    spies.mkdir()
    for program in ("sha256sum", "od"):
        spy = spies / program
        log = f'{{ echo "$0 $*"; env; }} >>{tmp_path}/seen'
        spy.write_text(f'#!/bin/sh\n{log}\nexec /usr/bin/{program} "$@"\n')
        spy.chmod(0o700)
    environment = {"PATH": f"{spies}:/usr/bin:/bin"}
    subprocess.run([bash, SCRIPT, tmp_path / "secret"], env=environment, capture_output=True, check=True)
    seen = (tmp_path / "seen").read_text()
    assert seen.count("sha256sum") >= 2
    assert SECRETS[0] not in seen
