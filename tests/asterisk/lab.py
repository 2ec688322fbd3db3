"""A real Asterisk for the tests, with the configuration that users get.

A `Lab` runs an `Installation`, in a directory of its own that is gone afterwards, on free ports of 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.asterisk.installation import OVERLAY, SHIPPED, Installation, Unavailable

SIP_PASSWORD = "lab-phone"
AMI_PASSWORD = "lab-gateway"
UUID_SECRET = "0123456789abcdef0123456789abcdef"

HOME_PREFIX = "audiosocket-gw-lab-"
RTP_PORTS = 40
START_LIMIT_S = 60
STOP_LIMIT_S = 10
LOG_LIMIT_S = 30


def _users_with_one_form_of_filters() -> str:
    """Return two more users for manager.conf, who have only the older or only the newer shipped filters."""
    shipped = (SHIPPED / "manager.conf").read_text()
    return "".join(
        f"[{user}]\nsecret = {AMI_PASSWORD}\nread = call,dialplan\nwrite = call,originate\n"
        + "".join(f"{line}\n" for line in shipped.splitlines() if line.startswith(form))
        for user, form in (("older-filters", "eventfilter ="), ("newer-filters", "eventfilter("))
    )


def first_of_free_ports(count: int) -> int:
    """Return the first of ``count`` consecutive free ports, below the ephemeral ones."""
    while True:
        first = random.randrange(20_000, 32_000 - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


@dataclass(frozen=True, slots=True)
class Ports:
    """Who listens where on 127.0.0.1: Asterisk on ``ami``, ``sip`` and, from there on, ``rtp``."""

    gateway: int
    handset: int
    ami: int
    sip: int
    phone: int
    phone_rtp: int
    rtp: int

    @classmethod
    def pick(cls) -> Self:
        first = first_of_free_ports(6 + 2 * RTP_PORTS)
        rtp = first + 5 + RTP_PORTS
        rtp += rtp % 2  # Asterisk warns of an odd one
        return cls(first, first + 1, first + 2, first + 3, first + 4, first + 5, rtp)


class Lab:
    """Asterisk, running.

    ``recordings`` is where the caller's part finds and leaves audio; ``spool`` is Asterisk's own directory.
    """

    def __init__(self, installation: Installation) -> None:
        self.release = installation.release
        self._installation = installation
        self._root = installation.root
        self._clear_away()
        self._home = Path(tempfile.mkdtemp(prefix=HOME_PREFIX, dir=self._root / "tmp"))
        self._lock = os.open(self._home, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._log_file = self._home / "console"
        self.ports = Ports.pick()
        self.recordings = self._home / "recordings"
        self.spool = self._home

    def __enter__(self) -> Self:
        try:
            self._lay_out()
            self._process = self._start()
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_process"):
            self._process.terminate()
            try:
                self._process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._home)
        os.close(self._lock)

    def _clear_away(self) -> None:
        """Remove what killed labs left: their directories aren't locked."""
        for home in (self._root / "tmp").glob(f"{HOME_PREFIX}*"):
            lock = os.open(home, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(home)
            except BlockingIOError:
                pass  # in use
            finally:
                os.close(lock)

    def _inside(self, path: Path) -> str:
        """Say what Asterisk, confined to its tree, calls ``path``."""
        return "/" + str(path.relative_to(self._root))

    def _lay_out(self) -> None:
        """Write Asterisk's configuration: the package's files, ours over them, the tests' behind ours."""
        config = self._home / "etc"
        shutil.copytree(self._installation.samples, config)
        for shipped in SHIPPED.glob("*.conf"):
            (config / shipped.name).write_text(shipped.read_text() + self._overlay(shipped.name))
        for script in ("entrypoint.sh", "signed-uuid.sh"):
            shutil.copy(SHIPPED / script, config)
        (config / "uuid-secret").write_text(UUID_SECRET + "\n")
        self.recordings.mkdir()
        for path in (self._home, *self._home.rglob("*")):
            os.chown(path, self._installation.user_id, self._installation.group_id)

    def _overlay(self, name: str) -> str:
        """Return what the tests add to the shipped file: the caller's part, own ports, own directories."""
        home = self._inside(self._home)
        overlay = OVERLAY / name
        added = {
            "asterisk.conf": f"[directories]\nastetcdir = {home}/etc\n"
            + "".join(
                f"ast{purpose}dir = {home}\n" for purpose in ("db", "key", "spool", "run", "log", "cache")
            ),
            "extensions.conf": f"[globals](+)\nLAB = {home}/recordings\nHANDSET = {self.ports.handset}\n",
            "manager.conf": f"[general](+)\nport = {self.ports.ami}\n" + _users_with_one_form_of_filters(),
            "pjsip.conf": f"[transport-udp](+)\nbind = 127.0.0.1:{self.ports.sip}\n"
            "[1001](+)\nmedia_address = 127.0.0.1\nbind_rtp_to_media_address = yes\n",
            "rtp.conf": f"rtpstart = {self.ports.rtp}\nrtpend = {self.ports.rtp + RTP_PORTS - 1}\n",
        }
        return "\n" + added.get(name, "") + (overlay.read_text() if overlay.exists() else "")

    def _command_line(self, command: str) -> list[str]:
        program = str(self._installation.program)
        return self._installation.confined(program, "-C", self._config_file, "-rx", command)

    @property
    def _config_file(self) -> str:
        return self._inside(self._home / "etc" / "asterisk.conf")

    def _start(self) -> subprocess.Popen[bytes]:
        """Start Asterisk as its image does, by the entry point; it dies with us, whatever ends us."""
        config = self._inside(self._home / "etc")
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--",
            "sh",
            f"{config}/entrypoint.sh",
            "-C",
            self._config_file,
        ]
        environment = {
            "PATH": self._installation.search_path,
            "CONFIG_DIR": config,
            "AUDIOSOCKET_GATEWAY": f"127.0.0.1:{self.ports.gateway}",
            "SIP_PASSWORD": SIP_PASSWORD,
            "EXTERNAL_ADDRESS": "127.0.0.1",
            "AMI_PASSWORD": AMI_PASSWORD,
        }
        with self._log_file.open("wb") as log:
            return subprocess.Popen(
                self._installation.confined(*command),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while self._process.poll() is None and time.monotonic() < deadline:
            command = self._command_line("core waitfullybooted")
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise Unavailable(f"Asterisk did not start:\n{self.log()[-4000:]}")

    async def cli(self, command: str) -> str:
        """Run a command of Asterisk's command line and return what it prints."""
        process = await asyncio.create_subprocess_exec(
            *self._command_line(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return output.decode()

    def log(self, start: int = 0) -> str:
        """Return Asterisk's log, from byte ``start``."""
        with self._log_file.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Watch]:
        """Look at the log from here on; every call is hung up at the end."""
        try:
            yield Watch(self, self._log_file.stat().st_size)
        finally:
            await self.hang_up_all()

    @asynccontextmanager
    async def call(self, extension: str, caller: str) -> AsyncIterator[Watch]:
        """Dial ``extension`` of the context ``phones``; ``caller``, of the context ``caller``, dials it."""
        async with self.watch() as watch:
            await self.originate(extension, caller)
            yield watch

    async def originate(self, extension: str, caller: str) -> None:
        await self.cli(f"channel originate Local/{extension}@phones extension {caller}@caller")

    async def leg(self, extension: str, half: int) -> str:
        """Return a channel of the call to ``extension``: 1 is the caller, 2 is in the dialplan."""
        rows = (await self.cli("core show channels concise")).splitlines()
        names = [row.partition("!")[0] for row in rows]
        return next(name for name in names if re.fullmatch(rf"Local/{extension}@.*;{half}", name))

    async def hang_up_all(self) -> None:
        """End every call and wait until no channel is left."""
        await self.cli("channel request hangup all")
        deadline = time.monotonic() + STOP_LIMIT_S
        while "0 active channels" not in await self.cli("core show channels count"):
            assert time.monotonic() < deadline, await self.cli("core show channels verbose")
            await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Watch:
    """Asterisk's log since a moment."""

    lab: Lab
    start: int

    def log(self) -> str:
        return self.lab.log(self.start)

    async def logged(self, pattern: str) -> re.Match[str]:
        """Wait until a line of the log matches.

        Raises:
            AssertionError: none did within half a minute; holds the log.
        """
        deadline = time.monotonic() + LOG_LIMIT_S
        while (found := re.search(pattern, self.log())) is None:
            assert time.monotonic() < deadline, f"the log has no {pattern!r}:\n{self.log()}"
            await asyncio.sleep(0.05)
        return found
