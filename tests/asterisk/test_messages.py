"""A message left on 602 is kept, however the caller ends it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tests.asterisk.lab import Lab, Watch
from tests.asterisk.signals import SAMPLE_RATE, loudest_hertz, read_wav, tone
from tests.harness.gateway_peer import GatewayPeer, answering

pytestmark = pytest.mark.asterisk

RECORDING = r"Executing \[602@phones:3\] Record\(\"[^\"]*\", \"(?P<file>[^,]*),"
SECOND_BYTES = 2 * SAMPLE_RATE


def messages(lab: Lab) -> set[Path]:
    return set((lab.spool / "messages").glob("*"))


async def recording(lab: Lab, watch: Watch) -> str:
    """Wait until the message is being recorded (its file grows); return its name in the dialplan."""
    name = (await watch.logged(RECORDING))["file"]
    file = lab.spool / "messages" / Path(name).name
    async with asyncio.timeout(30):
        while not file.exists() or file.stat().st_size < 2 * SECOND_BYTES:
            await asyncio.sleep(0.1)
    return name


async def test_a_message_is_kept_when_the_caller_hangs_up(lab: Lab) -> None:
    before = messages(lab)
    async with lab.call("602", "tone") as watch:
        await recording(lab, watch)
        await lab.hang_up_all()
    (message,) = messages(lab) - before
    assert loudest_hertz(read_wav(message)[:SECOND_BYTES]) == pytest.approx(1004, abs=5)
    assert message.stat().st_mode & 0o777 == 0o600
    assert message.stat().st_uid == lab.spool.stat().st_uid


async def test_a_message_that_ends_in_silence_is_read_back(lab: Lab) -> None:
    async def caller(line: GatewayPeer) -> None:
        await line.play(tone(12, 700))
        await line.play(bytes(60 * SECOND_BYTES))

    before = messages(lab)
    async with answering(lab.ports.handset, caller), lab.call("602", "handset") as watch:
        name = (await recording(lab, watch)).removesuffix(".wav")
        await watch.logged(rf"Playing '{re.escape(name)}")
        await watch.logged(r"Playing 'vm-goodbye")
    (message,) = messages(lab) - before
    assert loudest_hertz(read_wav(message)[:SECOND_BYTES]) == pytest.approx(700, abs=5)
