"""The images and the stack, built and run by a real Docker: what a user gets by `docker compose up`.

The images that the Dockerfiles start from are stand-ins: trees of the same Debian suites, by debootstrap.
"""

from __future__ import annotations

import asyncio
import json
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.asterisk.lab import SIP_PASSWORD
from tests.asterisk.signals import SAMPLE_RATE, likeness, loudest_hertz, read_wav, tone
from tests.containers.stack import DOLLAR, PROJECT, Stack, wait_until

pytestmark = [pytest.mark.container, pytest.mark.limit(300)]

PROMPTS = PROJECT / "audiosocket_gw" / "testing" / "simulator" / "prompts"
SECOND_BYTES = 2 * SAMPLE_RATE
HEARD_DB = 15
"""G.711 leaves 37 dB; a frame of 20 ms that a busy machine loses takes half of that."""

UP = r"Executing \[5001@phones:\d+\] TryExec\("


def new_files(folder: Path, before: Path | None, pattern: str) -> list[Path]:
    known = {path.name for path in before.glob(pattern)} if before else set()
    return [path for path in sorted(folder.glob(pattern)) if path.name not in known]


@pytest.mark.parametrize("service", ["asterisk", "gateway"])
def test_both_are_healthy(stack: Stack, service: str) -> None:
    def checks() -> list[object]:
        found = stack.inspect(service)["State"]["Health"]["Log"]
        assert isinstance(found, list)
        return found

    wait_until(lambda: len(checks()) > 2, lambda: str(checks()))
    assert stack.inspect(service)["State"]["Health"]["Status"] == "healthy", checks()


def test_nothing_complains_of_the_settings_or_the_health_checks(stack: Stack) -> None:
    gateway, asterisk = stack.log("gateway"), stack.log("asterisk")
    assert not [line for line in gateway.splitlines() if " INFO " not in line]
    assert "tools: avr_transfer, avr_hangup, " in gateway, "TOOLS_DIR"
    assert asterisk.count("Asterisk Ready") == 1
    assert "Remote UNIX connection" not in asterisk
    complaints = asterisk.count("] WARNING[") + asterisk.count("] ERROR[")
    assert complaints == asterisk.count("users.conf is deprecated"), "by the package's own file"


def test_the_gateway_knows_what_is_its_own(stack: Stack) -> None:
    environment = stack.compose("exec", "gateway", "env")
    assert SIP_PASSWORD not in environment
    assert f"CALL_VARIABLES={DOLLAR}\n" in environment
    assert "mine_local.conf" not in stack.compose("exec", "asterisk", "ls", "/etc/asterisk")
    assert "pip" not in stack.compose("exec", "gateway", "ls", "/opt/audiosocket-gw/bin").split()
    host = stack.inspect("gateway")["HostConfig"]
    assert (host["Memory"], host["PidsLimit"], host["ReadonlyRootfs"]) == (1 << 30, 1024, True)
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}


def test_the_demo_runs_in_the_container(stack: Stack) -> None:
    stack.compose("exec", "gateway", "audiosocket-gw", "demo")
    assert (stack.fetch("gateway", "/records/demo-output", "demo") / "call.html").exists()


def test_a_call_by_originate(stack: Stack) -> None:
    gateway, asterisk = stack.watch("gateway"), stack.watch("asterisk")
    stack.asterisk("channel originate Local/5001@phones application Wait 4")
    asterisk.logged(UP)
    gateway.logged("caller-hangup")


async def test_a_phones_call_is_heard_both_ways_and_recorded(stack: Stack, tmp_path: Path) -> None:
    phone, gateway, asterisk = stack.phone(tmp_path), stack.watch("gateway"), stack.watch("asterisk")
    before = stack.fetch("gateway", "/records", "records-before")
    # Listens to the greeting, 4 s, before it speaks: it would cut in.
    async with phone.call("5001", bytes(6 * SECOND_BYTES) + tone(60, 1000)):
        asterisk.logged(UP)
        await asyncio.sleep(11)
    gateway.logged("caller-hangup")
    greeting = read_wav(PROMPTS / "greeting.wav")[SECOND_BYTES:-SECOND_BYTES]
    assert likeness(greeting, read_wav(phone.heard)).added_db > HEARD_DB
    after = stack.fetch("gateway", "/records", "records-after")
    (record,) = new_files(after / "calls", before / "calls", "*.wav")
    with wave.open(str(record)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    caller, agent = samples[:, 0], samples[:, 1]
    assert loudest_hertz(caller[7 * SAMPLE_RATE : 9 * SAMPLE_RATE].tobytes()) == pytest.approx(1000, abs=5)
    assert likeness(greeting, agent.tobytes()).added_db > HEARD_DB
    assert record.stat().st_mode & 0o777 == 0o600


async def test_a_message_is_kept_in_the_volume(stack: Stack, tmp_path: Path) -> None:
    asterisk = stack.watch("asterisk")
    before = stack.fetch("asterisk", "/var/spool/asterisk", "spool-before")
    async with stack.phone(tmp_path).call("602", tone(60, 440)):
        asterisk.logged(r"Executing \[602@phones:3\] Record")
        await asyncio.sleep(4)
    wait_until(lambda: "0 active channels" in stack.asterisk("core show channels count"), asterisk.log)
    stack.compose("down")  # the containers go, the volumes stay
    stack.up()
    after = stack.fetch("asterisk", "/var/spool/asterisk", "spool-after")
    (message,) = new_files(after / "messages", before / "messages", "*.wav")
    assert loudest_hertz(read_wav(message)[SECOND_BYTES // 2 : 2 * SECOND_BYTES]) == pytest.approx(440, abs=5)


async def test_an_agent_transfers_a_caller(stack: Stack, tmp_path: Path) -> None:
    stack.up("transfer.yml")
    phone, gateway, asterisk = stack.phone(tmp_path), stack.watch("gateway"), stack.watch("asterisk")
    # A caller who speaks would cut in, and stay.
    async with phone.call("5001", bytes(60 * SECOND_BYTES)):
        asterisk.logged(r"Executing \[601@transfer-targets:\d+\] SayDigits")
        await asyncio.sleep(2)
    gateway.logged("transferred")
    said = read_wav(PROMPTS / "transfer.wav")[SECOND_BYTES // 2 : 2 * SECOND_BYTES]
    assert likeness(said, read_wav(phone.heard)).added_db > HEARD_DB


async def test_stop_lets_a_call_end(stack: Stack, tmp_path: Path) -> None:
    gateway, asterisk = stack.watch("gateway"), stack.watch("asterisk")
    async with stack.phone(tmp_path).call("5001", tone(60, 1000)):
        asterisk.logged(UP)
        await asyncio.sleep(2)
        stopping = asyncio.create_task(asyncio.to_thread(stack.compose, "stop"))
        await asyncio.sleep(6)
        assert not stopping.done(), gateway.log() + asterisk.log()
        assert stack.inspect("asterisk")["State"]["Running"]
        assert "1 active call" in stack.asterisk("core show channels count")
    await stopping
    assert stack.inspect("gateway")["State"]["ExitCode"] == 0, gateway.log()
    assert not stack.inspect("asterisk")["State"]["Running"]
    assert "no call was cut" in gateway.log()
    assert " ERROR " not in gateway.log()


async def test_a_gateway_that_is_killed_comes_back_and_its_caller_reaches_people(
    stack: Stack, tmp_path: Path
) -> None:
    asterisk = stack.watch("asterisk")
    before = stack.inspect("gateway")
    async with stack.phone(tmp_path).call("5001", tone(60, 1000)):
        asterisk.logged(UP)
        await asyncio.sleep(2)
        stack.engine.run("kill", "-KILL", str(before["State"]["Pid"]))
        asterisk.logged(r"Executing \[s@fallback:1\]")
    wait_until(
        lambda: stack.inspect("gateway")["State"]["Health"]["Status"] == "healthy",
        lambda: json.dumps(stack.inspect("gateway")["State"]),
    )
    assert stack.inspect("gateway")["RestartCount"] == before["RestartCount"] + 1
