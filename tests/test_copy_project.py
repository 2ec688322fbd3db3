"""What runs elsewhere, in a container or on another Debian, is the project as it is now."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

COPY = Path(__file__).with_name("copy_project.sh")


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("is_ours", [True, False])
def test_the_copy_has_what_git_does_not_ignore(tmp_path: Path, is_ours: bool) -> None:
    if not is_ours and os.geteuid() != 0:
        pytest.skip("needs root, to give files to somebody else")
    project, copied = tmp_path / "project", tmp_path / "copy"
    (project / "tests").mkdir(parents=True)
    copied.mkdir()
    script = Path(shutil.copy(COPY, project / "tests"))
    for name in ("kept", "deleted", "changed"):
        (project / name).touch()
    (project / ".gitignore").write_text("ignored\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *command], cwd=project, env=environment, check=True)
    (project / "deleted").unlink()
    (project / "changed").write_text("now")
    for name in ("new file", "ignored"):
        (project / name).touch()
    if not is_ours:
        for path in (project, *project.rglob("*")):
            os.chown(path, 65_534, 65_534)
    subprocess.run(["sh", script, copied], env=environment, check=True)
    files = {str(path.relative_to(copied)) for path in copied.rglob("*") if path.is_file()}
    assert files == {"tests/copy_project.sh", ".gitignore", "kept", "changed", "new file"}
    assert (copied / "changed").read_text() == "now"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_without_a_repository_nothing_is_taken_for_the_project(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    script = shutil.copy(COPY, tmp_path / "tests")
    environment = {"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    done = subprocess.run(["sh", script, tmp_path], env=environment, capture_output=True, check=False)
    assert done.returncode != 0
    assert b"not a git repository" in done.stderr
