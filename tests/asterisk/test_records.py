"""The gateway's recording agrees with Asterisk's own, made on the caller's leg."""

from __future__ import annotations

import asyncio
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from audiosocket_gw import events
from tests.asterisk.lab import Lab
from tests.asterisk.signals import noise, read_wav
from tests.harness.agent_messages import agent_response
from tests.harness.gateway import running_gateway

pytestmark = pytest.mark.asterisk

Samples = npt.NDArray[np.int16]

FRAME = 160
TEXT = "one two three four five six seven eight nine ten"


def place_of(part: bytes, whole: Samples) -> int:
    """Return where ``part`` is in ``whole``, sample for sample."""
    audio = whole.tobytes()
    start = audio.find(part)
    while start > 0 and start % 2:  # -1 is odd, too
        start = audio.find(part, start + 1)
    assert start >= 0, "it is not there"
    return start // 2


def end_of(start: int, whole: Samples) -> int:
    """Return where the audio that begins at ``start`` ends: noise has no two zeros in a row."""
    silent = whole[start:] == 0
    return start + int(np.argmax(silent[:-1] & silent[1:]))


def recording(folder: Path) -> tuple[Samples, Samples, list[dict[str, Any]]]:
    (audio,) = folder.glob("*.wav")
    with wave.open(str(audio)) as file:
        left, right = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).T
    (text,) = folder.glob("*.jsonl")
    return left, right, [json.loads(line) for line in text.read_text().splitlines()]


@pytest.mark.parametrize("extension", ["5001", "5002"])
async def test_a_call_with_two_interruptions(lab: Lab, tmp_path: Path, extension: str) -> None:
    said = noise(8, seed=20)
    replies = [noise(5, seed=seed) for seed in (21, 22, 23)]
    (lab.recordings / "caller.sln").write_bytes(said)
    async with (
        running_gateway(port=lab.ports.gateway, record_dir=tmp_path) as harness,
        lab.call(extension, "both-caller"),
    ):
        conversation = await harness.simulator.wait_for_conversation()
        await harness.wait_for(events.AgentConnected)
        await asyncio.sleep(1.5)  # Asterisk records the caller's leg after a second
        for reply in replies:
            conversation.begin_reply()
            await conversation.send(agent_response(TEXT, conversation.event_id))
            await conversation.send_audio(reply)
            await asyncio.sleep(1.3)
            await conversation.interrupt()
            await asyncio.sleep(0.4)
        await asyncio.sleep(0.5)
    left, right, transcript = recording(tmp_path)
    heard = np.frombuffer(read_wav(lab.recordings / "caller-heard.wav"), "<i2")

    # The caller's leg begins to record when it begins to speak: by that the two recordings are laid together.
    shift = place_of(said[:64_000], left)
    ends = [entry for entry in transcript if entry["type"] == "heard"]
    assert len(ends) == len(replies)
    for reply, end in zip(replies, ends, strict=True):
        here, there = place_of(reply[:8_000], right), place_of(reply[:8_000], heard)
        print(f"{extension}: our recording is {(here - shift - there) / 8:.1f} ms after Asterisk's")
        assert abs(here - shift - there) <= FRAME
        stops_here, stops_there = end_of(here, right), end_of(there, heard)
        assert stops_here - here == stops_there - there
        assert abs((stops_here - here) / 8 - end["heard_ms"]) <= 20
        # The words end where the audio did: as many of the text as of the 5 s, and whole ones.
        share = TEXT[: len(TEXT) * end["heard_ms"] // 5_000]
        assert end["heard"] == share.rpartition(" ")[0]
