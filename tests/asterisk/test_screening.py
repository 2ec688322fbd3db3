"""Strangers at a gateway that a real Asterisk uses: its callers pass, no one else does."""

from __future__ import annotations

import time

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.server.signed_uuid import SignedUuids
from tests.asterisk.lab import UUID_SECRET, Lab
from tests.asterisk.test_control import controlled, in_control, talk_on
from tests.harness.gateway import running_gateway
from tests.harness.gateway_peer import answering, silence

pytestmark = pytest.mark.asterisk

STRICT = {"require_ami_match": True, "require_caller_audio": True}
FALLBACK = r"Executing \[s@fallback:1\] .*AVR_RESULT=(\S*) AVR_REASON=(\S*) "


@pytest.mark.parametrize("extension", ["5001", "5002"])
async def test_callers_of_this_asterisk_pass_and_a_stranger_does_not(lab: Lab, extension: str) -> None:
    async with controlled(lab, **STRICT) as harness:
        await in_control(harness)
        async with talk_on(lab, harness, extension) as call:
            await call.goes_on()
            async with await harness.line() as stranger:
                stranger.identify()
                ended = await harness.wait_for(events.CallEnded, stranger.uuid)
                assert ended.reason is EndReason.CALLER_UNKNOWN
            await call.goes_on()
        assert len(harness.simulator.conversations) == 1


async def test_without_a_login_every_caller_reaches_the_fallback(lab: Lab) -> None:
    async with controlled(lab, ami_password="wrong", **STRICT) as harness, lab.call("5001", "tone") as watch:
        await watch.logged(FALLBACK)
        assert (await harness.wait_for(events.CallEnded)).reason is EndReason.PBX_UNREACHABLE
        assert not harness.simulator.conversations


async def test_a_uuid_is_signed_as_the_documentation_says(lab: Lab) -> None:
    uuids = SignedUuids(UUID_SECRET, 60)
    async with answering(lab.ports.gateway, silence) as lines:
        for _ in range(2):
            async with lab.call("5013", "tone") as watch:
                line = await lines.get()
                await watch.logged(r"Signed in \d+ ms")
            assert uuids.reject(line.uuid, time.time()) is None
            uuids.use(line.uuid)


async def test_only_calls_with_a_signed_uuid_pass(lab: Lab) -> None:
    async with controlled(lab, uuid_secret=UUID_SECRET) as harness:
        await in_control(harness)
        async with lab.call("5013", "tone"):
            await harness.simulator.wait_for_conversation(1)
        async with lab.call("5001", "tone") as watch:
            found = await watch.logged(FALLBACK)
            assert found.groups() == ("error", "uuid-invalid")
    assert len(harness.simulator.conversations) == 1


async def test_a_caller_who_is_never_heard_reaches_no_agent(lab: Lab) -> None:
    async with running_gateway(
        port=lab.ports.gateway, require_caller_audio=True, no_input_timeout=2
    ) as harness:
        async with lab.call("5001", "silent") as watch:
            ended = await harness.wait_for(events.CallEnded)
            await watch.logged(r"Executing \[s@(after-agent|fallback):")
        assert ended.reason is EndReason.CALLER_SILENT
        assert not harness.simulator.conversations
