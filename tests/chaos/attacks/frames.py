"""Attacks by the frames of callers whose calls are up."""

from __future__ import annotations

from itertools import cycle, islice

from audiosocket_gw.call.caller_audio import MIN_AUDIO_BYTES
from audiosocket_gw.protocol.audiosocket import HEADER, SAMPLE_RATES, Kind, encode_dtmf
from tests.chaos.attack import Target, attack, repeatedly, together
from tests.chaos.backend import HostileAgent
from tests.harness.agent_messages import audio_message
from tests.harness.agent_peer import text

DOOR = "caller's frames"

READ = 65_536
"""Bytes that the gateway reads at once."""


def frames(payload: bytes, *kinds: int, size: int = READ) -> bytes:
    """Return frames of these kinds in turn: ``size`` bytes."""
    one_each = b"".join(HEADER.pack(kind, len(payload)) + payload for kind in kinds)
    whole = HEADER.size + len(payload)
    return bytes(islice(cycle(one_each), size // whole * whole))


ALTERNATE = (Kind.SLIN, Kind.SLIN192)
LEAST = b"\x01\x00" * (MIN_AUDIO_BYTES // 2)
"""The shortest frame that counts as audio."""

SEGMENT = frames(LEAST, *ALTERNATE, size=292 * (HEADER.size + len(LEAST)))
EVERY_RATE = frames(LEAST, *SAMPLE_RATES)
TINY = frames(b"\x01\x00", Kind.SLIN)
EMPTY = frames(b"", Kind.SLIN)
UNKNOWN = frames(b"", 0x42)
KEYS = encode_dtmf("5") * 5_000


async def speak_ahead(agent: HostileAgent, seconds: int, bytes_per_s: int = 16_000) -> None:
    for number in range(seconds):
        await agent.send(text(**audio_message(b"\x10\x10" * (bytes_per_s // 2), number + 1)))


async def each_second(target: Target, ahead_s: int, data: bytes, every_s: float = 1.0) -> None:
    """Place a call whose agent is so far ahead, and send the data at once; then the next one."""

    async def act() -> None:
        line, agent = await target.call()
        await speak_ahead(agent, ahead_s)
        await line.send(data)

    await repeatedly(act, every_s)


async def flood(target: Target, data: bytes) -> None:
    """Send the data as fast as it is read; call again when the gateway ends the call."""

    async def act() -> None:
        line, _ = await target.call()
        while True:
            await line.send(data)

    await repeatedly(act, 0.05)


@attack(DOOR, "292 frames of alternate kinds in one segment, agent 10 s ahead", before="held up 8,352 ms")
async def alternate_kinds_in_one_segment(target: Target) -> None:
    await each_second(target, 10, SEGMENT)


@attack(DOOR, "the same from 4 connections, agents 8 s ahead", before="held up 6.9 s, four times")
async def alternate_kinds_from_four_connections(target: Target) -> None:
    await together(*(each_second(target, 8, SEGMENT) for _ in range(4)))


@attack(DOOR, "64 KiB of alternate kinds, nothing queued", before="held up 3.1 s a write; 5 frames/s")
async def alternate_kinds_in_one_read(target: Target) -> None:
    await each_second(target, 0, frames(LEAST, *ALTERNATE), every_s=0.5)


@attack(DOOR, "frames of 2 bytes, endless, from 3 connections", before="held up 222 to 415 ms; 619 ms late")
async def tiny_frames(target: Target) -> None:
    await together(*(flood(target, TINY) for _ in range(3)))


@attack(DOOR, "frames without a byte and of unknown kinds, endless, from 3 connections")
async def empty_and_unknown_frames(target: Target) -> None:
    await together(flood(target, EMPTY), flood(target, UNKNOWN), flood(target, EMPTY + UNKNOWN))


@attack(DOOR, "5,000 keys in one write, twice a second", before="held up 280 ms; 5,000 log lines")
async def keys(target: Target) -> None:
    await each_second(target, 0, KEYS, every_s=0.5)


@attack(DOOR, "64 KiB of all kinds, agent at 16 kHz, twice a second", before="4.2 s of CPU a read")
async def every_rate(target: Target) -> None:
    target.backend.formats = ("pcm_16000", "pcm_16000")
    await each_second(target, 1, EVERY_RATE, every_s=0.5)


@attack(
    DOOR, "the same with local barge-in", before="1.3 to 5.5 s of CPU a read", settings={"BARGE_IN": "local"}
)
async def every_rate_with_local_barge_in(target: Target) -> None:
    target.backend.formats = ("pcm_16000", "pcm_16000")
    await together(each_second(target, 1, EVERY_RATE, every_s=0.5), flood(target, TINY))


@attack(DOOR, "50 connections that send a whole second of audio at once, again and again")
async def bursts_from_many(target: Target) -> None:
    second = frames(bytes(320), Kind.SLIN, size=50 * 323)

    async def act() -> None:
        line, _ = await target.call()
        await repeatedly(lambda: line.send(second), 1)

    await together(*(act() for _ in range(50)))


@attack(DOOR, "20 calls at 192 kHz in real time", before="held: p99 8.0 ms")
async def widest_band(target: Target) -> None:
    frame = frames(bytes(7_680), Kind.SLIN192, size=7_683)

    async def act() -> None:
        line, _ = await target.call()
        await repeatedly(lambda: line.send(frame), 0.02)

    await together(*(repeatedly(act, 0.1) for _ in range(20)))
