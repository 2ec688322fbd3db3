"""The stack of docker-compose.yml, as a user has it: the project's files, and a .env that says everything."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi

from tests.asterisk.lab import AMI_PASSWORD, SIP_PASSWORD, Ports
from tests.asterisk.phone import Phone
from tests.containers.engine import Engine

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]

LIMIT_S = 60
"""Nothing that is waited for takes longer, on a slow machine either."""

NOT_HERE = ("ELEVENLABS_", "PHONE_ADDRESS")
"""Settings of .env.example that are for an account and for phones elsewhere."""

DOLLAR = "TIER=gold$1"


def whole_env(example: str) -> str:
    """Return .env.example with every setting in force that can be here, and with passwords."""
    lines = re.sub(r"^#(?=[A-Z_]+=)", "", example, flags=re.MULTILINE).splitlines()
    kept = [line for line in lines if not line.startswith(NOT_HERE)]
    return "\n".join(
        [
            *kept,
            f"AMI_PASSWORD={AMI_PASSWORD}",
            f"SIP_PASSWORD={SIP_PASSWORD}",
            f"CALL_VARIABLES='{DOLLAR}'",
            "HOLD_AUDIO=audiosocket_gw/testing/demo/goodbye.wav",
            "TLS_CA_FILE=authority.pem",
            "ORDERS_URL=http://orders.example",  # of tools/order_status.py
            "",
        ]
    )


@dataclass(frozen=True, slots=True)
class Stack:
    """The project at ``/shared/project`` in an engine."""

    engine: Engine

    @property
    def directory(self) -> Path:
        return self.engine.shared / "project"

    def lay_out(self) -> None:
        """Copy the project's files, committed or not, and add what users add."""
        self.directory.mkdir()
        subprocess.run(["sh", HERE.parent / "copy_project.sh", self.directory], check=True)
        for name in ("transfer.yml", "transfer.toml"):
            shutil.copy(HERE / name, self.directory)
        shutil.copy(certifi.where(), self.directory / "authority.pem")
        (self.directory / ".env").write_text(whole_env((PROJECT / ".env.example").read_text()))
        (self.directory / "asterisk" / "mine_local.conf").write_text("secret = mine\n")

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` in the project; return what it prints."""
        return self.engine.run("docker", "compose", "--project-directory", "/shared/project", *arguments)

    def up(self, *overrides: str) -> None:
        """Have the stack running and healthy, with compose files on top of its own."""
        files = ("docker-compose.yml", *overrides)
        chosen = [argument for file in files for argument in ("--file", f"/shared/project/{file}")]
        try:
            self.compose(*chosen, "up", "--detach", "--wait", "--remove-orphans")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.compose('logs', '--no-color')[-4000:]}") from None

    def log(self, service: str) -> str:
        return self.compose("logs", "--no-color", "--no-log-prefix", service)

    def asterisk(self, command: str) -> str:
        """Run a command of Asterisk's command line."""
        return self.compose("exec", "asterisk", "asterisk", "-rx", command)

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what Docker knows of the service's container, running or not."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        (found,) = json.loads(self.engine.run("docker", "inspect", container))
        assert isinstance(found, dict)
        return found

    def watch(self, service: str) -> Watch:
        """Look at the service's log from here on."""
        return Watch(self, service, len(self.log(service)))

    def fetch(self, service: str, path: str, to: str) -> Path:
        """Copy a folder out of a service's container, also one that is stopped; return where it is."""
        target = self.engine.shared / to
        self.compose("cp", f"{service}:{path}", f"/shared/{to}")
        return target

    def phone(self, home: Path) -> Phone:
        """A phone on the machine that the engine is."""
        return Phone(Ports(0, 0, 0, 5060, 35_060, 35_062, 0), home, self.engine.beside)


@dataclass(frozen=True, slots=True)
class Watch:
    """A service's log since a moment."""

    stack: Stack
    service: str
    start: int

    def log(self) -> str:
        return self.stack.log(self.service)[self.start :]

    def logged(self, pattern: str) -> None:
        """Wait until a line of the log matches.

        Raises:
            AssertionError: none did; holds the log.
        """
        wait_until(
            lambda: re.search(pattern, self.log()),
            lambda: (
                f"{self.service} logged no {pattern!r}:\n{self.stack.compose('logs', '--no-color')[-8000:]}"
            ),
        )


def wait_until(condition: Callable[[], object], explain: Callable[[], str]) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: it never did.
    """
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.2)
