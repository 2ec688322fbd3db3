"""One trial: a gateway process between many callers and their agents, measured while all calls are up."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent
REPOSITORY = SOURCES.parent

OWN_COMMAND = f"{sys.executable} -m audiosocket_gw serve"

START_S = 20.0
"""How long a gateway gets to listen."""

FIRST_CALL_S = 0.2
WARM_UP_S = 1.0
REST_S = 1.0

NICENESS = -20
"""Set where that is allowed: what else runs on the machine shall not be measured. Not a real-time priority:
of those the kernel takes 5 % of a core away, 50 ms at a time, and at the limit that would be measured."""

Figures = dict[str, Any]
"""What was measured, by name: what `load.c` prints, ``cpu_ms`` per call and second, ``busy`` of one core,
``kib`` per call; and what wasn't the gateway's fault, as shares of the time: how long it ``waited`` for its
core while others had it, and how long the host has ``stolen`` one."""


class TrialError(Exception):
    """The trial came to nothing; the message says what happened."""


@dataclass(frozen=True, slots=True)
class Load:
    """The compiled load; with a certificate its agents speak TLS."""

    program: Path
    certificate: Path | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured. ``command`` may hold ``{port}`` and ``{agent_port}``; it also finds its settings,
    named as those of this project's gateway, in its environment.

    ``warm``: the process has held, and seen the end of, as many calls before.
    """

    name: str
    command: str
    load: Load
    settings: Mapping[str, str] = field(default_factory=dict)
    warm: bool = True


@dataclass(frozen=True, slots=True)
class Trial:
    """What a subject has to do: hold ``calls`` calls, measured for ``seconds``.

    ``rise_from``: measure from so many calls on, and add others, up to ``calls``, slowly. ``settle_s``: how
    long to wait before. ``speech_s``: how much an agent says at once. `load.c` explains them.
    """

    calls: int
    seconds: float
    settle_s: float = 1
    rise_from: int = 0
    speech_s: int = 0

    @property
    def warm_up(self) -> Trial:
        return Trial(self.rise_from or self.calls, WARM_UP_S)

    @property
    def arguments(self) -> list[str]:
        words = [f"{self.calls}", f"{self.seconds}", f"settle={self.settle_s}"]
        words += [f"rise={self.rise_from}"] if self.rise_from else []
        return words + ([f"speech={self.speech_s}"] if self.speech_s else [])


def build_load(folder: Path) -> Load:
    return Load(_compile("load.c", folder / "load"))


def build_tls_load(folder: Path) -> Load:
    """Needs OpenSSL, and its headers."""
    program = _compile("load.c", folder / "load-tls", "-DTLS", "-lssl", "-lcrypto")
    return Load(program, _certificate(folder))


def build_relay(folder: Path) -> str:
    """Return the command of the reference relay."""
    return f"{_compile('relay.c', folder / 'relay')} {{port}} {{agent_port}}"


def _compile(source: str, program: Path, *extras: str) -> Path:
    flags = shlex.split(os.environ.get("CFLAGS", ""))
    _run("cc", "-O2", *flags, "-o", program, SOURCES / source, *extras)
    return program


def _certificate(folder: Path) -> Path:
    """Make a certificate for localhost that is its own authority; certificate and key in one file."""
    key, certificate = folder / "agent.key", folder / "agent.pem"
    request = ["openssl", "req", "-x509", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    _run(*request, *kind, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate)
    certificate.write_text(certificate.read_text() + key.read_text())
    return certificate


def _run(*words: str | Path) -> None:
    try:
        subprocess.run(words, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise TrialError(f"{words[0]} is missing; on Debian: apt install gcc openssl libssl-dev") from None
    except subprocess.CalledProcessError as error:
        raise TrialError(f"{words[0]} failed: {error.stderr}") from None


class GatewayProcess:
    """A gateway under test: a process that listens for AudioSocket."""

    def __init__(self, command: list[str], environment: dict[str, str], port: int, log: Path) -> None:
        self.port = port
        self._log = log
        with log.open("w") as output:
            # In the folder of the log: a .env file in the present one is none of the trial's business.
            self._process = subprocess.Popen(
                command, env=environment, cwd=log.parent, stdout=output, stderr=subprocess.STDOUT
            )
        place(self._process.pid, core=0)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_listening(self) -> None:
        """Look it up in the kernel's table: a connection, as a probe, would warm the process up."""
        limit = time.monotonic() + START_S
        while not _listening(self.port):
            if self._process.poll() is not None or time.monotonic() > limit:
                raise TrialError(f"the gateway does not listen on port {self.port}. {self.last_words()}")
            time.sleep(0.05)

    def cpu_s(self) -> float:
        """Return the user and system time so far."""
        # Linux's clock of another process (clock_getcpuclockid): to the nanosecond, where /proc counts 10 ms.
        return time.clock_gettime(~self.pid << 3 | 2)

    def waited_s(self) -> float:
        """Return how long it was ready to run and another ran, so far."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9

    def resident_kib(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def must_run(self) -> None:
        if self._process.poll() is not None:
            raise TrialError(f"the gateway ended with {self._process.returncode}. {self.last_words()}")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_words(self) -> str:
        return f"It said: {self._log.read_text(errors='replace')[-2000:] or '(nothing)'}"


def _listening(port: int) -> bool:
    """Tell whether a socket of this machine is in the state 0A, listening, on ``port``."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, _, state = line.split()[1:4]
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                return True
    return False


def place(pid: int, *, core: int) -> None:
    """Put a process on a core of its own where there are two, and before others where that is allowed."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(pid, {cores[core]})
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)


@contextmanager
def _gateway(subject: Subject, folder: Path, calls: int, agent_port: int) -> Iterator[GatewayProcess]:
    port = free_port()
    certificate = subject.load.certificate
    environment = (
        os.environ
        | subject.settings
        | {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "MAX_CALLS": str(2 * calls),  # those of the warm-up may still be on their way out
            "ELEVENLABS_AGENT_ID": "benchmark",
            "ELEVENLABS_BASE_URL": f"{'https' if certificate else 'http'}://localhost:{agent_port}",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))),
        }
    )
    if certificate is not None:
        environment["SSL_CERT_FILE"] = str(certificate)
    command = subject.command.format(port=port, agent_port=agent_port).split()
    gateway = GatewayProcess(command, environment, port, folder / "gateway.log")
    try:
        gateway.wait_until_listening()
        yield gateway
    finally:
        gateway.stop()


def stolen_time_s() -> float:
    """Return how long the host of this virtual machine has kept its cores from running so far, in all."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_trial(
    subject: Subject,
    folder: Path,
    trial: Trial,
    on_steady: Callable[[GatewayProcess], None] = lambda _: None,
) -> Figures:
    """Start the subject, hold the calls, and return what was measured.

    ``on_steady`` is called when all calls are up and the measured time begins. The process's log and
    whatever else it writes goes to ``folder``.

    Raises:
        TrialError: the gateway didn't start, or calls didn't come about.
    """
    agent_port = free_port()
    with _gateway(subject, folder, trial.calls, agent_port) as gateway:
        if subject.warm:  # the first call pays for what all calls share
            _measure(gateway, subject.load, agent_port, Trial(1, FIRST_CALL_S), lambda _: None)
        idle_kib = gateway.resident_kib()
        if subject.warm:
            _measure(gateway, subject.load, agent_port, trial.warm_up, lambda _: None)
            time.sleep(REST_S)
        figures = _measure(gateway, subject.load, agent_port, trial, on_steady)
    figures["kib"] = (figures["resident_kib"] - idle_kib) / (figures["calls"] or 1)
    return figures


def _measure(
    gateway: GatewayProcess,
    load: Load,
    agent_port: int,
    trial: Trial,
    on_steady: Callable[[GatewayProcess], None],
) -> Figures:
    arguments = [str(gateway.port), str(agent_port), *trial.arguments]
    if load.certificate is not None:
        arguments.append(f"pem={load.certificate}")
    process = subprocess.Popen(
        [load.program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    place(process.pid, core=1)
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        try:
            process.stdout.readline()  # "steady"
            gateway.must_run()
            before = gateway.cpu_s(), gateway.waited_s(), stolen_time_s()
            on_steady(gateway)
            process.stdout.readline()  # "over"
            gateway.must_run()
            after = gateway.cpu_s(), gateway.waited_s(), stolen_time_s()
            resident_kib = gateway.resident_kib()
            answer = process.stdout.readline()
            if not answer:
                raise TrialError(f"the load gave up: {process.stderr.read().strip()}. {gateway.last_words()}")
        finally:
            process.terminate()
    figures: Figures = json.loads(answer)
    seconds = figures["seconds"]
    cpu_s, waited_s, stolen_s = (late - early for early, late in zip(before, after, strict=True))
    figures["busy"] = cpu_s / seconds
    figures["cpu_ms"] = cpu_s * 1000 / (figures["calls"] or 1) / seconds
    figures["calls_per_s"] = figures["calls"] / figures["set_up_s"]
    figures["waited"] = waited_s / seconds
    figures["stolen"] = stolen_s / seconds
    figures["resident_kib"] = resident_kib
    return figures
