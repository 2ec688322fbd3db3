"""A Docker engine with Compose, from Debian's packages alone, in namespaces of its own.

The engine's processes, mounts and network are not the machine's: when its first process ends, all of it is
gone, and that process dies with the one that started it, however that ends. What is kept, in the cache, are a
Debian tree with the engine in it, two more that become base images, and the engine's images.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

HERE = Path(__file__).parent
MAKE_TREE = HERE.parent / "debian_tree.sh"

START_LIMIT_S = 120
KEPT_OF_BUILDS = "3GB"

CGROUPS = Path("/sys/fs/cgroup")
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
AUTHORITIES_INSIDE = Path("/etc/ssl/machine.crt")


class Unavailable(Exception):
    """No engine can be had on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A Debian tree, named ``name`` in the cache."""

    name: str
    suite: str
    packages: tuple[str, ...] = ()

    def make(self, cache: Path) -> Path:
        """Return the tree's directory, making it first where needed.

        Raises:
            Unavailable: the packages can't be had.
        """
        root = cache / f"{self.name}-{self.suite}"
        made = subprocess.run(
            ["sh", MAKE_TREE, root, self.suite, *self.packages], capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            said = (made.stderr or made.stdout)[-2000:].strip()
            raise Unavailable(f"debian_tree.sh {root} failed: {said}")
        return root


ENGINE = Tree(
    "docker",
    "trixie",
    (
        "docker.io",
        "docker-cli",
        "docker-compose",
        "docker-buildx",
        "iptables",
        "iproute2",
        "ca-certificates",
        "procps",
    ),
)


@dataclass(frozen=True, slots=True)
class BaseImage:
    """What stands in for an image that a Dockerfile names: made of a Debian tree, since no registry is asked.

    ``links`` are made on top: what they are called, and what they lead to.
    """

    image: str
    tree: Tree
    command: str
    links: tuple[tuple[str, str], ...] = ()


BASE_IMAGES = (
    # The true one has its Python in /usr/local, and is the same Debian otherwise.
    BaseImage(
        "python:3.13-slim",
        Tree("python", "trixie", ("python3", "python3-venv", "ca-certificates", "netbase", "tzdata")),
        "python3",
        (("usr/bin/python", "python3"),),
    ),
    BaseImage("debian:forky-slim", Tree("debian", "forky"), "bash"),
)


LEFT_OUT = (
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*",
    "var/log/*",
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/locale/*",
)
"""What debootstrap leaves, and what the slim images go without."""


def cache_directory() -> Path:
    """Return where trees are kept from one run to the next."""
    return Path(os.environ.get("AUDIOSOCKET_GW_CACHE") or Path.home() / ".cache" / "audiosocket-gw")


def check_machine() -> None:
    """See that this machine can run an engine.

    Raises:
        Unavailable: something is missing; the message names it.
    """
    if os.geteuid() != 0:
        raise Unavailable("a container engine needs root (for namespaces, mounts and debootstrap)")
    if shutil.which("apt-get") is None:
        raise Unavailable("the engine is made from Debian packages, and there is no apt-get here")
    for program in ("debootstrap", "slirp4netns", "unshare", "nsenter", "setpriv"):
        if shutil.which(program) is None:
            raise Unavailable(f"no {program} here: apt-get install debootstrap slirp4netns util-linux")
    namespaces = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if namespaces.returncode != 0:
        raise Unavailable(f"no namespaces can be made here: {namespaces.stderr.strip()}")
    if not Path("/dev/net/tun").exists():
        raise Unavailable("no /dev/net/tun here: slirp4netns needs it to give the engine a network")


class Engine:
    """Docker, running: its images and logs are in ``directory``. It sees ``shared`` as ``/shared``."""

    def __init__(self, cache: Path, directory: Path) -> None:
        self._cache = cache
        self._directory = directory
        self.shared = directory / "shared"
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        check_machine()
        self._directory.mkdir(parents=True, exist_ok=True)
        # One engine at a time has the directory.
        self._lock = os.open(self._directory, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._cgroup = f"audiosocket-gw-{self._directory.stat().st_ino}"
        try:
            self._clear_away()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # The first process last: slirp4netns would complain of a network that is gone.
        for process in reversed(self._processes):
            _end(process)
        self._clear_away()
        os.close(self._lock)

    def _clear_away(self) -> None:
        """Remove all but the images and the logs, also what a run left that was killed."""
        shutil.rmtree(self.shared, ignore_errors=True)
        # The kernel needs a moment for the last processes.
        deadline = time.monotonic() + START_LIMIT_S
        while groups := [*CGROUPS.glob(self._cgroup), *CGROUPS.glob(f"*/{self._cgroup}")]:
            for group in sorted((path for top in groups for path in (top, *top.rglob("*"))), reverse=True):
                if group.is_dir():
                    with suppress(OSError):
                        group.rmdir()
            assert time.monotonic() < deadline, f"processes are left in {groups}"
            time.sleep(0.05)

    def _start(self) -> None:
        tree = ENGINE.make(self._cache)
        data = self._directory / "data"
        for directory in (data, self.shared, tree / "etc" / "docker"):
            directory.mkdir(parents=True, exist_ok=True)
        gc = {"enabled": True, "defaultKeepStorage": KEPT_OF_BUILDS}
        (tree / "etc" / "docker" / "daemon.json").write_text(json.dumps({"builder": {"gc": gc}}))
        namespaces = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
        boot = ("sh", HERE / "boot.sh", tree, data, self.shared, f"/{self._cgroup}")
        self._pid = self._child_of(self._spawn("dockerd.log", *namespaces, *boot))
        self._spawn(
            # What listens on this machine's loopback is none of the containers' business.
            "slirp4netns.log",
            *("slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", str(self._pid), "tap0"),
        )
        self._wait_until_ready()
        if containers := self.run("docker", "ps", "--all", "--quiet").split():
            self.run("docker", "rm", "--force", *containers)
        for things in ("network", "volume", "image"):
            self.run("docker", things, "prune", "--force", *(["--all"] if things == "volume" else []))

    def _spawn(self, log: str, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a process that dies with us, whatever ends us."""
        with (self._directory / log).open("wb") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._processes.append(process)
        return process

    def _child_of(self, process: subprocess.Popen[bytes]) -> int:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and process.poll() is None:
            if children := _children_of(process):
                return children[0]
            time.sleep(0.05)
        raise Unavailable(f"the engine's first process did not start:\n{self.log()[-2000:]}")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self._processes[0].poll() is None:
            if self._run("docker", "info").returncode == 0:
                return
            time.sleep(0.2)
        raise Unavailable(f"dockerd did not start:\n{self.log()[-4000:]}")

    def import_base_images(self) -> None:
        """Have the images that the Dockerfiles start from.

        Raises:
            Unavailable: the packages can't be had.
        """
        for base in BASE_IMAGES:
            self._import(base)

    def _import(self, base: BaseImage) -> None:
        """Make a base image of its tree, unless it is there.

        It gets what this machine's apt and pip need to reach a mirror: settings of apt, and certificates.
        """
        tree = base.tree.make(self._cache)
        with TemporaryDirectory() as directory:
            added = Path(directory)
            _write_access(added)
            for name, target in base.links:
                (added / name).parent.mkdir(parents=True, exist_ok=True)
                (added / name).symlink_to(target)
            files = [path for path in sorted(added.rglob("*")) if path.is_symlink() or path.is_file()]
            stamp = _stamp(base, tree, files)
            known = self._run("docker", "inspect", "--format", "{{.Config.Labels.stamp}}", base.image)
            if known.stdout.strip() == stamp:
                return
            excluded = [f"--exclude=./{path}" for path in LEFT_OUT]
            names = [f"./{path.relative_to(added)}" for path in files]
            changes = [f'CMD ["{base.command}"]', "ENV LANG=C.UTF-8", f"LABEL stamp={stamp}"]
            _pipe(
                ["tar", *excluded, "-C", str(tree), "-c", ".", "-C", str(added), *names],
                self._inside(
                    "docker", "import", *(f"--change={change}" for change in changes), "-", base.image
                ),
            )

    def _inside(self, *command: str | Path) -> list[str]:
        entered = ["nsenter", "--target", str(self._pid), "--mount", "--net", "--pid", "--"]
        environment = ["env", "-i", "HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        return [*entered, *environment, *map(str, command)]

    def _run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._inside(*command), capture_output=True, text=True, check=False)

    def run(self, *command: str | Path) -> str:
        """Run a command beside the engine and return what it prints.

        Raises:
            AssertionError: it failed; holds its output.
        """
        done = self._run(*command)
        assert done.returncode == 0, f"{command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout + done.stderr

    @property
    def beside(self) -> Sequence[str]:
        """What to put before a program of this machine to give it the engine's network."""
        return ("nsenter", "--target", str(self._pid), "--net", "--")

    def log(self) -> str:
        """Return dockerd's log."""
        return (self._directory / "dockerd.log").read_text(errors="replace")


def _children_of(process: subprocess.Popen[bytes]) -> list[int]:
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(pid) for pid in children.split()]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what the process runs, which ends it, too; so no zombie is left."""
    for pid in _children_of(process) or [process.pid]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _write_access(added: Path) -> None:
    """Write down how this machine's apt and pip reach a mirror."""
    settings = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    wanted = ("Acquire::Check-", "Acquire::http", "Acquire::https", "Acquire::Retries")
    apt = added / "etc" / "apt" / "apt.conf.d" / "90machine"
    apt.parent.mkdir(parents=True)
    lines = [line for line in settings.splitlines() if line.startswith(wanted)]
    if AUTHORITIES.exists():
        authorities = added / AUTHORITIES_INSIDE.relative_to("/")
        authorities.parent.mkdir(parents=True)
        shutil.copy(AUTHORITIES, authorities)
        lines.append(f'Acquire::https::CaInfo "{AUTHORITIES_INSIDE}";')
        (added / "etc" / "pip.conf").write_text(f"[global]\ncert = {AUTHORITIES_INSIDE}\n")
    apt.write_text("\n".join([*lines, ""]))


def _stamp(base: BaseImage, tree: Path, added: Sequence[Path]) -> str:
    """Return a name for this image: another one when the tree or what is added has changed."""
    digest = hashlib.sha256(repr((base, (tree / ".complete").stat().st_mtime_ns)).encode())
    for path in added:
        if not path.is_symlink():  # those are in `base`
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _pipe(source: Sequence[str], sink: Sequence[str]) -> None:
    with subprocess.Popen(source, stdout=subprocess.PIPE) as writing:
        done = subprocess.run(sink, stdin=writing.stdout, capture_output=True, text=True, check=False)
    assert (writing.returncode, done.returncode) == (0, 0), done.stderr
