"""Signed UUIDs: only the owner of the secret makes them, and each is good for one call."""

from __future__ import annotations

import hmac
from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.server import signed_uuid
from audiosocket_gw.server.signed_uuid import NONCE_BITS, SignedUuids, sign

SECRET = "0123456789abcdef0123456789abcdef"
NOW = 1_796_000_000.0

secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=32, max_size=64)
nonces = st.integers(0, 2**NONCE_BITS - 1)
times = st.integers(0, 2**32 - 1)


def test_the_published_layout() -> None:
    uuid = sign(SECRET, NOW + 0.9, 0xABCDEF1)
    assert str(uuid).startswith("6b0cc900-abcd-8ef1-a")
    signature = hmac.digest(SECRET.encode(), str(uuid)[:18].encode(), "sha256").hex()
    assert str(uuid)[20:].replace("-", "") == signature[:15]


@given(secrets, times, nonces)
def test_a_signed_uuid_is_a_uuid_of_version_8_and_valid(secret: str, made_at: int, nonce: int) -> None:
    uuid = sign(secret, made_at, nonce)
    assert (uuid.version, uuid.variant) == (8, RFC_4122)
    assert SignedUuids(secret, 60).reject(uuid, made_at) is None


@given(times, nonces, st.integers(0, 127))
def test_no_bit_can_be_changed(made_at: int, nonce: int, bit: int) -> None:
    changed = UUID(int=sign(SECRET, made_at, nonce).int ^ 1 << bit)
    assert SignedUuids(SECRET, 2**33).reject(changed, made_at) == "its UUID is not signed with UUID_SECRET"


@given(secrets, secrets, nonces)
def test_another_secret_signs_nothing(one: str, other: str, nonce: int) -> None:
    rejection = SignedUuids(one, 60).reject(sign(other, NOW, nonce), NOW)
    assert (rejection is None) is (one == other)


def test_other_uuids_are_not_signed() -> None:
    uuids = SignedUuids(SECRET, 60)
    for uuid in (uuid4(), UUID(int=0), UUID(int=2**128 - 1)):
        assert uuids.reject(uuid, NOW) == "its UUID is not signed with UUID_SECRET"


@pytest.mark.parametrize(
    ("age_s", "rejection"),
    [
        (60, None),
        (-60, None),
        (61, "its UUID was made 61 s ago (UUID_MAX_AGE=60; compare the clocks)"),
        (-61, "its UUID was made 61 s in the future (UUID_MAX_AGE=60; compare the clocks)"),
    ],
)
def test_a_uuid_expires(age_s: float, rejection: str | None) -> None:
    assert SignedUuids(SECRET, 60).reject(sign(SECRET, NOW, 1), NOW + age_s) == rejection


def test_a_uuid_is_good_for_one_call() -> None:
    uuids, uuid = SignedUuids(SECRET, 60), sign(SECRET, NOW, 1)
    assert uuids.reject(uuid, NOW) is None
    assert uuids.reject(uuid, NOW) is None, "a call that was rejected for another reason may come again"
    uuids.use(uuid)
    for now in (NOW, NOW + 60):
        assert uuids.reject(uuid, now) == "its UUID was used before; make a new one for each call"
    assert "ago" in (uuids.reject(uuid, NOW + 61) or "")


def test_only_the_last_minutes_are_remembered() -> None:
    uuids = SignedUuids(SECRET, 60)
    for second in range(1_000):
        uuid = sign(SECRET, NOW + second, second)
        assert uuids.reject(uuid, NOW + second) is None
        uuids.use(uuid)
    assert len(uuids) <= 62 + signed_uuid.SET_BACK_S


@pytest.mark.parametrize("back_s", [1, 60, 300, 600])
def test_a_clock_that_is_set_back_makes_no_used_uuid_valid(back_s: int) -> None:
    uuids, used = SignedUuids(SECRET, 60), sign(SECRET, NOW, 1)
    uuids.use(used)
    later = NOW + back_s + 60
    other = sign(SECRET, later, 2)
    assert uuids.reject(other, later) is None
    uuids.use(other)
    assert uuids.reject(used, later - back_s) == "its UUID was used before; make a new one for each call"


def test_what_can_not_be_remembered_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_uuid, "MAX_REMEMBERED", 3)
    uuids = SignedUuids(SECRET, 60)
    for nonce in range(3):
        uuids.use(sign(SECRET, NOW, nonce))
    assert "3 UUIDs were used" in (uuids.reject(sign(SECRET, NOW, 4), NOW) or "")
    assert uuids.reject(sign(SECRET, NOW + 61, 4), NOW + 61) is None, "and there is room again"


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    uuid = sign(SECRET, NOW, 1)
    assert SignedUuids(SECRET, 60).reject(uuid, NOW) is not None
    assert compared == [(str(uuid)[19:].replace("-", ""),) * 2], "the whole signature"
