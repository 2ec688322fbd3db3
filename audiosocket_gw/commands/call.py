"""``audiosocket-gw call HOST:PORT``: calls a gateway with the softphone."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from audiosocket_gw.audio.frame_timing import GAP_MS, TimedFrame
from audiosocket_gw.audio.level import SPEECH_DBFS, is_speech, level_dbfs
from audiosocket_gw.commands.address import parse_address
from audiosocket_gw.testing.softphone.asterisk_peer import Ending
from audiosocket_gw.testing.softphone.record import CallRecord
from audiosocket_gw.testing.softphone.softphone import Softphone
from audiosocket_gw.testing.softphone.wav import read_wav, write_wav

_ENDINGS = {
    Ending.HANGUP_FRAME: "the server hung up (0x00); the dialplan would continue",
    Ending.SERVER_CLOSE: "the server closed the connection without 0x00; the dialplan would continue",
    Ending.CALLER_HANGUP: "the caller hung up",
    Ending.ERROR: "Asterisk would have aborted this call",
}


async def run_call(
    address: str,
    play: Path | None,
    record: Path | None,
    uuid: UUID | None = None,
    *,
    listen_s: float = 5.0,
) -> int:
    """Place a call, print what happens, and return the exit status: 0, or 1 if the call failed.

    After ``play``, the caller hangs up after ``listen_s`` without speech on either side. Ctrl-C also hangs
    up.

    Raises:
        ConfigurationError: an invalid address, or a WAV file that can't be read, played or written.
    """
    host, port = parse_address(address)
    linear = read_wav(play) if play else None
    caller = Softphone(host, port, uuid=uuid)
    print(f"calling {address}, UUID {caller.uuid}", flush=True)
    try:
        async with caller:
            await _converse(caller, linear, listen_s)
    except OSError as error:
        print(f"no connection to {address}: {error.strerror or error}", file=sys.stderr)
        return 1
    print("\n".join(_summary(caller.record)))
    if record:
        write_wav(record, caller.record.heard_audio)
        print(f"  recorded       {record}")
    return 1 if caller.record.ending is Ending.ERROR else 0


async def _converse(caller: Softphone, linear: bytes | None, listen_s: float) -> None:
    print(f"connected after {caller.record.connect_ms:.1f} ms; Ctrl-C hangs up", flush=True)
    progress = asyncio.create_task(_print_progress(caller))
    try:
        with _hang_up_on_interrupt(caller):
            if linear is None:
                await caller.until_ended()
            else:
                await caller.say(linear)
                await caller.until_quiet(round(listen_s * 1000))
    finally:
        progress.cancel()


@contextmanager
def _hang_up_on_interrupt(caller: Softphone) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, caller.hang_up)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _print_progress(caller: Softphone) -> None:
    """Print one line per second of the call: the level of each side."""
    sent = heard = second = 0
    while True:
        second += 1
        await asyncio.sleep(caller.started_at + second - asyncio.get_running_loop().time())
        print(
            f"  {second:4d} s   sent {_level(caller.sent[sent:])}   heard {_level(caller.heard[heard:])}",
            flush=True,
        )
        sent, heard = len(caller.sent), len(caller.heard)


def _level(frames: Sequence[TimedFrame]) -> str:
    if not frames:
        return "no frames"
    level = level_dbfs(b"".join(frame.payload for frame in frames))
    return f"{level:4.0f} dBFS" if level > SPEECH_DBFS else "    quiet"


def _summary(record: CallRecord) -> list[str]:
    timing = record.timing
    return [
        f"{_ENDINGS[record.ending]}, after {record.duration_ms / 1000:.2f} s",
        *([f"  error          {record.error}"] if record.error else []),
        f"  sent           {_flow(record.sent, record.rate)}",
        f"  heard          {_flow(record.heard, record.rate)}",
        f"  first frame    {_since_start(record, record.heard[:1])}",
        f"  first speech   {_since_start(record, [f for f in record.heard if is_speech(f.payload)])}",
        f"  frame lateness p50 {timing.p50_ms:.1f}, p99 {timing.p99_ms:.1f}, max {timing.max_ms:.1f} ms;"
        f" jitter (RFC 3550) {timing.jitter_ms:.1f} ms",
        f"  gaps           {timing.gaps} over {GAP_MS} ms; the longest {timing.longest_gap_ms:.1f} ms",
    ]


def _flow(frames: Sequence[TimedFrame], rate: int) -> str:
    seconds = sum(len(frame.payload) for frame in frames) / (2 * rate)
    speech = [frame for frame in frames if is_speech(frame.payload)]
    return f"{len(frames)} frames, {seconds:.2f} s, {_level(speech).strip() if speech else 'no speech'}"


def _since_start(record: CallRecord, frames: Sequence[TimedFrame]) -> str:
    return f"{(frames[0].at - record.started_at) * 1000:.1f} ms after the UUID frame" if frames else "none"
