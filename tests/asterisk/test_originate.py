"""``audiosocket-gw originate`` on a real Asterisk: who answers talks to the agent."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from tests.asterisk.lab import AMI_PASSWORD, Lab
from tests.asterisk.signals import noise
from tests.harness.gateway import running_gateway
from tests.harness.gateway_peer import answering, silence

pytestmark = pytest.mark.asterisk


async def _originate(lab: Lab, channel: str, *arguments: str, **settings: str) -> tuple[int | None, str]:
    """Run the command; return its exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "audiosocket_gw", "originate", channel, *arguments),
        env={
            "PATH": os.environ["PATH"],
            "AMI_HOST": "127.0.0.1",
            "AMI_PORT": str(lab.ports.ami),
            "AMI_PASSWORD": AMI_PASSWORD,
            **settings,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_who_answers_hears_the_agent_which_knows_why(lab: Lab) -> None:
    said = noise(2, seed=1)
    async with (
        running_gateway(
            port=lab.ports.gateway,
            ami_host="127.0.0.1",
            ami_port=lab.ports.ami,
            ami_password=AMI_PASSWORD,
            call_variables="TIER",
        ) as harness,
        answering(lab.ports.handset, silence) as handsets,
        lab.watch(),
    ):
        status, output = await _originate(
            lab,
            "Local/handset@caller",
            *("--caller-id", '"Reminder" <5001>', "--variable", "TIER=gold"),
            ORIGINATE_CHANNELS="Local/handset@caller",
        )
        assert status == 0, output
        # An older release is warned of first.
        ringing, answered = output.splitlines()[-2:]
        assert ringing == "ringing Local/handset@caller, for 30 s at most"
        assert answered.endswith(" goes to 5001@phones")
        await harness.wait_for(events.AgentConnected)
        agent = harness.simulator.conversations[0]
        assert agent.log.initiation is not None
        assert agent.log.initiation["dynamic_variables"]["TIER"] == "gold"
        handset = await handsets.get()
        await agent.send_audio(said)
        while said not in handset.heard:
            await asyncio.sleep(0.2)
        await lab.hang_up_all()
        assert (await harness.wait_for(events.CallEnded)).reason is EndReason.CALLER_HANGUP


async def test_no_one_is_there(lab: Lab) -> None:
    """The phone 1001 of the shipped pjsip.conf is not registered."""
    async with lab.watch():
        status, output = await _originate(lab, "PJSIP/1001")
    assert status == 1
    assert "the call to PJSIP/1001 failed: no such extension, or not reachable" in output


async def test_a_number_outside_is_not_rung(lab: Lab) -> None:
    async with lab.watch() as watch:
        status, output = await _originate(lab, "PJSIP/1001/sip:0900123456@192.0.2.1")
    assert status == 2
    assert output.startswith("audiosocket-gw: ORIGINATE_CHANNELS=")
    assert "PJSIP" not in watch.log()


async def test_the_agents_extension_must_be_there(lab: Lab) -> None:
    status, output = await _originate(lab, "PJSIP/1001", "--extension", "5999")
    assert status == 2
    assert "--extension 5999 --context phones: Asterisk's dialplan has no such extension" in output
