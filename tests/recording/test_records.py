"""What is recorded of a call is what was heard."""

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
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.gateway import Gateway
from audiosocket_gw.protocol.audiosocket import Kind, encode_audio
from audiosocket_gw.settings import GatewaySettings, Settings
from tests.harness.agent_messages import agent_response, audio_message, interruption
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.audio import ramp, without_silence
from tests.harness.gateway import running_gateway

pytestmark = pytest.mark.virtual_time

Samples = npt.NDArray[np.int16]

FRAME = 160


def recording(folder: Path) -> tuple[Samples, Samples, list[dict[str, Any]]]:
    """Return the caller's and the agent's side of the one call in the folder, and its transcript."""
    (audio,) = folder.glob("*.wav")
    (text,) = folder.glob("*.jsonl")
    with wave.open(str(audio)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8_000, 2)
        left, right = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).T
    return left, right, [json.loads(line) for line in text.read_text().splitlines()]


def flight_in(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def place_of(part: Samples, whole: Samples) -> int:
    """Return where ``part`` is in ``whole``, sample for sample."""
    for start in np.flatnonzero(whole == part[0]):
        if np.array_equal(whole[start : start + len(part)], part):
            return int(start)
    raise AssertionError("it is not there")


async def keep_talking(line: AsteriskPeer) -> None:
    """Be a telephone: one frame every 20 ms, each unlike the others."""
    number = 0
    while True:
        line.send(encode_audio(Kind.SLIN, ramp(20, 160 * 7 * number)))
        number = (number + 1) % 25
        await asyncio.sleep(0.02)


async def test_the_recording_of_an_interrupted_call_is_what_the_caller_heard(tmp_path: Path) -> None:
    text = "one two three four five six seven eight nine ten"
    replies = [ramp(3_000, 1 + 1_000 * number) for number in range(3)]
    async with running_gateway(record_dir=tmp_path / "records") as harness:
        line, agent = await harness.call()
        talking = asyncio.create_task(keep_talking(line))
        async with line:
            for number, reply in enumerate(replies, 1):
                await agent.send(agent_response(text, number))
                await agent.send(audio_message(reply, number))
                await line.hears_ms(500 * number)
                await agent.send(interruption(number))
                await asyncio.sleep(0.1)  # silence, by which the end is found
            await asyncio.sleep(0.2)
            talking.cancel()
            heard = np.frombuffer(line.heard, "<i2")
        await harness.wait_for_calls(0)
    left, right, transcript = recording(tmp_path / "records")

    shifts = []
    for reply in replies:
        beginning = np.frombuffer(reply, "<i2")[: 400 * 8]
        shifts.append(place_of(beginning, right) - place_of(beginning, heard))
    # The recording begins a frame before the first tick, and the ticks of a busy test machine are late.
    assert max(shifts) - min(shifts) <= FRAME
    assert all(0 <= shift <= 3 * FRAME for shift in shifts)
    assert np.count_nonzero(right) == np.count_nonzero(heard)
    assert np.count_nonzero(left) > 8 * 1_500

    ends = [entry for entry in transcript if entry["type"] == "heard"]
    assert [entry["interrupted"] for entry in ends] == [True] * 3
    for entry, reply in zip(ends, replies, strict=True):
        start = place_of(np.frombuffer(reply, "<i2")[: 400 * 8], right)
        silent = start + int(np.argmin(right[start:]))
        assert right[silent] == 0
        assert abs((silent - start) / 8 - entry["heard_ms"]) <= 20
        assert abs(len(entry["heard"]) / len(text) - entry["heard_ms"] / 3_000) < 0.1
        assert abs(silent / 8_000 - entry["at"]) < 0.2
    assert (transcript[0]["type"], transcript[-1]["reason"]) == ("call", "caller-hangup")


async def test_what_the_caller_says_is_recorded_sample_for_sample(tmp_path: Path) -> None:
    said = ramp(500)
    async with running_gateway(record_dir=tmp_path) as harness:
        line, _ = await harness.call()
        async with line:
            for start in range(0, len(said), 320):
                line.send(encode_audio(Kind.SLIN, said[start : start + 320]))
                await asyncio.sleep(0.02)
        await harness.wait_for_calls(0)
    left, right, _ = recording(tmp_path)
    # Where this process was late with a frame, there is silence.
    assert without_silence(left.tobytes()) == said
    assert not right.any()


async def test_a_disk_that_fails_never_harms_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "records"
    async with running_gateway(record_dir=folder, flight_dir=tmp_path / "flights") as harness:
        for directory in (folder, tmp_path / "flights"):
            directory.rmdir()
        line, agent = await harness.call()
        async with line:
            await agent.send(audio_message(ramp(1_500), 1))
            await line.hears(ramp(1_500))
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.CALLER_HANGUP
    assert "RECORD_DIR" in caplog.text
    assert "FLIGHT_DIR" in caplog.text


@pytest.mark.parametrize("name", ["record_dir", "flight_dir"])
async def test_a_folder_that_can_not_be_used_keeps_the_gateway_from_starting(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").touch()
    given: dict[str, Any] = {"elevenlabs_agent_id": "agent", "port": 0, name: tmp_path / "file"}
    settings = Settings(**given)
    with pytest.raises(ConfigurationError, match=name.upper()):
        async with Gateway(GatewaySettings.of(settings)):
            pass


async def test_flights_of_calls_that_ended_badly_are_kept(tmp_path: Path) -> None:
    async with running_gateway(flight_dir=tmp_path) as harness:
        good, _ = await harness.call()
        async with good:
            pass
        bad, agent = await harness.call()
        async with bad:
            await agent.connection.close(1011)
            await harness.wait_for(events.CallEnded, bad.uuid)
        await harness.wait_for_calls(0)
    assert str(bad.uuid) in flight_in(tmp_path).name
