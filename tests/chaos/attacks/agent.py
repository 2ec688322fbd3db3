"""Attacks by an agent: large messages, many messages, much audio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from tests.chaos.attack import Target, attack, repeatedly, together
from tests.chaos.attacks.frames import frames
from tests.harness.agent_messages import agent_response, audio_message, interruption, tool_call
from tests.harness.agent_peer import CONTINUATION, PING, TEXT, frame, text

DOOR = "agent"

MIB = 2**20


def small_members(size: int) -> bytes:
    """Return a JSON object of about this size, whose members are small."""
    return b'{"type":"x","a":[' + b"1," * ((size - 20) // 2) + b"1]}"


def much_alignment(size: int) -> bytes:
    """Return two bytes of audio with an alignment, of about this size in all."""
    count = size // 8  # each character takes 4, 2 and 2 bytes
    lists = (
        b'"chars":[%b"a"]' % (b'"a",' * count),
        b'"char_start_times_ms":[%b0]' % (b"0," * count),
        b'"char_durations_ms":[%b1]' % (b"1," * count),
    )
    audio = b'"audio_base_64":"AAA=","event_id":1'
    return b'{"type":"audio","audio_event":{%b,"alignment":{%b}}}' % (audio, b",".join(lists))


async def tell(target: Target, messages: Iterator[bytes] | list[bytes], every_s: float = 0.0) -> None:
    """Have an agent send these messages; then one of another call, again."""

    async def act() -> None:
        _, agent = await target.call()
        for message in messages:
            await agent.send(message)
            await asyncio.sleep(every_s)

    await repeatedly(act, max(every_s, 0.1))


async def flood(target: Target, message: bytes, calls: int = 3) -> None:
    """Have agents send a message as fast as it is read; of other calls when the gateway ends these."""
    many = message * (65_536 // len(message) + 1)

    async def act() -> None:
        _, agent = await target.call()
        while True:
            await agent.send(many)

    await together(*(repeatedly(act, 0.1) for _ in range(calls)))


@attack(DOOR, "16 MiB of JSON with small members, every second", before="held up 2.3 s a message; 497 MB")
async def huge_json(target: Target) -> None:
    await tell(target, [frame(TEXT, small_members(16 * MIB - 16))] * 5, every_s=1)


@attack(DOOR, "2 MiB of JSON with small members, every 0.3 s")
async def large_json(target: Target) -> None:
    await tell(target, [frame(TEXT, small_members(2 * MIB - 16))] * 20, every_s=0.3)


@attack(DOOR, "16 MiB of alignment with 2 bytes of audio, every second", before="held up 2.6 s; +150 MB each")
async def huge_alignment(target: Target) -> None:
    await tell(target, [frame(TEXT, much_alignment(15 * MIB))] * 5, every_s=1)


@attack(DOOR, "2 MiB of alignment with 2 bytes of audio, every 0.3 s")
async def large_alignment(target: Target) -> None:
    await tell(target, [frame(TEXT, much_alignment(2 * MIB - 4096))] * 20, every_s=0.3)


@attack(DOOR, "16 MiB in fragments of 1 byte, and empty fragments without end")
async def fragments(target: Target) -> None:
    first, byte, none = (
        frame(TEXT, b" ", fin=False),
        *(frame(CONTINUATION, b, fin=False) for b in (b" ", b"")),
    )

    async def act() -> None:
        _, agent = await target.call()
        await agent.send(first)
        while True:
            await agent.send(byte * 10_000, none * 10_000)

    await together(*(repeatedly(act, 0.1) for _ in range(2)))


@attack(DOOR, "12 MB of audio in a message, pcm_8000", before="held up 166 ms; 113 MB")
async def long_audio(target: Target) -> None:
    await tell(target, [text(**audio_message(b"\x10\x10" * 4_500_000, 1))] * 5, every_s=1)


@attack(DOOR, "94 s of audio in a message of 2 MiB, pcm_8000, every 0.5 s")
async def audio_of_two_mib(target: Target) -> None:
    await tell(target, [text(**audio_message(b"\x10\x10" * 750_000, 1))] * 10, every_s=0.5)


@attack(DOOR, "12 MB of audio in a message, pcm_48000 for 8 kHz", before="held up 1.28 s; 394 MB")
async def wide_audio(target: Target) -> None:
    target.backend.formats = ("pcm_48000", "pcm_8000")
    await tell(target, [text(**audio_message(b"\x10\x10" * 4_500_000, 1))] * 5, every_s=1)


@attack(DOOR, "30 s of honest audio in messages of 10 s, pcm_48000, from 5 agents", before="225 ms of CPU")
async def honest_wide_audio(target: Target) -> None:
    target.backend.formats = ("pcm_48000", "pcm_8000")
    ten_seconds = text(**audio_message(b"\x10\x10" * 480_000, 1))
    await together(*(tell(target, [ten_seconds] * 3, every_s=1) for _ in range(5)))


@attack(DOOR, "2 MiB of G.711 for a caller at 192 kHz", before="held up 25.5 s; 6.8 GB (12 MB)")
async def audio_for_wide_callers(target: Target) -> None:
    target.backend.formats = ("ulaw_8000", "ulaw_8000")

    async def act() -> None:
        line, agent = await target.call()
        await line.send(frames(bytes(7_680), 0x18, size=5 * 7_683))
        await agent.send(text(**audio_message(b"\x10" * 1_500_000, 1)))

    await repeatedly(act, 1)


@attack(DOOR, "endless audio, as fast as it is read", before="held; cut at 30 min ahead")
async def endless_audio(target: Target) -> None:
    await flood(target, text(**audio_message(b"\x10\x10" * 8_000, 1)), calls=1)


@attack(DOOR, "WebSocket pings without end, from 3 agents", before="held up 781 ms; 16 frames/s")
async def pings(target: Target) -> None:
    await flood(target, frame(PING))


@attack(DOOR, "JSON pings without end, from 3 agents", before="held up 143 ms")
async def json_pings(target: Target) -> None:
    await flood(target, text(type="ping", ping_event={"event_id": 1, "ping_ms": None}))


@attack(DOOR, "interruptions without end, from 3 agents", before="held up 317 ms; 3.5 MB of log in 5 s")
async def interruptions(target: Target) -> None:
    await flood(target, text(**interruption(1)))


@attack(DOOR, "tiny messages without end, from 3 agents", before="held up 194 ms")
async def tiny_messages(target: Target) -> None:
    await flood(target, frame(TEXT, b"{}"))


@attack(DOOR, "errors without end, from 3 agents", before="held up 134 ms; 12.4 MB of log in 5 s")
async def errors(target: Target) -> None:
    await flood(target, text(type="error", error_event={"code": 1008, "message": "x" * 1000}))


@attack(DOOR, "tool calls without end, from 3 agents", before="held up 136 ms; 10.2 MB of log in 5 s")
async def tool_calls(target: Target) -> None:
    await flood(target, text(**tool_call("no_such_tool", number=1)))


@attack(DOOR, "replies' texts without end, from 3 agents")
async def texts(target: Target) -> None:
    await flood(target, text(**agent_response("word " * 200, 1)))
