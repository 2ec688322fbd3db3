"""What Asterisk 22 does with what a gateway sends: the facts that the simulated caller imitates."""

from __future__ import annotations

import asyncio

import pytest

from audiosocket_gw.protocol.audiosocket import HEADER, SAMPLE_RATES, Kind, encode_audio
from tests.asterisk.lab import Lab
from tests.asterisk.release import LATE_PAYLOAD, ORDERLY_END, SPLIT_HEADER, WIDEBAND
from tests.asterisk.signals import loudest_tone, noise, read_wav, tone
from tests.harness.gateway_peer import FRAME_BYTES, GatewayPeer, Script, answering, say_nothing, silence

pytestmark = pytest.mark.asterisk

FRAME = encode_audio(Kind.SLIN, bytes(FRAME_BYTES))


def after_a_second(data: bytes) -> Script:
    """Send a second of silence, then ``data``, then silence for ever."""

    async def script(line: GatewayPeer) -> None:
        await line.play(bytes(FRAME_BYTES) * 50)
        line.write(data)
        await silence(line)

    return script


def split(at: int, pause_s: float) -> Script:
    """Send silence in frames that are cut behind byte ``at``, with a pause in the cut."""

    async def script(line: GatewayPeer) -> None:
        while True:
            line.write(FRAME[:at])
            await asyncio.sleep(pause_s)
            line.write(FRAME[at:])
            await asyncio.sleep(0.02)

    return script


def play(*frames: bytes) -> Script:
    """Send a second of silence, then these frames, each as soon as the one before was heard, and hang up."""

    async def script(line: GatewayPeer) -> None:
        await line.play(bytes(FRAME_BYTES) * 50)
        for frame in frames:
            line.write(frame)
            await asyncio.sleep((len(frame) - HEADER.size) / (SAMPLE_RATES[Kind(frame[0])] * 2))
        await line.play(bytes(FRAME_BYTES) * 10)
        line.hang_up()

    return script


@pytest.mark.parametrize("extension", ["5001", "5002"])
@pytest.mark.parametrize("size", [160, 640, 960, 16_000])
async def test_audio_of_any_length_in_one_write_is_heard_to_the_last_sample(
    lab: Lab, extension: str, size: int
) -> None:
    sent = noise(2, seed=size)
    frames = [encode_audio(Kind.SLIN, sent[start : start + size]) for start in range(0, len(sent), size)]
    async with (
        answering(lab.ports.gateway, play(*frames)) as lines,
        lab.call(extension, "record-ear"),
    ):
        await (await lines.get()).ended.wait()
    assert sent in read_wav(lab.recordings / "ear.wav")


@pytest.mark.parametrize("size", [1, 321, 64_000])
async def test_audio_of_an_odd_or_a_great_length_ends_no_call(lab: Lab, size: int) -> None:
    frame = encode_audio(Kind.SLIN, bytes(size))
    async with answering(lab.ports.gateway, after_a_second(frame)) as lines, lab.call("5001", "tone"):
        line = await lines.get()
        await line.frames_received(150)
        assert not line.ended.is_set()


@WIDEBAND
async def test_audio_at_another_rate_than_the_line_is_resampled(lab: Lab) -> None:
    said = tone(2, 700, 16_000)
    frames = [encode_audio(Kind.SLIN16, said[start : start + 640]) for start in range(0, len(said), 640)]
    async with (
        answering(lab.ports.gateway, play(*frames)) as lines,
        lab.call("5001", "record-ear"),
    ):
        await (await lines.get()).ended.wait()
    heard = loudest_tone(read_wav(lab.recordings / "ear.wav")[24_000:40_000])
    assert heard.hertz == pytest.approx(700, abs=2)


@SPLIT_HEADER
async def test_a_header_in_two_segments_is_read(lab: Lab) -> None:
    async with answering(lab.ports.gateway, split(1, 0.02)) as lines, lab.call("5001", "tone"):
        line = await lines.get()
        await line.frames_received(150)
        assert not line.ended.is_set()


@LATE_PAYLOAD
async def test_payload_that_follows_its_header_late_ends_the_call(lab: Lab) -> None:
    async with (
        answering(lab.ports.gateway, split(HEADER.size, 0.05)) as lines,
        lab.call("5001", "tone") as watch,
    ):
        await (await lines.get()).ended.wait()
        await watch.logged("Poll timed out while waiting for data")
        await watch.logged("Executing .*fallback")


@ORDERLY_END
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(HEADER.pack(0x02, 0), id="unknown kind"),
        pytest.param(HEADER.pack(Kind.UUID, 16) + bytes(16), id="uuid"),
        pytest.param(HEADER.pack(Kind.DTMF, 1) + b"1", id="dtmf"),
        pytest.param(HEADER.pack(Kind.ERROR, 1) + b"\x01", id="error"),
        pytest.param(HEADER.pack(Kind.SLIN, 0), id="empty audio"),
    ],
)
async def test_frame_that_a_gateway_must_not_send_ends_the_call(lab: Lab, data: bytes) -> None:
    async with answering(lab.ports.gateway, after_a_second(data)) as lines, lab.call("5001", "tone") as watch:
        await (await lines.get()).ended.wait()
        await watch.logged("Executing .*fallback")


@ORDERLY_END
async def test_two_seconds_without_a_frame_end_the_application(lab: Lab) -> None:
    async with answering(lab.ports.gateway, say_nothing) as lines, lab.call("5001", "silent") as watch:
        await (await lines.get()).ended.wait()
        await watch.logged("Reached timeout after 2000 ms of no activity")


async def test_silence_does_not_end_the_channel_driver(lab: Lab) -> None:
    async with answering(lab.ports.gateway, say_nothing) as lines, lab.call("5002", "silent"):
        line = await lines.get()
        await asyncio.sleep(4)
        assert not line.ended.is_set()


async def test_caller_who_sends_nothing_stays_while_the_gateway_sends_silence(lab: Lab) -> None:
    async with answering(lab.ports.gateway, silence) as lines, lab.call("5001", "silent"):
        line = await lines.get()
        await asyncio.sleep(6)
        assert not line.ended.is_set()
    assert line.audio == []


async def test_asterisk_does_not_pace_a_burst(lab: Lab) -> None:
    """1.6 s of audio, written at once, are at the caller's ear in less than half of that time.

    (Not more than 96 frames: that is where the queue of the Local channel starts to drop.)
    """
    async with (
        answering(lab.ports.handset, silence) as handsets,
        answering(lab.ports.gateway, silence) as lines,
        lab.call("5001", "handset"),
    ):
        handset, line = await handsets.get(), await lines.get()
        await line.frames_received(20)
        before = len(handset.audio)
        line.write(FRAME * 80)
        start = asyncio.get_running_loop().time()
        await handset.frames_received(before + 80)
        assert asyncio.get_running_loop().time() - start < 0.8
