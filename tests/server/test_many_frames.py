"""Thousands of frames in one read: all are handled in order, and no call waits for those of another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice

import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.call.call import Call
from audiosocket_gw.call.limits import MAX_AHEAD_FRAMES
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.protocol.audiosocket import (
    HANGUP_FRAME,
    SAMPLE_RATES,
    Audio,
    Kind,
    encode_audio,
    encode_dtmf,
)
from audiosocket_gw.runtime.loop_budget import LoopBudget
from audiosocket_gw.server.frame_reader import FRAMES_AT_ONCE, FrameReader
from tests.audio.signals import speech
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.audio import ramp
from tests.harness.gateway import running_gateway
from tests.harness.waiting import until

READ = 65_536
"""What one read returns at most."""

MOST_CPU_S = 0.04
"""Of one step of the loop: a read, or a turn. Measured: 3 ms."""


class Steps:
    """What each step of the loop did with callers' frames, and the CPU time that it took."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.frames: list[int] = []
        """Handled in each read, or in each part of what a read returned."""
        self.cpu_s = 0.0
        """Of the longest step."""
        self._handled = 0
        caller_audio = Call.caller_audio
        buffer_updated = FrameReader.buffer_updated
        handle = FrameReader._handle
        take_turns = LoopBudget._take_turns

        def counted(call: Call, frame: Audio) -> None:
            self._handled += 1
            caller_audio(call, frame)

        def read(reader: FrameReader, nbytes: int) -> None:
            with self._measured():
                buffer_updated(reader, nbytes)

        def handle_some(reader: FrameReader, nbytes: int) -> None:
            before = self._handled
            handle(reader, nbytes)
            self.frames.append(self._handled - before)

        def turns(budget: LoopBudget) -> None:
            with self._measured():
                take_turns(budget)

        monkeypatch.setattr(Call, "caller_audio", counted)
        monkeypatch.setattr(FrameReader, "buffer_updated", read)
        monkeypatch.setattr(FrameReader, "_handle", handle_some)
        monkeypatch.setattr(LoopBudget, "_take_turns", turns)

    @contextmanager
    def _measured(self) -> Iterator[None]:
        before = time.thread_time()
        yield
        self.cpu_s = max(self.cpu_s, time.thread_time() - before)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


def audio_frames(size: int, *kinds: Kind) -> Iterator[bytes]:
    return cycle(encode_audio(kind, bytes([7, 1]) * (size // 2) + b"\7" * (size % 2)) for kind in kinds)


def read_full(frames: Iterator[bytes]) -> bytes:
    """Return as many frames as a read returns."""
    taken = b""
    while len(taken) < READ:
        taken += b"".join(islice(frames, 100))
    return taken


FLOODS = {
    "one byte": read_full(audio_frames(1, Kind.SLIN)),
    "two bytes": read_full(audio_frames(2, Kind.SLIN)),
    "2 ms": read_full(audio_frames(16, Kind.SLIN)),
    "frames of differing sizes": read_full(
        cycle(encode_audio(Kind.SLIN, bytes(size)) for size in range(16, 90))
    ),
    "two kinds in turn": read_full(audio_frames(16, Kind.SLIN, Kind.SLIN192)),
    "all kinds in turn": read_full(audio_frames(32, *SAMPLE_RATES)),
    "keys": read_full(cycle([encode_dtmf("5")])),
    "an unknown kind": read_full(cycle([b"\x42\x00\x01x"])),
    "20 ms": read_full(audio_frames(320, Kind.SLIN)),
    "2 s": read_full(audio_frames(65_535, Kind.SLIN)),
    "20 ms at 192 kHz": read_full(audio_frames(7_680, Kind.SLIN192)),
}


def unsent(line: AsteriskPeer) -> int:
    return line.writer.transport.get_write_buffer_size()


@pytest.mark.parametrize("barge_in", ["agent", "local"])
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_no_step_of_the_loop_takes_long_whatever_several_peers_send(
    flood: bytes, barge_in: str, steps: Steps
) -> None:
    """The agent has another rate than the callers, and has sent each of them half a minute of audio."""
    async with running_gateway(barge_in=barge_in) as harness:
        lines = []
        for _ in range(3):
            line, agent = await harness.call()
            lines.append(line)
            await agent.send_audio(ramp(30_000))
        for line in lines:
            line.send(flood * 3)
        sent = len(steps.frames)
        await until(lambda: all(line.ended.is_set() or not unsent(line) for line in lines))
        await asyncio.sleep(0.2)
        assert max(steps.frames) <= FRAMES_AT_ONCE
        assert len(steps.frames) > sent
        assert steps.cpu_s < MOST_CPU_S
        for line in lines:
            await line.__aexit__()


async def test_audio_that_was_held_up_for_half_a_minute_arrives_whole_and_in_order(steps: Steps) -> None:
    audio = ramp(MAX_AHEAD_FRAMES * FRAME_MS)
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            line.say(audio)
            await until(lambda: agent.log.received_audio, lambda heard: audio in heard)
            assert max(steps.frames) == FRAMES_AT_ONCE
            assert not harness.of(events.CallEnded)


@pytest.mark.virtual_time
async def test_after_a_stall_calls_wait_for_no_turn_while_there_is_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise all calls would be behind after it, and stay so on a busy core."""
    deferred: list[object] = []
    monkeypatch.setattr(LoopBudget, "defer", lambda _, work: deferred.append(work))
    audio = ramp(2 * FRAMES_AT_ONCE * FRAME_MS)
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            line.say(audio)
            await until(lambda: agent.log.received_audio, lambda heard: audio in heard)
    assert not deferred


@pytest.mark.parametrize("end", [HANGUP_FRAME, b""], ids=["hang-up frame", "end of the stream"])
async def test_the_end_comes_after_all_frames_before_it(end: bytes) -> None:
    audio = ramp(5_000)
    async with running_gateway() as harness:
        line, agent = await harness.call()
        async with line:
            line.say(audio)
            line.send(end + encode_dtmf("5") if end else b"")
            line.writer.write_eof()
            ended = await harness.wait_for(events.CallEnded)
            assert ended.reason is EndReason.CALLER_HANGUP
            assert not harness.of(events.DigitPressed)
            await until(lambda: agent.log.received_audio, lambda heard: audio in heard)


async def test_keys_are_cut_off_at_the_key_that_is_too_much() -> None:
    async with running_gateway() as harness:
        line, _ = await harness.call()
        async with line:
            line.send(encode_dtmf("5") * 5_000)
            ended = await harness.wait_for(events.CallEnded)
            assert ended.reason is EndReason.CALLER_PROTOCOL
            assert "faster than real time" in ended.detail
            assert 250 <= len(harness.of(events.DigitPressed)) <= 320


async def test_a_caller_beside_a_flood_is_heard() -> None:
    audio = speech("greeting").tobytes()[: 50 * 320]
    async with running_gateway() as harness:
        good, agent = await harness.call()
        bad = [(await harness.call())[0] for _ in range(3)]
        async with good:
            for line in bad:
                line.send(FLOODS["one byte"] * 20)
            for start in range(0, len(audio), 320):
                good.say(audio[start : start + 320])
                await asyncio.sleep(0.02)
            await until(lambda: agent.log.received_audio, lambda heard: audio in heard)
            for line in bad:
                ended = await harness.wait_for(events.CallEnded, line.uuid)
                assert ended.reason is EndReason.CALLER_PROTOCOL
                await line.__aexit__()
            assert not good.ended.is_set()
