"""Call records as JSON: complete, and with the caller masked."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.ledger.record import CallRecord, Frames, Interruption, ToolRun, Transfer, Turn
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import iso, mask_channel, mask_number, masked, shown
from tests.ledger.calls import ELSEWHERE, NUMBER, WHOLE_CALL, record_of

MASKED, SHOWN = CallerNumbers.MASKED, CallerNumbers.SHOWN


def test_every_field_is_shown_by_its_name() -> None:
    members = shown(record_of(), SHOWN)
    assert list(members) == [field.name for field in fields(CallRecord)] + ["trouble", "is_bad"]
    parts = {"turns": Turn, "interruptions": Interruption, "tools": ToolRun, "transfers": Transfer}
    for name, kind in parts.items():
        assert [list(part) for part in members[name]] == [[f.name for f in fields(kind)]] * 2
    assert list(members["frames"]) == [field.name for field in fields(Frames)]


@pytest.mark.parametrize("count", range(1, len(WHOLE_CALL) + 1))
@pytest.mark.parametrize("numbers", CallerNumbers)
def test_it_is_json_at_every_moment_of_a_call(count: int, numbers: CallerNumbers) -> None:
    members = shown(record_of(WHOLE_CALL[:count]), numbers, age_ms=7)
    assert json.loads(json.dumps(members, allow_nan=False)) == members
    assert members["duration_ms"] == (9_000 if count == len(WHOLE_CALL) else 7)


def test_the_values_of_a_record() -> None:
    members = shown(record_of(), SHOWN)
    assert members["uuid"] == "40325ec2-5efd-4bd3-805f-53576e581d13"
    assert members["started_at"] == "2025-11-25T12:00:00.250Z"
    assert (members["state"], members["is_bad"]) == ("ended", True)
    assert (members["caller_number"], members["caller_name"]) == (NUMBER, "Ann Example")
    assert members["setup_steps"] == {"caller_data": 12, "connect": 80}
    assert members["tools"][1]["outcome"] == "running"
    assert [(t["destination"], t["outcome"]) for t in members["transfers"]] == [
        (f"{ELSEWHERE}@out", "refused"),
        ("600@queues", "done"),
    ]
    assert members["end"]["reason"] == "transferred"


def test_a_masked_record_has_neither_name_nor_number() -> None:
    members = shown(record_of(), MASKED)
    assert members["caller_number"] == "+########567"
    assert members["caller_name"] == "***"
    assert members["channel"] == "PJSIP/+########567-0000000a"
    assert [t["destination"] for t in members["transfers"]] == ["#######222@out", "sales"]
    assert members["dialled_number"] == "5001"
    text = json.dumps(members)
    assert not any(hidden in text for hidden in ("30123", "Ann", "30111"))


def test_what_is_not_known_stays_empty() -> None:
    members = shown(record_of(WHOLE_CALL[:1]), MASKED)
    assert (members["caller_number"], members["caller_name"], members["channel"]) == ("", "", "")
    assert (members["end"], members["duration_ms"]) == (None, None)


def test_a_record_that_was_shown_can_be_masked_later() -> None:
    assert masked(shown(record_of(), SHOWN)) == shown(record_of(), MASKED)
    assert masked(shown(record_of(), MASKED)) == shown(record_of(), MASKED)


@pytest.mark.parametrize(
    ("number", "seen"),
    [
        ("", ""),
        ("601", "601"),
        ("123456", "123456"),
        ("1234567", "####567"),
        ("+49 (30) 123-4567", "+## (##) ###-#567"),
        ("anonymous", "anonymous"),
        ("٠١٢٣٤٥٦٧", "#####٥٦٧"),
    ],
)
def test_the_last_three_digits_of_a_number_stay(number: str, seen: str) -> None:
    assert mask_number(number) == seen


@pytest.mark.parametrize(
    ("channel", "seen"),
    [
        ("PJSIP/trunk-00000012", "PJSIP/trunk-00000012"),
        ("PJSIP/1001-00000012", "PJSIP/1001-00000012"),
        ("Local/0301234567@out-0000000a;1", "Local/#######567@out-0000000a;1"),
        ("DAHDI/i1/0301234567-1", "DAHDI/i1/########67-1"),
        ("0301234567", "#######567"),
        ("PJSIP/030_123_4567-0000000a", "PJSIP/###_###_#567-0000000a"),
        ("IAX2/030+123\u20114567-0000000a", "IAX2/###+###\u2011#567-0000000a"),
    ],
)
def test_the_number_in_a_channel_is_masked_and_its_suffix_is_not(channel: str, seen: str) -> None:
    assert mask_channel(channel) == seen


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_nothing_that_a_caller_sends_breaks_it_or_shows_more_than_three_digits(text: str) -> None:
    record = replace(record_of(), caller_number=text, caller_name=text, channel=text, dialled_number=text)
    members = shown(record, MASKED)
    assert json.loads(json.dumps(members)) == members
    assert masked(members) == members
    digits = sum(map(str.isdecimal, members["caller_number"]))
    assert digits <= 6
    assert members["caller_number"].isprintable()


def test_times_are_utc_with_milliseconds() -> None:
    assert iso(0.0) == "1970-01-01T00:00:00.000Z"
    assert iso(1_764_072_000.9999) == "2025-11-25T12:00:00.999Z"
