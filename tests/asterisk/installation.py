"""An installed Asterisk: found in a tree of any kind, and looked over before it is run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.asterisk.release import Release

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "asterisk"
OVERLAY = HERE / "overlay"

PREFIXES = ("usr/local", "opt/asterisk", "usr")
"""Where Asterisk's own Makefile puts it, by ``--prefix``; the last is also a package's."""

NEEDED = ("bin/sh", "usr/bin/setpriv", "dev/null", "dev/urandom", "tmp", "etc/passwd")

SAMPLE = "features.conf"
"""One of the files that Asterisk complains about when it comes without its sample configuration."""

ASTERISK_USER = "asterisk"
NOBODY = 65534


class Unavailable(Exception):
    """No Asterisk can be had on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Asterisk in the tree ``root``, which can be confined to; ``program`` is its path in there.

    ``samples`` is the directory of the configuration that came with it.
    """

    root: Path
    program: Path
    samples: Path
    user_id: int
    group_id: int
    release: Release

    @classmethod
    def find(cls, root: Path) -> Installation:
        """Look for Asterisk in ``root``: a Debian tree, a container's, or ``/`` for this machine's own.

        Raises:
            Unavailable: there is none, or it lacks what the tests need; the message names all of it.
        """
        prefix = next((root / path for path in PREFIXES if (root / path / "sbin/asterisk").exists()), None)
        if prefix is None:
            places = ", ".join(f"{path}/sbin/asterisk" for path in PREFIXES)
            raise Unavailable(f"{root} has no Asterisk: there is none of {places}")
        samples = next((place for place in _config_places(root, prefix) if (place / SAMPLE).exists()), None)
        lacking = [f"/{path}" for path in NEEDED if not (root / path).exists()]
        lacking += [] if samples else ["the sample configuration (make samples)"]
        lacking += [] if _has_prompts(root, prefix) else ["English prompts (CORE-SOUNDS-EN-WAV)"]
        lacking += _missing_modules(prefix)
        if samples is None or lacking:
            raise Unavailable(f"the Asterisk in {root} can't run the tests, it lacks {', '.join(lacking)}")
        program = "/" / (prefix / "sbin/asterisk").relative_to(root)
        return cls(root, program, samples, *_user(root), _release(root, program))

    def confined(self, *command: str) -> list[str]:
        """Return the command that runs ``command`` in the tree, as Asterisk's user."""
        return ["chroot", f"--userspec={self.user_id}:{self.group_id}", str(self.root), *command]

    @property
    def search_path(self) -> str:
        return f"{self.program.parent}:/usr/sbin:/usr/bin:/sbin:/bin"


def _config_places(root: Path, prefix: Path) -> tuple[Path, ...]:
    return prefix / "etc/asterisk", root / "etc/asterisk"


def _has_prompts(root: Path, prefix: Path) -> bool:
    places = prefix / "share", prefix / "var/lib", root / "var/lib"
    # Debian's `en` is an absolute link, which leads nowhere from outside the tree.
    return any(next(place.glob("asterisk/sounds/en*/vm-goodbye.wav"), None) for place in places)


def _missing_modules(prefix: Path) -> list[str]:
    # Debian has a directory for the architecture between.
    places = (*prefix.glob("lib*/asterisk/modules"), *prefix.glob("lib/*/asterisk/modules"))
    present = {path.name for place in places for path in place.glob("*.so")}
    files = (SHIPPED / "modules.conf", OVERLAY / "modules.conf")
    named = re.findall(r"^load = (\S+)", "\n".join(file.read_text() for file in files), re.MULTILINE)
    return [name for name in named if name not in present]


def _user(root: Path) -> tuple[int, int]:
    """Return user and group of Asterisk's own user; where there is none, those of nobody."""
    for line in (root / "etc/passwd").read_text().splitlines():
        name, _, user_id, group_id, *_ = line.split(":")
        if name == ASTERISK_USER:
            return int(user_id), int(group_id)
    return NOBODY, NOBODY


def _release(root: Path, program: Path) -> Release:
    command = ["chroot", str(root), str(program), "-V"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise Unavailable(f"{program} in {root} can't be run: {(said.stderr or said.stdout).strip()}")
    try:
        return Release.parse(said.stdout.strip())
    except ValueError as error:
        raise Unavailable(f"{program} in {root} is {error}") from None


def installation() -> Installation:
    """Return the Asterisk of ``AUDIOSOCKET_GW_ASTERISK``; without one, Debian's, made where needed (3 min).

    Raises:
        Unavailable: not root; nothing fit in that tree; or not Debian, or its packages can't be had.
    """
    if os.geteuid() != 0:
        raise Unavailable("a real Asterisk needs root (for chroot and debootstrap)")
    if chosen := os.environ.get("AUDIOSOCKET_GW_ASTERISK"):
        return Installation.find(Path(chosen).resolve())
    return Installation.find(_debian_root())


def _debian_root() -> Path:
    if shutil.which("apt-get") is None:
        raise Unavailable("a real Asterisk is made from Debian packages, and there is no apt-get here")
    cache = Path(os.environ.get("AUDIOSOCKET_GW_CACHE") or Path.home() / ".cache" / "audiosocket-gw")
    root = cache / "asterisk-forky"
    made = subprocess.run(["sh", HERE / "make_root.sh", root], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Unavailable(f"make_root.sh failed: {(made.stderr or made.stdout)[-2000:].strip()}")
    return root
