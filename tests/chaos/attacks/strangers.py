"""Attacks by anyone who reaches the port: without a UUID, with invented ones, and with garbage.

The good callers' PBX is a known address; the strangers come from another one in an allowed network.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from uuid import uuid4

from audiosocket_gw.protocol.audiosocket import encode_identity
from tests.chaos.attack import STRANGER, Target, attack, repeatedly, together

DOOR = "strangers"

PLACES = {"MAX_CALLS": "120", "ALLOWED_PEERS": "127.0.0.1,127.0.0.64/26"}
"""Strangers may have half of the places; 50 good calls and the new ones fit into the rest."""

TRY_S = 0.25


async def connections(target: Target, per_s: int) -> None:
    """Open connections at this rate, and keep them open."""

    async def act() -> None:
        await target.connect(STRANGER)

    await repeatedly(act, 1 / per_s)


async def invented_calls(target: Target, per_s: int) -> None:
    """Send UUIDs at this rate, then not a word."""

    async def act() -> None:
        line = await target.connect(STRANGER)
        await line.send(encode_identity(uuid4()))

    await repeatedly(act, 1 / per_s)


@attack(DOOR, "invented UUIDs, 100/s, not a word", before="5 of 194 good tries came up", settings=PLACES)
async def silent_invented_calls(target: Target) -> None:
    await together(invented_calls(target, 100), target.try_calls(TRY_S))


@attack(
    DOOR,
    "the same with REQUIRE_CALLER_AUDIO: no agent is reached",
    settings=PLACES | {"REQUIRE_CALLER_AUDIO": "true"},
)
async def invented_calls_without_audio(target: Target) -> None:
    try:
        await together(invented_calls(target, 100), target.try_calls(TRY_S))
    finally:
        if target.backend.conversations > target.tries + 1:
            target.faults.append(f"{target.backend.conversations - target.tries} strangers reached an agent")


@attack(DOOR, "connections without a UUID, 100/s", before="59 of 193 good tries came up", settings=PLACES)
async def mute_connections(target: Target) -> None:
    await together(connections(target, 100), target.try_calls(TRY_S))


@attack(DOOR, "connections without a UUID, 400/s", before="15 of 183 good tries came up", settings=PLACES)
async def many_mute_connections(target: Target) -> None:
    await together(*(connections(target, 100) for _ in range(4)), target.try_calls(TRY_S))


@attack(
    DOOR, "connections from an address that may not connect, 400/s", settings={"ALLOWED_PEERS": "127.0.0.1"}
)
async def forbidden_connections(target: Target) -> None:
    await together(*(connections(target, 100) for _ in range(4)), target.try_calls(TRY_S))


@attack(DOOR, "connections that send garbage, as fast as they can", before="held: p99 ratio 1.7")
async def garbage(target: Target) -> None:
    async def act() -> None:
        line = await target.connect()
        await line.send(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n" + os.urandom(64))
        await line.ended.wait()
        line.close()

    await together(*(repeatedly(act, 0) for _ in range(4)))


@attack(DOOR, "450 connections that send a byte of the UUID every 0.3 s", before="held: p99 ratio 1.3")
async def slow_loris(target: Target) -> None:
    lines = [await target.connect() for _ in range(450)]
    for byte in encode_identity(uuid4()):
        for line in lines:
            with suppress(ConnectionError):
                await line.send(bytes([byte]))
        await asyncio.sleep(0.3)
