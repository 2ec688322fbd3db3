"""The recorder in a real gateway: what it keeps, what it masks, and that it never harms a call."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import stat
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import ULAW_8000
from audiosocket_gw.causes import ConnectFailed
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.flight.call_trace import CallTrace, load_trace
from audiosocket_gw.flight.capture import SUFFIX, UNFINISHED, FlightFile, event_record
from audiosocket_gw.flight.format import CallerFormat, FlightError, GatewayMessage, HeardFrame
from audiosocket_gw.flight.recorder import Blocks, FlightRecorder
from audiosocket_gw.protocol.audiosocket import Audio, Kind, encode_audio, encode_dtmf
from audiosocket_gw.recording.directory import call_name
from audiosocket_gw.recording.retention import Limits
from tests.flight.records import recordings
from tests.harness.audio import ramp
from tests.harness.gateway import running_gateway
from tests.harness.waiting import until

pytestmark = pytest.mark.virtual_time

AT_ONCE = Blocks(seconds=0)
FRAME = encode_audio(Kind.SLIN, bytes(320))


def only(directory: Path) -> CallTrace:
    (path,) = recordings(directory)
    assert path.suffix == SUFFIX
    return load_trace(path)


async def test_a_call_is_recorded_both_ways(tmp_path: Path) -> None:
    said, answered = ramp(200), ramp(300, start=5_000)
    async with running_gateway(flight_dir=tmp_path, flight_keep="all") as harness:
        line, conversation = await harness.call()
        async with line:
            line.say(said)
            await conversation.send_audio(answered)
            await line.hears(answered)
            line.send(encode_dtmf("7"))
            await harness.wait_for(events.DigitPressed)
            await conversation.connection.close(1011, "Internal error")
            await harness.wait_for_calls(0)
            heard = line.heard
    found = only(tmp_path)
    assert found.start.uuid == line.uuid
    assert abs(found.start.started_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert b"".join(frame.audio for frame in found.said) == said
    assert b"".join(frame.audio for frame in found.heard) == heard
    assert answered in b"".join(message.audio or b"" for message in found.agent_messages)
    assert found.end is not None
    assert (found.end.reason, found.end.detail) == (
        EndReason.AGENT_FAILED,
        "the agent closed with 1011 Internal error",
    )
    names = [event.name for event in found.events]
    assert names[:3] == ["SetupStepDone", "AgentConnected", "SetupStepDone"]
    assert "FrameFigures" in names
    assert names[-1] == "CallEnded"
    assert [event.fields for event in found.events if event.name == "DigitPressed"] == [{"digit": "7"}]
    times = [record.at_us for record in found.records]
    assert times == sorted(times)
    assert (found.start.at_us, found.had_agent) == (0, True)


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with running_gateway(flight_dir=tmp_path / "made" / "new", flight_keep="all") as harness:
        line, _ = await harness.call()
        async with line:
            pass
        await harness.wait_for_calls(0)
    (path,) = recordings(tmp_path / "made" / "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(("keep", "kept"), [("all", 2), ("bad", 1)])
async def test_only_calls_that_ended_badly_are_kept_unless_all_are(
    tmp_path: Path, keep: str, kept: int
) -> None:
    async with running_gateway(flight_dir=tmp_path, flight_keep=keep) as harness:
        for code in (1000, 1011):
            line, conversation = await harness.call()
            async with line:
                await conversation.connection.close(code)
                await harness.wait_for(events.CallEnded, line.uuid)
    ends = [load_trace(path).end for path in recordings(tmp_path)]
    assert len(ends) == kept
    assert EndReason.AGENT_FAILED in [end.reason for end in ends if end is not None]


async def test_numbers_and_secrets_never_reach_the_file(tmp_path: Path) -> None:
    async with running_gateway(flight_dir=tmp_path, flight_keep="all") as harness:
        line, conversation = await harness.call()
        async with line:
            await conversation.send(
                {
                    "type": "user_transcript",
                    "user_transcription_event": {"user_transcript": "I am 0170 1234567, password: swordfish"},
                }
            )
            await conversation.call_tool("look_up", {"phone": "01701234567", "id": 4711_4711, "note": "x"})
            await harness.wait_for(events.ToolAnswered)
            await conversation.connection.send_text('{"broken": "01701234567", "token": "swordfish"')
            await harness.wait_for(events.CallEnded)
    found = only(tmp_path)
    everything = " ".join(map(str, found.records))
    assert "1234567" not in everything
    assert "47114711" not in everything
    assert "swordfish" not in everything
    assert "I am #### #######, password: ***" in everything
    calls = [
        json.loads(message.text) for message in found.agent_messages if b"client_tool_call" in message.text
    ]
    results = [
        json.loads(record.text)
        for record in found.records
        if isinstance(record, GatewayMessage) and b"client_tool_result" in record.text
    ]
    assert calls[0]["client_tool_call"]["parameters"] == {"phone": "***", "id": 0, "note": "x"}
    assert calls[0]["client_tool_call"]["tool_call_id"] == results[0]["tool_call_id"]


def test_addresses_of_servers_stay() -> None:
    uuid = uuid4()
    started = event_record(0, events.CallStarted(uuid, 0.0, "127.0.0.1:45001"))
    assert started.fields == {"peer": "127.0.0.1:45001"}
    cause = ConnectFailed("192.0.2.7", "[Errno 111] Connect call failed ('192.0.2.7', 45001), 01711234567")
    ended = event_record(1, events.CallEnded(uuid, 1.0, CallEnd(EndReason.AGENT_UNREACHABLE, cause), 1, 1))
    assert "'192.0.2.7', 45001), ###########" in ended.fields["detail"]
    assert ended.fields["cause"]["why"].endswith("('192.0.2.7', 45001), ###########")
    said = event_record(2, events.CallerSaid(uuid, 2.0, "my number is 192.0.2.7"))
    assert said.fields == {"text": "my number is ###.#.#.#"}


async def test_the_oldest_recordings_go(tmp_path: Path) -> None:
    old = [tmp_path / (call_name(uuid4(), datetime(2020, 1, day, tzinfo=UTC)) + SUFFIX) for day in (1, 2, 3)]
    dead = tmp_path / (call_name(uuid4(), datetime(2020, 1, 4, tzinfo=UTC)) + UNFINISHED)
    for age, path in enumerate(reversed((*old, dead))):
        path.write_bytes(bytes(10_000))
        os.utime(path, (0, 1_000_000 - age))
    (tmp_path / "notes.txt").write_text("mine")
    with FlightRecorder(tmp_path, keep_all=False, limits=Limits(max_bytes=25_000)):
        pass
    assert {path.name for path in recordings(tmp_path)} == {old[2].name, dead.name, "notes.txt"}


# By hand: a tap without a gateway


def started() -> events.CallStarted:
    return events.CallStarted(uuid4(), asyncio.get_running_loop().time(), "127.0.0.1:4711")


def end(uuid: object, reason: EndReason = EndReason.AGENT_LOST) -> events.CallEnded:
    now = asyncio.get_running_loop().time()
    return events.CallEnded(uuid, now, CallEnd(reason, "gone"), 20, 0)  # type: ignore[arg-type]


async def test_the_callers_format_is_recorded(tmp_path: Path) -> None:
    with FlightRecorder(tmp_path, keep_all=True, limits=Limits()) as recorder:
        begun = started()
        tap = recorder.open(begun)
        tap.on_caller_format(ULAW_8000)
        tap.on_frame_received(Audio(Kind.SLIN, b"\xff" * 160))
        tap.on_frame_sent(encode_audio(Kind.SLIN, b"\xd5" * 160))
        tap.on_event(end(begun.uuid))
    found = only(tmp_path)
    assert found.caller_format == ULAW_8000
    assert [type(record) for record in found.records[1:2]] == [CallerFormat]
    assert isinstance(found.heard[0], HeardFrame)
    assert found.heard[0].audio == b"\xd5" * 160


async def test_a_second_of_a_call_is_on_the_disk_before_it_ends(tmp_path: Path) -> None:
    with FlightRecorder(tmp_path, keep_all=False, limits=Limits()) as recorder:
        begun = replace(started(), at=asyncio.get_running_loop().time() - 1)
        recorder.open(begun).on_frame_sent(FRAME)
        await until(lambda: _written(tmp_path))
        (path,) = recordings(tmp_path)
        found = load_trace(path)
        assert (len(found.heard), found.end) == (1, None)


def _written(directory: Path) -> bool:
    return any(path.suffix == UNFINISHED and path.stat().st_size > 100 for path in recordings(directory))


async def test_a_killed_process_leaves_what_it_heard(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from uuid import uuid4
        from audiosocket_gw.events import CallStarted
        from audiosocket_gw.flight.recorder import Blocks, FlightRecorder
        from audiosocket_gw.recording.retention import Limits

        async def main():
            now = asyncio.get_running_loop().time
            with FlightRecorder(Path(sys.argv[1]), keep_all=False, limits=Limits()) as recorder:
                tap = recorder.open(CallStarted(uuid4(), now(), "127.0.0.1:1"))
                while True:
                    tap.on_frame_sent(bytes.fromhex("100140") + bytes(320))
                    await asyncio.sleep(0.02)

        asyncio.run(main())
        """
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path))
    await until(lambda: _written(tmp_path))
    await asyncio.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    (path,) = recordings(tmp_path)
    assert path.name.endswith(UNFINISHED)
    found = load_trace(path)
    assert len(found.heard) > 10
    assert found.end is None


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


async def test_a_full_disk_costs_the_recording_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(FlightFile, "_write", failing(OSError(28, "No space left on device")))
    assert await _three_blocks(tmp_path) == 1
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert "recording stopped, the call continues" in warning.getMessage()
    assert f"No space left on device. Check the disk of FLIGHT_DIR={tmp_path}" in warning.getMessage()


class FullDisk:
    """Has room for so many bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self._room = room
        self._open_file = FlightFile._open
        monkeypatch.setattr(FlightFile, "_open", lambda file: self._open(file))

    def _open(self, flight_file: FlightFile) -> FullDisk:
        self._file = self._open_file(flight_file)
        return self

    def write(self, data: memoryview) -> int:
        if not self._room:
            raise OSError(28, "No space left on device")
        written = self._file.write(data[: self._room])
        self._room -= written
        return written

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize(("reason", "kept"), [(EndReason.AGENT_LOST, 1), (EndReason.CALLER_HANGUP, 0)])
async def test_what_a_disk_took_until_it_was_full_is_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    reason: EndReason,
    kept: int,
) -> None:
    disk = FullDisk(monkeypatch, 1_000)
    with FlightRecorder(tmp_path, keep_all=False, limits=Limits(), blocks=AT_ONCE) as recorder:
        begun = started()
        tap = recorder.open(begun)
        for second in range(1, 6):
            tap.on_frame_sent(encode_audio(Kind.SLIN, random.Random(second).randbytes(320)))
        tap.on_event(end(begun.uuid, reason))
    assert disk._room == 0
    assert len(caplog.records) == 1
    found = [load_trace(path) for path in recordings(tmp_path)]
    assert [(len(trace.heard), trace.end) for trace in found] == [(2, None)] * kept


async def test_what_a_slow_disk_took_is_kept(tmp_path: Path) -> None:
    with _recorder(tmp_path, Blocks(seconds=0, waiting=1_000)) as recorder:
        begun = started()
        tap = recorder.open(begun)
        tap.on_frame_sent(FRAME)
        tap.on_agent_message(bytes(2_000))
        tap.on_event(end(begun.uuid))
    assert (len(only(tmp_path).heard), only(tmp_path).end) == (1, None)


async def test_a_defect_costs_the_recording_and_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("audiosocket_gw.flight.capture.encode_block", failing(KeyError("x")))
    await _three_blocks(tmp_path)
    (error,) = caplog.records
    assert error.levelno == logging.ERROR
    assert recordings(tmp_path) == []


async def _three_blocks(directory: Path) -> int:
    """Record a call; return how many recordings failed."""
    with _recorder(directory, AT_ONCE) as recorder:
        begun = started()
        tap = recorder.open(begun)
        for _ in range(3):
            tap.on_frame_sent(FRAME)
        tap.on_event(end(begun.uuid))
    return recorder.failures.count


async def test_a_disk_that_is_too_slow_costs_the_recording_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    is_over = threading.Event()
    monkeypatch.setattr(FlightFile, "_write", lambda *_: is_over.wait(30))
    with _recorder(tmp_path, Blocks(seconds=0, waiting=5_000)) as recorder:
        begun = started()
        tap = recorder.open(begun)
        for _ in range(5):
            tap.on_agent_message(b"x" * 2_000)
        tap.on_event(end(begun.uuid))
        is_over.set()
    (warning,) = caplog.records
    assert f"call {begun.uuid}: the disk is too slow" in warning.getMessage()
    assert recorder.failures.count == 1
    assert recordings(tmp_path) == []


async def test_a_ping_is_in_the_recording_once_as_the_message_that_it_is(tmp_path: Path) -> None:
    with _recorder(tmp_path, AT_ONCE) as recorder:
        begun = started()
        tap = recorder.open(begun)
        tap.on_agent_message(b'{"type":"ping","ping_event":{"event_id":1,"ping_ms":48}}')
        tap.on_event(events.AgentPinged(begun.uuid, begun.at + 1, 48))
        tap.on_event(end(begun.uuid))
    found = only(tmp_path)
    assert [event.name for event in found.events] == ["CallEnded"]
    assert len(found.agent_messages) == 1


async def test_a_burst_does_not_wait_for_its_time(tmp_path: Path) -> None:
    with _recorder(tmp_path, Blocks(seconds=3_600, size=10_000)) as recorder:
        tap = recorder.open(started())
        for _ in range(3):
            tap.on_agent_message(b"x" * 10_000)
        await until(lambda: _agent_messages(tmp_path), lambda count: count == 3)


async def test_a_directory_that_was_removed_is_made_again(tmp_path: Path) -> None:
    directory = tmp_path / "flights"
    async with running_gateway(flight_dir=directory, flight_keep="all") as harness:
        directory.rmdir()
        line, _ = await harness.call()
        line.writer.close()
        await harness.wait_for(events.CallEnded)
        await line.__aexit__()
    assert only(directory).start.uuid == line.uuid
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_is_one_recorder_s_at_a_time(tmp_path: Path) -> None:
    with (
        _recorder(tmp_path / "a"),
        _recorder(tmp_path / "b"),
        pytest.raises(ConfigurationError, match=r"FLIGHT_DIR='.*a' is in use: .* Name one for each gateway"),
        _recorder(tmp_path / "a"),
    ):
        pass
    with _recorder(tmp_path / "a"):
        pass


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigurationError, match=r"FLIGHT_DIR='.*file': .*exists"),
        _recorder(tmp_path / "file"),
    ):
        pass


def _agent_messages(directory: Path) -> int:
    try:
        return sum(
            len(load_trace(path).agent_messages)
            for path in recordings(directory)
            if path.suffix == UNFINISHED
        )
    except FlightError:  # it has been opened, and its first block isn't written yet
        return 0


def _recorder(directory: Path, blocks: Blocks | None = None) -> FlightRecorder:
    return FlightRecorder(directory, keep_all=True, limits=Limits(), blocks=blocks)
