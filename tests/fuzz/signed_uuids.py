"""Signed UUIDs: only those that the owner of the secret made are valid, in their time, and once."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from audiosocket_gw.server.signed_uuid import NONCE_BITS, SignedUuids, sign
from tests.fuzz.choices import Choices
from tests.fuzz.target import Target

SECRET = "a secret of the owner, of 32 characters"
MAX_AGE_S = 60.0
NOW = 1_790_000_000


def check(data: bytes) -> None:
    choices = Choices(data)
    checker = SignedUuids(SECRET, MAX_AGE_S)
    used: dict[UUID, int] = {}
    now = NOW
    for _ in choices.repeat(12):
        now += choices.number(90)
        age = choices.number(256) - 128
        own = sign(SECRET, now - age, choices.number(4))
        assert own.version == 8
        forged = UUID(int=own.int ^ choices.number(2**64) ^ choices.number(2**64) << 64)
        assert forged == own or checker.reject(forged, now) is not None
        is_valid = abs(age) <= MAX_AGE_S and own not in used
        assert (checker.reject(own, now) is None) == is_valid
        if is_valid and choices.flag():
            checker.use(own)
            used[own] = now
        recent = sum(now - at <= 2 * MAX_AGE_S for at in used.values())
        assert checker.reject(sign(SECRET, now, 2**NONCE_BITS - 1), now) is None
        assert len(checker) <= recent


def ages() -> Iterator[bytes]:
    for age in (0, 68, 128, 129, 188, 189, 255):
        yield bytes([0, age, 1]) + bytes(16) + b"\1" + bytes([1, age, 1]) + b"\1" + bytes(15) + b"\0"


TARGETS = (Target("signed-uuids", check, ages, max_bytes=260),)
