"""Every sample arrives: from the caller's mouth to the gateway, and from the gateway to the caller's ear."""

from __future__ import annotations

import pytest

from tests.asterisk.lab import Lab
from tests.asterisk.signals import noise, read_wav
from tests.harness.gateway_peer import answering, say, silence

pytestmark = pytest.mark.asterisk

LEAD = bytes(16_000)
"""A second of silence: what is sent before Asterisk has joined the two legs is lost."""


@pytest.mark.parametrize("extension", ["5001", "5002"])
@pytest.mark.limit(120)
async def test_every_sample_reaches_the_ear(lab: Lab, extension: str) -> None:
    sent = noise(20, seed=1)
    async with (
        answering(lab.ports.gateway, say(LEAD + sent)) as lines,
        lab.call(extension, "record-ear"),
    ):
        await (await lines.get()).ended.wait()
    assert sent in read_wav(lab.recordings / "ear.wav")


@pytest.mark.parametrize("extension", ["5001", "5002"])
@pytest.mark.limit(120)
async def test_every_sample_leaves_the_mouth(lab: Lab, extension: str) -> None:
    said = noise(20, seed=2)
    (lab.recordings / "mouth.sln").write_bytes(said)
    async with answering(lab.ports.gateway, silence) as lines, lab.call(extension, "play-mouth"):
        line = await lines.get()
        await line.frames_received(len(said) // 320)
    assert said in line.heard
