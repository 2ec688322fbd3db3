"""The shipped dialplan, on a real Asterisk: the agent is reached, and where it isn't, the fallback."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from uuid import RFC_4122, UUID

import pytest

from audiosocket_gw.protocol.audiosocket import Dtmf, Frame, Kind
from tests.asterisk.lab import Lab
from tests.asterisk.release import KEYS, ORDERLY_END, WIDEBAND
from tests.asterisk.test_manager import session
from tests.harness.gateway_peer import answering, refuse, say, silence

pytestmark = pytest.mark.asterisk

FALLBACK = r"Executing \[s@fallback:1\]"
HANGUP = r"Executing \[s@after-agent:\d\] Hangup"

HARMLESS = ("users.conf is deprecated",)
"""What the package's own files cause."""


async def test_shipped_files_load_without_a_warning(lab: Lab) -> None:
    complaints = [
        line
        for line in lab.log().partition("Asterisk Ready")[0].splitlines()
        if re.search(r"\b(WARNING|ERROR)\[", line) and not any(known in line for known in HARMLESS)
    ]
    assert complaints == []
    assert "3 modules loaded" in await lab.cli("module show like audiosocket")
    assert f"GATEWAY=127.0.0.1:{lab.ports.gateway}" in await lab.cli("dialplan show globals")


async def test_every_call_has_a_uuid_of_its_own(lab: Lab) -> None:
    """Eight channels at once make 100 each, in a second or two: as many as no PBX has calls to begin."""
    async with lab.watch() as watch:
        await asyncio.gather(*(lab.originate("uuids", "silent") for _ in range(8)))
        while len(uuids := re.findall(r'NoOp\("[^"]+", "UUID ([^"]*)"\)', watch.log())) < 800:
            await asyncio.sleep(0.1)
    assert len(set(uuids)) == 800
    assert {(UUID(uuid).version, UUID(uuid).variant, str(UUID(uuid)) == uuid) for uuid in uuids} == {
        (4, RFC_4122, True)
    }


@pytest.mark.parametrize("extension", ["5001", "5002"])
async def test_agent_is_reached(lab: Lab, extension: str) -> None:
    async with answering(lab.ports.gateway, silence) as lines, lab.call(extension, "tone"):
        line = await lines.get()
        await line.frames_received(50)
    assert line.uuid.version == 4
    assert {(frame.kind, len(frame.payload)) for frame in line.audio} == {(Kind.SLIN, 320)}
    assert any(line.heard)


@WIDEBAND
async def test_agent_is_reached_in_wideband(lab: Lab) -> None:
    async with answering(lab.ports.gateway, silence) as lines, lab.call("5003", "tone"):
        line = await lines.get()
        await line.frames_received(50)
    assert {(frame.kind, len(frame.payload)) for frame in line.audio} == {(Kind.SLIN16, 640)}


@pytest.mark.parametrize("extension", ["5001", "5002", "5003"])
@pytest.mark.parametrize("before", ["phones", "connected-before"])
async def test_fallback_when_the_gateway_is_down(lab: Lab, extension: str, before: str) -> None:
    async with lab.watch() as watch:
        await lab.cli(f"channel originate Local/{extension}@{before} extension silent@caller")
        await watch.logged(FALLBACK)
        await watch.logged(r"Playing 'sorry")


@pytest.mark.parametrize("extension", ["5001", "5002", "5003"])
async def test_fallback_when_the_gateway_refuses_at_once(lab: Lab, extension: str) -> None:
    async with answering(lab.ports.gateway, refuse), lab.call(extension, "silent") as watch:
        await watch.logged(FALLBACK)


@pytest.mark.parametrize("extension", [pytest.param("5001", marks=ORDERLY_END), "5002"])
async def test_no_fallback_after_a_call_that_was_served(lab: Lab, extension: str) -> None:
    async with answering(lab.ports.gateway, say(bytes(5 * 16_000))), lab.call(extension, "tone") as watch:
        await watch.logged(HANGUP)
        await asyncio.sleep(0.5)
    assert not re.search(FALLBACK, watch.log())


async def _report(lab: Lab, extension: str, result: str) -> None:
    """Set ``AVR_RESULT`` on the caller's channel, as the gateway does by AMI."""
    await lab.cli(f"dialplan set chanvar {await lab.leg(extension, 2)} AVR_RESULT {result}")


@pytest.mark.parametrize("extension", ["5001", "5002", "5003"])
@pytest.mark.parametrize("result", ["quota", "draining", "error"])
async def test_fallback_when_the_agent_fails_in_a_long_call(lab: Lab, extension: str, result: str) -> None:
    async with answering(lab.ports.gateway, silence) as lines, lab.call(extension, "tone") as watch:
        line = await lines.get()
        await line.frames_received(150)
        await _report(lab, extension, result)
        line.hang_up()
        await watch.logged(FALLBACK)
    assert f"No agent: AVR_RESULT={result}" in watch.log()


@pytest.mark.parametrize("extension", ["5001", "5002", "5003"])
async def test_no_fallback_after_a_short_call_that_was_completed(lab: Lab, extension: str) -> None:
    async with answering(lab.ports.gateway, silence) as lines, lab.call(extension, "tone") as watch:
        line = await lines.get()
        await line.frames_received(5)
        await _report(lab, extension, "completed")
        line.hang_up()
        await watch.logged(HANGUP)
    assert not re.search(FALLBACK, watch.log())


@pytest.mark.parametrize("extension", ["5001", "5002", "5003"])
async def test_no_fallback_after_a_completed_call_whose_connection_broke(lab: Lab, extension: str) -> None:
    """Also what Asterisk below 20.14, 21.9 and 22.4 says of every end: ``TRYSTATUS`` is ``FAILED``."""
    async with answering(lab.ports.gateway, silence) as lines, lab.call(extension, "tone") as watch:
        line = await lines.get()
        await line.frames_received(150)
        await _report(lab, extension, "completed")
        line.reset()
        await watch.logged(HANGUP)
    assert not re.search(FALLBACK, watch.log())


ENDED_IN_ORDER = ({"TRYSTATUS": "SUCCESS"}, {"DIALSTATUS": "ANSWER"})
BROKEN: tuple[dict[str, str], ...] = (
    {"TRYSTATUS": "FAILED"},
    {"TRYSTATUS": "NOAPP"},
    {"DIALSTATUS": "CHANUNAVAIL"},
    {"DIALSTATUS": "CONGESTION"},
    {},
)


@pytest.mark.parametrize("result", ["", "completed", "transferred", "quota", "error"])
async def test_the_table_of_what_follows_the_agent(lab: Lab, result: str) -> None:
    """docs/asterisk.md has it: each result with each status, short and long."""
    for status, seconds in itertools.product((*ENDED_IN_ORDER, *BROKEN), (0, 60)):
        started_ms = int((time.time() - seconds) * 1000)
        variables = {"AVR_RESULT": result, "STARTED_MS": started_ms} | status
        async with lab.watch() as watch, session(lab) as (ami, _):
            await ami.action(
                "Originate",
                Channel="Local/s@after-agent",
                Application="Wait",
                Data="60",
                Async="true",
                Variable=",".join(f"__{name}={value}" for name, value in variables.items()),
            )
            went = await watch.logged(f"(?P<fallback>{FALLBACK})|{HANGUP}")
        served = not result and status in ENDED_IN_ORDER and seconds > 2
        assert (went["fallback"] is None) == (result == "completed" or served), (result, status, seconds)


@pytest.mark.parametrize("extension", ["5001", "5002", "5003"])
async def test_the_result_of_an_earlier_call_does_not_count(lab: Lab, extension: str) -> None:
    async with answering(lab.ports.gateway, refuse), lab.watch() as watch:
        await lab.cli(f"channel originate Local/{extension}@second-time extension silent@caller")
        await watch.logged(FALLBACK)
    assert "No agent: AVR_RESULT= AVR_REASON= " in watch.log()


@pytest.mark.parametrize("extension", ["5001", "5002"])
async def test_no_fallback_when_the_caller_hangs_up_at_once(lab: Lab, extension: str) -> None:
    async with answering(lab.ports.gateway, silence) as lines, lab.call(extension, "tone") as watch:
        line = await lines.get()
        await line.frames_received(5)
        # Not all channels: were the agent's ended first, Dial() would go on with a caller who is still there.
        await lab.cli(f"channel request hangup {await lab.leg(extension, 1)}")
        await line.ended.wait()
        await lab.hang_up_all()
    assert not re.search(FALLBACK, watch.log())


@KEYS
@pytest.mark.parametrize("extension", ["5001", "5002"])
async def test_keys_arrive(lab: Lab, extension: str) -> None:
    async with answering(lab.ports.gateway, silence) as lines, lab.call(extension, "keys-19*#"):
        line = await lines.get()
        async with asyncio.timeout(20):
            while len(_digits(line.frames)) < 4:
                await asyncio.sleep(0.1)
    assert _digits(line.frames) == "19*#"


def _digits(frames: list[Frame]) -> str:
    return "".join(frame.digit for frame in frames if isinstance(frame, Dtmf))


@pytest.mark.parametrize("target", ["601", "602"])
async def test_transfer_targets_exist(lab: Lab, target: str) -> None:
    async with lab.call(target, "silent") as watch:
        await watch.logged(
            rf"Executing \[{target}@phones:2\] Playback|Executing \[{target}@transfer-targets:2\]"
        )
