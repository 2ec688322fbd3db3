"""Attacks by the REST services: the agent service, and ElevenLabs' signed URLs."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

from tests.chaos.attack import Target, attack, repeatedly, together

DOOR = "REST"

MIB = 2**20


def response(body: bytes, *headers: bytes) -> Callable[[str], bytes]:
    """Return an answer that is always the same."""
    head = b"".join(header + b"\r\n" for header in headers)
    whole = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
    return lambda _: whole


def gzipped_zeros(mib: int) -> bytes:
    """Return the gzip form of so many MiB of zeros, at a thousandth of their size."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)  # refers to nothing before it
    header, end = b"\x1f\x8b\x08" + bytes(7), b"\x03\x00" + bytes(8)
    return header + block * mib + end


async def dial(target: Target, every_s: float) -> None:
    """Place calls whose REST requests are answered with what the attack has set."""

    async def act() -> None:
        await target.dial()

    await repeatedly(act, every_s)


@attack(DOOR, "3 kB of doubly compressed zeros: 2 GB", before="held up 34.7 s; 7,707 MB", seconds=4)
async def double_gzip(target: Target) -> None:
    bomb = gzip.compress(gzipped_zeros(2048))
    target.backend.answer = response(bomb, b"Content-Encoding: gzip, gzip")
    await dial(target, 2)


@attack(DOOR, "388 kB of compressed zeros: 400 MB", before="held up 1.4 s; 322 MB")
async def gzip_bomb(target: Target) -> None:
    target.backend.answer = response(gzipped_zeros(400), b"Content-Encoding: gzip")
    await dial(target, 1)


@attack(DOOR, "answers of 8 MiB, and 10,000 headers, 10 calls/s")
async def large_answers(target: Target) -> None:
    long = response(b"{" + b" " * 8 * MIB + b"}")
    headers = response(b"{}", *(b"X-%d: x" % number for number in range(10_000)))
    answers = [long, headers]

    def in_turn(path: str) -> bytes:
        answers.reverse()
        return answers[0](path)

    target.backend.answer = in_turn
    await dial(target, 0.1)


@attack(DOOR, "no answer, 20 calls/s: 100 calls that wait")
async def no_answer(target: Target) -> None:
    target.backend.delay_s = 3
    await together(dial(target, 0.05))
