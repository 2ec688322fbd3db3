"""The simulated caller, against small servers that behave, and that misbehave."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import struct
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from audiosocket_gw.audio import FRAME_BYTES
from audiosocket_gw.audio.frame_timing import TimedFrame
from audiosocket_gw.commands.call import run_call
from audiosocket_gw.errors import ConfigurationError, LocalProtocolError, RemoteProtocolError
from audiosocket_gw.protocol.audiosocket import (
    HANGUP_FRAME,
    Audio,
    Decoder,
    Dtmf,
    Frame,
    Identity,
    Kind,
    encode_audio,
)
from audiosocket_gw.testing.softphone import (
    CallRecord,
    Ending,
    KeyPress,
    Softphone,
    level_dbfs,
    place_call,
    read_wav,
    write_wav,
)

pytestmark = pytest.mark.virtual_time

CALL = UUID("11111111-2222-3333-4444-555555555555")
SILENCE = encode_audio(Kind.SLIN, bytes(FRAME_BYTES))
TONE = (8_000 * np.sin(np.arange(160) / 3)).astype("<i2").tobytes()

Behaviour = Callable[["Side"], Awaitable[None]]


class Side:
    """The server's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.frames: list[Frame] = []
        self._decoder = Decoder()

    async def frame(self) -> Frame | None:
        """Return the next frame; None when the caller has closed."""
        while not self.frames:
            data = await self.reader.read(4096)
            if not data:
                return None
            self.frames += self._decoder.receive(data)
        return self.frames.pop(0)

    async def audio(self) -> bytes:
        while not isinstance(frame := await self.frame(), Audio):
            assert frame is not None
        return frame.payload

    async def until_closed(self) -> list[Frame]:
        frames = []
        while (frame := await self.frame()) is not None:
            frames.append(frame)
        return frames


@asynccontextmanager
async def serving(behave: Behaviour) -> AsyncIterator[int]:
    """Serve each connection with ``behave``, and close it afterwards; yield the port, then wait for all."""
    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError):
                await behave(Side(reader, writer))
        finally:
            writer.close()

    server = await asyncio.start_server(
        lambda *streams: serving.append(asyncio.create_task(serve(*streams))), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*serving)


async def call_ends(behave: Behaviour) -> CallRecord:
    """Call a server that behaves like this, and return how it ended."""
    async with serving(behave) as port, Softphone("127.0.0.1", port) as caller:
        return await caller.until_ended()


def sends(data: bytes) -> Behaviour:
    """A server that writes this at once, and then waits for the caller to close."""

    async def behave(side: Side) -> None:
        side.writer.write(data)
        await side.until_closed()

    return behave


# What the caller sends


async def test_the_call_opens_with_its_uuid_and_goes_on_with_20_ms_frames() -> None:
    received: list[Frame] = []

    async def behave(side: Side) -> None:
        while len(received) < 6:
            frame = await side.frame()
            assert frame is not None
            received.append(frame)
            side.writer.write(SILENCE)
        side.writer.write(HANGUP_FRAME)
        await side.until_closed()

    async with serving(behave) as port:
        record = await place_call("127.0.0.1", port, uuid=CALL, play=TONE + TONE[:100])
    silence = Audio(Kind.SLIN, bytes(FRAME_BYTES))
    tail = Audio(Kind.SLIN, TONE[:100] + bytes(FRAME_BYTES - 100))
    assert received == [Identity(CALL), Audio(Kind.SLIN, TONE), tail, silence, silence, silence]
    assert record.uuid == CALL
    assert record.ending is Ending.HANGUP_FRAME
    assert b"".join(frame.payload for frame in record.sent).startswith(TONE + TONE[:100])


async def test_frames_leave_on_an_absolute_20_ms_clock() -> None:
    async with serving(sends(SILENCE)) as port:
        record = await place_call("127.0.0.1", port, hang_up_after_ms=400)
    early = [
        frame.at - record.started_at - number * 0.02 for number, frame in enumerate(record.sent, start=1)
    ]
    assert min(early) > -0.001  # the resolution of the loop's clock
    assert record.ending is Ending.CALLER_HANGUP
    assert record.duration_ms >= 399


async def test_keys_are_sent_as_dtmf_frames_and_noted() -> None:
    pressed: list[str] = []

    async def behave(side: Side) -> None:
        while len(pressed) < 2:
            if isinstance(frame := await side.frame(), Dtmf):
                pressed.append(frame.digit)

    async with serving(behave) as port:
        record = await place_call("127.0.0.1", port, keys=[KeyPress("5", 30), KeyPress("#", 60)])
    assert pressed == ["5", "#"]
    assert [digit for _, digit in record.keys] == ["5", "#"]
    assert record.keys[0][0] - record.started_at >= 0.029
    assert record.ending is Ending.SERVER_CLOSE


def test_a_key_that_no_telephone_has_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="DTMF"):
        KeyPress("x", 0)


async def test_silence_suppression_sends_only_what_is_said() -> None:
    frames: list[Frame] = []

    async def behave(side: Side) -> None:
        side.writer.write(SILENCE)
        frames.extend(await side.until_closed())

    async with serving(behave) as port:
        record = await place_call(
            "127.0.0.1", port, uuid=CALL, play=TONE * 3, silence_suppression=True, hang_up_after_ms=300
        )
    assert frames == [Identity(CALL)] + 3 * [Audio(Kind.SLIN, TONE)]
    assert len(record.sent) == 3


async def test_a_wideband_call_uses_its_own_kind_and_frame_size() -> None:
    async def behave(side: Side) -> None:
        assert await side.audio() == bytes(640)
        side.writer.write(encode_audio(Kind.SLIN16, TONE * 2))
        await side.until_closed()

    async with serving(behave) as port:
        record = await place_call("127.0.0.1", port, kind=Kind.SLIN16, hang_up_after_ms=100)
    assert record.rate == 16_000
    assert record.heard_audio == TONE * 2


async def test_a_server_that_stops_reading_fills_asterisks_socket() -> None:
    async def never_read(side: Side) -> None:
        while not side.writer.is_closing():
            await asyncio.sleep(0.1)
            side.writer.write(SILENCE)
            await side.writer.drain()

    async with serving(never_read) as port, Softphone("127.0.0.1", port, kind=Kind.SLIN) as caller:
        connection: socket.socket = caller._peer._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        while not caller.over:
            caller._peer.send_audio(bytes(60_000))
            await asyncio.sleep(0)
        assert caller.record.ending is Ending.ERROR
        assert "stopped reading" in caller.record.error


async def test_an_unreachable_server_is_an_oserror() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match=r"refused|failed"):
            await place_call("127.0.0.1", unused.getsockname()[1])


# What ends a call


async def test_a_hangup_frame_ends_the_call_normally_and_nothing_behind_it_counts() -> None:
    record = await call_ends(sends(SILENCE + HANGUP_FRAME + SILENCE + b"\x77\0\0"))
    assert record.ending is Ending.HANGUP_FRAME
    assert len(record.heard) == 1
    record.raise_for_error()


async def test_a_plain_close_ends_the_call_normally() -> None:
    async def behave(side: Side) -> None:
        await side.audio()
        side.writer.write(SILENCE)
        side.writer.write_eof()
        await side.until_closed()  # a close with something unread would be a reset

    assert (await call_ends(behave)).ending is Ending.SERVER_CLOSE


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x10\x00\x00", "empty"),
        (b"\x77\x00\x01x", "unknown kind 0x77"),
        (b"\x01\x00\x10" + CALL.bytes, "UUID"),
        (b"\x03\x00\x011", "Dtmf, which only Asterisk may send"),
        (b"\xff\x00\x01x", "Error, which only Asterisk may send"),
        (b"\x12\x00\x02xx", "kind 0x12 in a call of kind 0x10"),
    ],
)
async def test_what_asterisk_does_not_take_ends_the_call_with_an_error(data: bytes, error: str) -> None:
    record = await call_ends(sends(SILENCE + data))
    assert record.ending is Ending.ERROR
    assert error in record.error
    assert len(record.heard) == 1
    with pytest.raises(RemoteProtocolError, match=error):
        record.raise_for_error()


async def test_place_call_raises_what_went_wrong() -> None:
    async with serving(sends(b"\x10\x00\x00")) as port:
        with pytest.raises(RemoteProtocolError, match="empty"):
            await place_call("127.0.0.1", port, play=TONE)


async def test_a_payload_later_than_5_ms_breaks_the_call() -> None:
    async def behave(side: Side) -> None:
        side.writer.write(SILENCE[:3])
        await asyncio.sleep(0.1)
        side.writer.write(SILENCE[3:])
        await side.until_closed()

    record = await call_ends(behave)
    assert record.ending is Ending.ERROR
    assert "within 5 ms of its header" in record.error
    assert record.heard == ()


async def test_a_payload_in_pieces_is_heard_when_it_comes_in_time() -> None:
    async def behave(side: Side) -> None:
        for cut in (4, 100, 319):
            side.writer.write(SILENCE + SILENCE[:cut])
            await asyncio.sleep(0.02)
            side.writer.write(SILENCE[cut:])
        side.writer.write(HANGUP_FRAME)
        await side.until_closed()

    async with serving(behave) as port, Softphone("127.0.0.1", port, payload_deadline_ms=10_000) as caller:
        record = await caller.until_ended()
    assert record.ending is Ending.HANGUP_FRAME
    assert len(record.heard) == 6


async def test_a_header_in_pieces_is_no_error() -> None:
    async def behave(side: Side) -> None:
        side.writer.write(SILENCE[:2])
        await asyncio.sleep(0.05)
        side.writer.write(SILENCE[2:] + HANGUP_FRAME)
        await side.until_closed()

    assert (await call_ends(behave)).ending is Ending.HANGUP_FRAME


async def test_closing_in_mid_frame_is_an_error() -> None:
    async def behave(side: Side) -> None:
        await side.audio()
        side.writer.write(SILENCE[:100])

    async with serving(behave) as port, Softphone("127.0.0.1", port, payload_deadline_ms=10_000) as caller:
        record = await caller.until_ended()
    assert record.error == "the server closed in mid-frame, after 100 bytes of it"


async def test_a_reset_connection_is_an_error() -> None:
    async def behave(side: Side) -> None:
        await side.audio()
        connection = side.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        side.writer.transport.abort()

    record = await call_ends(behave)
    assert record.ending is Ending.ERROR
    assert "the connection broke" in record.error


async def test_no_frame_in_either_direction_for_the_idle_time_ends_the_call() -> None:
    async def behave(side: Side) -> None:
        await side.until_closed()

    async with (
        serving(behave) as port,
        Softphone("127.0.0.1", port, silence_suppression=True, idle_timeout_ms=150) as caller,
    ):
        record = await caller.until_ended()
    assert record.ending is Ending.ERROR
    assert "for 150 ms" in record.error


async def test_frames_of_one_side_keep_the_call_up() -> None:
    async with (
        serving(sends(b"")) as port,
        Softphone("127.0.0.1", port, idle_timeout_ms=150) as caller,
    ):
        await asyncio.sleep(0.5)
        assert not caller.over


# A caller that reacts


async def test_the_caller_notices_speech_and_quiet_and_the_end() -> None:
    async def behave(side: Side) -> None:
        script = 5 * [bytes(FRAME_BYTES)] + 5 * [TONE]
        while await side.audio() != TONE:
            side.writer.write(encode_audio(Kind.SLIN, script.pop(0) if script else bytes(FRAME_BYTES)))
        side.writer.write(HANGUP_FRAME)
        await side.until_closed()

    heard: list[TimedFrame] = []
    async with serving(behave) as port, Softphone("127.0.0.1", port, on_frame=heard.append) as caller:
        assert await caller.until_audio()
        assert len(caller.heard) >= 6
        assert await caller.until_quiet(100)
        assert await caller.say(TONE)
        assert not await caller.until_audio()
        assert not await caller.until_quiet(10_000)
        assert not await caller.say(TONE)
        caller.press("1")
        assert caller.over
    assert caller.record.ending is Ending.HANGUP_FRAME
    assert tuple(heard) == caller.record.heard
    assert caller.record.keys == ()
    assert TONE in [frame.payload for frame in caller.sent]


async def test_own_speech_is_not_quiet() -> None:
    async with serving(sends(b"")) as port, Softphone("127.0.0.1", port) as caller:
        talking = asyncio.create_task(caller.say(TONE * 20))
        await caller.until_quiet(100)
        assert talking.done()
        assert await talking


async def test_leaving_the_block_hangs_up() -> None:
    received: list[Frame] = []

    async def behave(side: Side) -> None:
        received.extend(await side.until_closed())

    async with serving(behave) as port:
        async with Softphone("127.0.0.1", port) as caller:
            caller.press("1")
            assert caller.record.ended_at >= caller.started_at
        assert caller.record.ending is Ending.CALLER_HANGUP
    assert Dtmf("1") in received


# The figures


def test_levels() -> None:
    assert level_dbfs(b"") == level_dbfs(bytes(320)) == -96
    assert level_dbfs(struct.pack("<160h", *(160 * [-32768]))) == 0
    assert level_dbfs(struct.pack("<2h", 16_384, -16_384)) == pytest.approx(-6.02, abs=0.01)


# WAV files and the command


def make_wav(path: Path, *, rate: int = 8_000, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setframerate(rate)
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.writeframes(bytes(8 * width * channels))
    return path


def test_a_wav_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_wav(tmp_path / "tone.wav", TONE)
    assert read_wav(tmp_path / "tone.wav") == TONE


def test_a_wav_file_of_another_format_is_refused_with_the_cure(tmp_path: Path) -> None:
    stereo = make_wav(tmp_path / "song.wav", rate=44_100, channels=2)
    with pytest.raises(
        ConfigurationError, match=r"44100 Hz, 2 channel\(s\), 16 bit.*sox .*song.wav -r 8000 -c 1 -b 16"
    ):
        read_wav(stereo)
    with pytest.raises(ConfigurationError, match="8 bit"):
        read_wav(make_wav(tmp_path / "rough.wav", width=1))
    with pytest.raises(ConfigurationError, match=r"16000 Hz, and the call 8000 Hz; .* -r 8000"):
        read_wav(make_wav(tmp_path / "wide.wav", rate=16_000))


def test_what_is_not_a_wav_file_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"ID3" + bytes(100)):
        (tmp_path / "x.wav").write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"x\.wav: it is not a WAV file; convert it: sox"):
            read_wav(tmp_path / "x.wav")
    with pytest.raises(ConfigurationError, match="No such file"):
        read_wav(tmp_path / "none.wav")
    with pytest.raises(ConfigurationError, match="No such file"):
        write_wav(tmp_path / "none" / "out.wav", TONE)


async def test_the_command_plays_records_and_sums_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def echo(side: Side) -> None:
        for _ in range(60):
            side.writer.write(encode_audio(Kind.SLIN, await side.audio()))
        await side.until_closed()

    write_wav(tmp_path / "in.wav", TONE * 10)
    async with serving(echo) as port:
        status = await run_call(f"127.0.0.1:{port}", tmp_path / "in.wav", tmp_path / "out.wav", listen_s=1.0)
    assert status == 0
    assert TONE * 10 in read_wav(tmp_path / "out.wav")
    output = capsys.readouterr().out
    assert "the caller hung up, after 1." in output
    assert "   1 s   sent  -" in output
    assert "first frame" in output
    assert "frame lateness p50" in output
    assert "out.wav" in output


async def test_the_command_fails_when_the_server_breaks_the_protocol(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with serving(sends(b"\x10\x00\x00")) as port:
        assert await run_call(f"127.0.0.1:{port}", None, None) == 1
    output = capsys.readouterr().out
    assert "Asterisk would have aborted this call" in output
    assert "is empty" in output
    assert "first speech   none" in output


async def test_the_command_says_that_no_one_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert await run_call(f"127.0.0.1:{unused.getsockname()[1]}", None, None) == 1
    assert "no connection to 127.0.0.1:" in capsys.readouterr().err


async def test_an_interrupt_hangs_up_and_still_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def behave(side: Side) -> None:
        side.writer.write(encode_audio(Kind.SLIN, TONE))
        await side.audio()
        os.kill(os.getpid(), signal.SIGINT)
        await side.until_closed()

    async with serving(behave) as port:
        assert await run_call(f"127.0.0.1:{port}", None, tmp_path / "out.wav") == 0
    assert read_wav(tmp_path / "out.wav") == TONE
    assert re.search(r"sent +[1-9]\d* frames, .* s, no speech\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "address", ["localhost", "localhost:", ":5001", "localhost:x", "localhost:0", "h:65536"]
)
async def test_a_bad_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="is not HOST:PORT"):
        await run_call(address, None, None)
