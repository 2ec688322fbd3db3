"""Recordings of whole calls, on the ticker's clock, and what happens when the disk does not keep up."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import PCM_8000, ULAW_8000, AudioFormat, Encoding, linear_to_ulaw
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.protocol.audiosocket import Audio, Kind, encode_audio
from audiosocket_gw.recording import wav
from audiosocket_gw.recording.recorder import Recorder
from audiosocket_gw.recording.retention import Limits
from audiosocket_gw.recording.stereo import LEAD_IN_S, Stereo
from audiosocket_gw.runtime.ticker import Ticker
from audiosocket_gw.runtime.writer import Writer, WriterLimits
from audiosocket_gw.tap import Tap
from tests.harness.virtual_time import VirtualTimeLoop
from tests.recording.signals import FRAME, RATE, Samples, from_caller, places, read, to_caller


class OneCall:
    """A call that is recorded: what `Call` does with a tap."""

    def __init__(self, recorder: Recorder) -> None:
        self.loop = asyncio.get_running_loop()
        self.uuid = uuid4()
        self.started_at = self.loop.time()
        self.heard_at: list[float] = []
        started = events.CallStarted(self.uuid, self.started_at, "192.0.2.1:40000")
        self.tap = recorder.open(started)
        self.tap.on_event(started)
        self._recorder = recorder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def tick(self) -> None:
        """Send the caller the next frame: the first is full of 1."""
        self.heard_at.append(self.loop.time())
        self.tap.on_frame_sent(to_caller(len(self.heard_at)))
        if len(self.heard_at) % 50 == 0:
            settle(self._recorder)  # virtual time is faster than a disk

    def end(self) -> None:
        now = self.loop.time()
        self.on_event(events.CallEnded, CallEnd(EndReason.CALLER_HANGUP, "hung up"), round(now * 1000), 0)

    def on_event(self, kind: type[events.CallEvent], *fields: Any) -> None:
        self.tap.on_event(kind(self.uuid, self.loop.time(), *fields))


def settle(recorder: Recorder) -> None:
    """Wait until the writer has written what it has been given."""
    done = threading.Event()
    recorder._writer.submit(done.set)
    assert done.wait(30)


def wav_of(directory: Path, uuid: UUID) -> Path:
    (path,) = directory.glob(f"*-{uuid}.wav")
    return path


def transcript_of(directory: Path, uuid: UUID) -> list[dict[str, Any]]:
    (path,) = directory.glob(f"*-{uuid}.jsonl")
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def list_of(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def call_ms(channel: Samples) -> dict[int, float]:
    """Return when each frame begins, in milliseconds of the call."""
    return {number: place / 8 - LEAD_IN_S * 1000 for number, place in places(channel).items()}


def recording(directory: Path, limits: Limits | None = None, writer: WriterLimits | None = None) -> Recorder:
    return Recorder(directory, limits or Limits(), writer)


@pytest.mark.virtual_time
async def test_both_channels_are_as_the_caller_s_leg_had_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A call of 12 s: jitter, a pause of the caller's of 3 s, and a loop that is held up for 1.5 s."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    said_at: dict[int, int] = {}
    jitter = np.random.default_rng(1).uniform(0, 0.0199, 600)
    ticker = Ticker()
    with recording(tmp_path) as recorder, OneCall(recorder) as call, ticker.attach(call.tick):

        def say(number: int) -> None:
            call.tap.on_frame_received(from_caller(number))

        for number, delay_s in enumerate(jitter, 1):
            if not 200 < number < 350:
                said_at[number] = (number - 1) * 20
                loop.call_at(call.started_at + 0.02 * number + delay_s, say, number)
        await asyncio.sleep(9)
        loop.hold_up(1.5)  # whatever was due meanwhile comes now
        await asyncio.sleep(1.5 + 0.1)

    rate, left, right = read(wav_of(tmp_path, call.uuid))
    assert rate == RATE
    said = call_ms(left)
    assert said.keys() == said_at.keys()
    assert max(abs(at - said_at[number]) for number, at in said.items()) <= 20
    assert np.count_nonzero(np.diff(np.flatnonzero(left)) > 1) == 1, "the pause, and no other gap"
    heard = call_ms(right)
    assert len(heard) == len(call.heard_at)
    sent_at = dict(enumerate(((at - call.started_at) * 1000 for at in call.heard_at), 1))
    assert "silence for 1400 ms" in caplog.text
    late = [
        abs(at - sent_at[number]) for number, at in heard.items() if not 10_499 < sent_at[number] < 10_501
    ]
    assert max(late) <= 20
    assert len(heard) - len(late) <= 7, "what the ticker makes up is sent at once, and heard one by one"


@pytest.mark.virtual_time
async def test_the_files_grow_as_the_call_goes(tmp_path: Path) -> None:
    with recording(tmp_path / "recordings") as recorder, OneCall(recorder) as call:
        call.on_event(events.AgentConnected, "conv_1", 0.0)
        settle(recorder)
        assert [line["type"] for line in transcript_of(tmp_path / "recordings", call.uuid)] == [
            "call",
            "connected",
        ]
        for tick in range(1, 101):
            await asyncio.sleep(0.02)
            call.tick()
            if tick % 50 == 0:
                settle(recorder)
                _, _, right = read(wav_of(tmp_path / "recordings", call.uuid))
                assert len(call_ms(right)) == tick
        call.on_event(events.CallerSaid, "hello")
        settle(recorder)
        assert transcript_of(tmp_path / "recordings", call.uuid)[-1]["text"] == "hello"
    for path in list_of(tmp_path / "recordings"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "recordings").stat().st_mode & 0o777 == 0o700
    assert transcript_of(tmp_path / "recordings", call.uuid)[-1]["reason"] == "caller-hangup"


@pytest.mark.virtual_time
async def test_a_time_of_the_transcript_is_a_place_in_the_audio(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder, OneCall(recorder) as call, Ticker().attach(call.tick):
        await asyncio.sleep(1.51)
        call.on_event(events.ReplyStarted)
        await asyncio.sleep(1)
    _, _, right = read(wav_of(tmp_path, call.uuid))
    at = transcript_of(tmp_path, call.uuid)[1]["at"]
    playing = int(right[round(at * RATE)])
    assert 0 <= call.started_at + 1.51 - call.heard_at[playing - 1] <= 0.02


@pytest.mark.virtual_time
async def test_a_call_without_audio_has_its_files_too(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder, OneCall(recorder) as call:
        pass
    _, left, _ = read(wav_of(tmp_path, call.uuid))
    assert len(left) == 0
    assert [line["type"] for line in transcript_of(tmp_path, call.uuid)] == ["call", "end"]


@pytest.mark.virtual_time
async def test_the_rate_is_what_the_caller_speaks_in_the_first_second(tmp_path: Path) -> None:
    with recording(tmp_path) as recorder, OneCall(recorder) as call:
        call.tap.on_frame_sent(to_caller(1))
        call.tap.on_caller_format(AudioFormat(Encoding.PCM, 16_000))
        for number in range(2, 102):
            call.tap.on_frame_received(Audio(Kind.SLIN16, np.full(320, number, "<i2").tobytes()))
            call.tap.on_frame_sent(encode_audio(Kind.SLIN16, np.full(320, number, "<i2").tobytes()))
            await asyncio.sleep(0.02)
    rate, left, right = read(wav_of(tmp_path, call.uuid))
    assert rate == 16_000
    for channel in (left, right):
        numbers, counts = np.unique(channel[channel > 1], return_counts=True)
        assert (numbers.tolist(), set(counts.tolist())) == (list(range(2, 102)), {320})


@pytest.mark.virtual_time
async def test_what_can_not_be_decoded_is_silence(tmp_path: Path) -> None:
    """As it is for the agent; read as linear audio it would be noise at full level."""
    with recording(tmp_path) as recorder, OneCall(recorder) as call:
        call.tap.on_caller_format(None)
        for _ in range(10):
            call.tap.on_frame_sent(to_caller(1))
            call.tap.on_frame_received(Audio(Kind.SLIN, bytes(range(160))))
            await asyncio.sleep(0.02)
        call.tap.on_caller_format(PCM_8000)
        call.tap.on_frame_sent(to_caller(1))
        await asyncio.sleep(0.02)
        call.tap.on_frame_received(from_caller(2))
    _, left, right = read(wav_of(tmp_path, call.uuid))
    assert np.unique(left).tolist() == [0, 2]
    assert np.count_nonzero(right == 1) == 11 * FRAME


@pytest.mark.virtual_time
async def test_g711_is_decoded(tmp_path: Path) -> None:
    linear = np.full(FRAME, 12_412, "<i2").tobytes()
    coded = linear_to_ulaw(linear)
    with recording(tmp_path) as recorder, OneCall(recorder) as call:
        call.tap.on_caller_format(ULAW_8000)
        for _ in range(10):
            call.tap.on_frame_sent(encode_audio(Kind.SLIN, linear))
            await asyncio.sleep(0.02)
            call.tap.on_frame_received(Audio(Kind.SLIN, coded))
        call.tap.on_caller_format(PCM_8000)
        call.tap.on_frame_sent(to_caller(1))
    rate, left, right = read(wav_of(tmp_path, call.uuid))
    assert rate == 8_000
    assert np.count_nonzero(left == 12_412) == np.count_nonzero(right == 12_412) == 10 * FRAME
    assert np.count_nonzero(right == 1) == FRAME


# What goes wrong


async def audio(call: OneCall, seconds: float) -> None:
    """Let both sides say so much. On a loop whose clock jumps that takes no time."""
    for _ in range(round(seconds * 50)):
        call.tap.on_frame_sent(to_caller(7))
        await asyncio.sleep(0.02)
        call.tap.on_frame_received(from_caller(7))


def refuse(number: int) -> Callable[..., int]:
    def pwrite(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return pwrite


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.virtual_time
async def test_a_full_disk_is_told_once_and_ends_that_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with recording(tmp_path) as recorder:
        with OneCall(recorder) as call:
            call.on_event(events.CallerSaid, "before")
            await audio(call, 2)
            settle(recorder)
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", refuse(errno.ENOSPC))
                await audio(call, 3)
                call.on_event(events.CallerSaid, "lost")
                settle(recorder)
            await audio(call, 2)
            call.on_event(events.CallerSaid, "lost, too")
        with OneCall(recorder) as later:
            await audio(later, 2)
    assert recorder.failures.count == 1
    assert warnings(caplog) == [
        f"call {call.uuid}: recording stopped, the call continues: No space left on device. "
        f"Check the disk of RECORD_DIR={tmp_path}"
    ]
    _, left, _ = read(wav_of(tmp_path, call.uuid))
    assert np.count_nonzero(left) > 0
    assert [line.get("text") for line in transcript_of(tmp_path, call.uuid)] == [None, "before"]
    assert transcript_of(tmp_path, later.uuid)[-1]["type"] == "end"


@pytest.mark.virtual_time
async def test_a_directory_that_was_removed_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "parent" / "recordings"
    with recording(directory) as recorder:
        shutil.rmtree(directory.parent)
        for _ in range(2):
            with OneCall(recorder) as call:
                await audio(call, 3)
            await written(recorder)
            assert len(read(wav_of(directory, call.uuid))[1]) > 0
        assert warnings(caplog) == [f"RECORD_DIR={directory}: it was removed, and is created again"]
        assert directory.stat().st_mode & 0o777 == 0o700
        with pytest.raises(ConfigurationError, match="is in use"), recording(directory):
            pass


@pytest.mark.virtual_time
async def test_a_recording_that_is_removed_during_the_call_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "recordings"
    with recording(directory) as recorder:
        with OneCall(recorder) as call:
            await audio(call, 3)
            await written(recorder)
            shutil.rmtree(directory)
        await written(recorder)
        assert warnings(caplog)[-1].startswith(
            f"call {call.uuid}: its recording was removed before the call ended: "
        )
        with OneCall(recorder) as later:
            await audio(later, 3)
    assert len(read(wav_of(directory, later.uuid))[1]) > 0


@pytest.mark.virtual_time
async def test_a_directory_that_cannot_be_made_again_harms_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "recordings"
    with recording(directory) as recorder:
        directory.rmdir()
        directory.write_text("a file in its place")
        with OneCall(recorder) as call:
            await audio(call, 3)
    assert f"call {call.uuid}: recording stopped, the call continues: " in warnings(caplog)[-1]
    assert f"Check the disk of RECORD_DIR={directory}" in warnings(caplog)[-1]


async def written(recorder: Recorder) -> None:
    """Wait until the writer has done what it was given."""
    done = threading.Event()
    recorder._writer.submit(done.set)
    assert done.wait(30)


class HungDisk:
    """Takes nothing until it is repaired."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._works = threading.Event()
        self._pwrite = os.pwrite
        self.asked = threading.Event()
        monkeypatch.setattr(os, "pwrite", self._wait)

    def _wait(self, file: int, data: Any, at: int) -> int:
        self.asked.set()
        assert self._works.wait(30)
        return self._pwrite(file, data, at)

    def repair(self) -> None:
        self._works.set()


@pytest.mark.virtual_time
async def test_a_disk_that_hangs_holds_no_call_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with recording(tmp_path) as recorder:
        disk = HungDisk(monkeypatch)
        with OneCall(recorder) as call, OneCall(recorder) as talkative:
            call.on_event(events.CallerSaid, "hello")
            assert disk.asked.wait(30)
            await audio(call, 10)
            assert warnings(caplog) == []
            await audio(call, 10)
            call.on_event(events.CallerSaid, "hello?")
            for _ in range(1_100):
                talkative.on_event(events.CallerSaid, "hello!")
            files = [item.tap._files for item in (call, talkative)]  # type: ignore[attr-defined]
            assert [len(item.audio) + len(item.events) for item in files] == [0, 0], "nothing is kept"
        assert [line.partition(". Check")[0] for line in warnings(caplog)] == [
            f"call {call.uuid}: recording stopped, the call continues: the disk accepted nothing for 10 s",
            f"call {talkative.uuid}: recording stopped, the call continues: the disk hangs",
        ]
        assert all(f"RECORD_DIR={tmp_path}" in line for line in warnings(caplog))
        disk.repair()
        with OneCall(recorder) as later:
            await audio(later, 1)
    assert len(read(wav_of(tmp_path, later.uuid))[1]) > 0, "the next call is recorded again"
    assert len(warnings(caplog)) == 2
    assert recorder._up == set()


@pytest.mark.virtual_time
async def test_while_the_disk_hangs_no_new_recording_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with recording(tmp_path, writer=WriterLimits(jobs=20)) as recorder:
        disk = HungDisk(monkeypatch)
        with OneCall(recorder) as call:
            for _ in range(30):
                call.on_event(events.CallerSaid, "hello")
            with OneCall(recorder) as refused:
                assert type(refused.tap) is Tap
        disk.repair()
    assert recorder.failures.count == 1
    assert warnings(caplog) == [f"call {refused.uuid}: not recorded: the disk of RECORD_DIR={tmp_path} hangs"]


@pytest.mark.virtual_time
async def test_a_disk_that_hangs_does_not_keep_the_gateway_from_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk: HungDisk
    with recording(tmp_path, writer=WriterLimits(stop_s=0.05)) as recorder, OneCall(recorder) as call:
        disk = HungDisk(monkeypatch)
        await audio(call, 2)
    assert "recordings: the disk hangs" in caplog.text
    disk.repair()
    recorder._writer._thread.join(30)
    assert len(read(wav_of(tmp_path, call.uuid))[1]) > 0


@pytest.mark.virtual_time
async def test_at_two_gigabytes_the_audio_ends_and_the_transcript_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wav, "MAX_BYTES", 44 + 4 * 12_000)
    with recording(tmp_path) as recorder, OneCall(recorder) as call:
        for _ in range(5):
            await audio(call, 1)
            settle(recorder)
        call.on_event(events.CallerSaid, "still here")
    assert warnings(caplog) == [f"call {call.uuid}: its recording has reached 2 GiB and ends there"]
    assert len(read(wav_of(tmp_path, call.uuid))[1]) == 12_000
    assert [line["type"] for line in transcript_of(tmp_path, call.uuid)] == ["call", "said", "end"]


@pytest.mark.virtual_time
async def test_a_defect_ends_one_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with recording(tmp_path) as recorder:
        with OneCall(recorder) as call, monkeypatch.context() as patch:
            patch.setattr(Stereo, "add", lambda *_: 1 // 0)
            await audio(call, 2)
            settle(recorder)
            await audio(call, 2)
        with OneCall(recorder) as later:
            await audio(later, 1)
    assert caplog.text.count("an internal error") == 1
    assert "Traceback" in caplog.text
    assert str(call.uuid) in caplog.text
    assert len(read(wav_of(tmp_path, later.uuid))[1]) > 0


@pytest.mark.virtual_time
async def test_a_directory_that_can_not_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="RECORD_DIR="), recording(tmp_path / "file"):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name == "recordings"]


# Retention

ALWAYS_SOON = WriterLimits(chore_soon_s=0.0)


@pytest.mark.virtual_time
async def test_old_calls_go_at_the_start_and_after_a_call(tmp_path: Path) -> None:
    old = tmp_path / f"20200101T000000.000Z-{uuid4()}.wav"
    old.write_bytes(b"old")
    os.utime(old, (0, 0))
    with recording(tmp_path, Limits(max_bytes=200_000, max_age=timedelta(days=30)), ALWAYS_SOON) as recorder:
        settle(recorder)
        assert not old.exists()
        with OneCall(recorder) as up:
            await audio(up, 1)
            for _ in range(3):
                with OneCall(recorder) as call:
                    await audio(call, 4)
                    await asyncio.sleep(0.002)
                settle(recorder)
            settle(recorder)
            sizes = {path.name.partition("Z-")[2]: path.stat().st_size for path in list_of(tmp_path)}
            assert f"{up.uuid}.wav" in sizes, "the oldest, and spared"
            assert sum(sizes.values()) <= 200_000
            assert f"{call.uuid}.wav" in sizes, "the newest, and there is room"


@pytest.mark.virtual_time
async def test_a_recording_that_was_given_up_is_spared_while_its_call_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(tmp_path, Limits(max_bytes=0), ALWAYS_SOON) as recorder, OneCall(recorder) as call:
        await audio(call, 1)
        settle(recorder)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", refuse(errno.EIO))
            await audio(call, 1)
            settle(recorder)
        with OneCall(recorder) as other:
            await audio(other, 1)
        settle(recorder)
        settle(recorder)
        (kept,) = {path.stem for path in list_of(tmp_path)}
        assert str(call.uuid) in kept
    assert recorder._up == set()


def test_a_chore_is_done_at_the_start_soon_after_it_is_due_and_each_hour() -> None:
    done: list[float] = []
    again = threading.Semaphore(0)

    def chore() -> None:
        done.append(time.monotonic())
        again.release()

    with Writer("chores", chore, WriterLimits(chore_s=0.3, chore_soon_s=0.1)) as chores:
        assert again.acquire(timeout=30)
        chores.submit(chores.chore_is_due)
        chores.submit(chores.chore_is_due)
        assert again.acquire(timeout=30)
        assert done[1] - done[0] >= 0.1, "not at once, however often it is asked for"
        assert again.acquire(timeout=30)
        assert done[2] - done[1] >= 0.3
