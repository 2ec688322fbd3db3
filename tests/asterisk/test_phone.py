"""A real SIP phone, with the shipped pjsip.conf, reaches the agent and hears it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from audiosocket_gw.ami.address import AmiAddress
from audiosocket_gw.ami.call_control import CallControl
from audiosocket_gw.ami.client import AmiClient
from audiosocket_gw.protocol.audiosocket import Kind
from tests.asterisk.lab import AMI_PASSWORD, Lab
from tests.asterisk.phone import Phone
from tests.asterisk.signals import SAMPLE_RATE, loudest_hertz, read_wav, tone
from tests.harness.gateway_peer import FRAME_BYTES, answering, say, silence

pytestmark = pytest.mark.asterisk

SECOND_BYTES = 2 * SAMPLE_RATE


@pytest.fixture
def phone(lab: Lab, tmp_path: Path) -> Phone:
    return Phone.at_hand(lab, tmp_path)


@pytest.mark.parametrize("codec", ["PCMU/8000/1", "PCMA/8000/1"])
@pytest.mark.parametrize("extension", ["5001", "5002"])
async def test_phone_hears_and_is_heard(lab: Lab, phone: Phone, extension: str, codec: str) -> None:
    agent = say(tone(5, 700))
    async with (
        lab.watch(),
        answering(lab.ports.gateway, agent) as lines,
        phone.call(extension, tone(20, 1000), codec),
    ):
        line = await lines.get()
        await line.ended.wait()
    assert {(frame.kind, len(frame.payload)) for frame in line.audio} == {(Kind.SLIN, FRAME_BYTES)}
    assert len(line.heard) > 4 * SECOND_BYTES
    assert loudest_hertz(line.heard[SECOND_BYTES : 4 * SECOND_BYTES]) == pytest.approx(1000, abs=5)
    heard = read_wav(phone.heard)
    assert loudest_hertz(heard[SECOND_BYTES : 4 * SECOND_BYTES]) == pytest.approx(700, abs=5)


async def test_phone_with_a_wrong_password_gets_nowhere(lab: Lab, phone: Phone) -> None:
    async with (
        lab.watch() as watch,
        answering(lab.ports.gateway, silence) as lines,
        phone.call("5001", tone(5, 1000), password="wrong"),
    ):
        await watch.logged("Failed to authenticate")
    assert lines.empty()


async def test_dialled_number_is_what_the_phone_asked_for(lab: Lab, phone: Phone) -> None:
    """Extension 5011 of the tests goes on to 5001 by Goto()."""
    address = AmiAddress("127.0.0.1", "gateway", SecretStr(AMI_PASSWORD), port=lab.ports.ami)
    async with (
        lab.watch(),
        AmiClient(address) as client,
        answering(lab.ports.gateway, silence) as lines,
        phone.call("5011", tone(20, 1000)),
    ):
        line = await lines.get()
        await line.identified()
        while not client.connected:
            await client.wait_for_update()
        channel = (await CallControl(client).describe(line.uuid)).channel
    assert (channel.exten, channel.dialled_number) == ("5001", "5011")
    assert (channel.caller_number, channel.caller_name) == ("+4930123", "Zo\u00eb A. ")
