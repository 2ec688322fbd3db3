"""The page of whatever file there is: a flight recording, a recording, call records."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiosocket_gw import events
from audiosocket_gw.call_page.audio import stereo_wav
from audiosocket_gw.call_page.build import record_of
from audiosocket_gw.call_page.files import PageError, find_call, page_of_call, page_of_file
from audiosocket_gw.call_page.findings import head
from audiosocket_gw.call_page.from_flight import model_of_flight, model_of_records
from audiosocket_gw.call_page.from_record import RecordError, model_of_record, read_record
from audiosocket_gw.call_page.from_recording import model_of_recording
from audiosocket_gw.call_page.model import MarkKind, Source
from audiosocket_gw.call_page.page import render
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.events import SetupStep, TransferOutcome
from audiosocket_gw.flight.format import PREAMBLE, Event, Record, encode_block
from audiosocket_gw.ledger.record import CallState
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import shown
from tests.call_page import calls
from tests.call_page.calls import CALL, TONE
from tests.call_page.html_checker import Checker
from tests.flight import records

NAME = f"20260301T123000.000Z-{CALL}"
OTHER = UUID(int=7)

LINES: list[dict[str, Any]] = [
    {"type": "call", "role": "system", "at": 0.02, "uuid": str(CALL), "peer": "192.0.2.7:40000"},
    {"type": "connected", "role": "system", "at": 0.42, "conversation_id": "conv_1", "setup_ms": 400},
    {"type": "speaks", "role": "agent", "at": 0.52},
    {"type": "said", "role": "agent", "at": 0.53, "text": "Hello."},
    {"type": "said", "role": "caller", "at": 3.02, "text": "My number is 0301234567."},
    {"type": "speaks", "role": "agent", "at": 3.52},
    {"type": "said", "role": "agent", "at": 3.53, "text": "Thank you very much."},
    {"type": "interrupted", "role": "caller", "at": 4.02, "discarded_ms": 900},
    {
        "type": "heard",
        "role": "agent",
        "at": 4.03,
        "reply": 2,
        "text": "Thank you very much.",
        "heard": "Thank you",
        "heard_ms": 500,
        "length_ms": 1_400,
        "interrupted": True,
    },
    {"type": "key", "role": "caller", "at": 4.22},
    {"type": "tool-call", "role": "agent", "at": 4.52, "tool": "look_up", "tool_call_id": "t1"},
    {
        "type": "tool-result",
        "role": "system",
        "at": 4.82,
        "tool": "look_up",
        "tool_call_id": "t1",
        "is_error": True,
    },
    {
        "type": "end",
        "role": "system",
        "at": 6.02,
        "reason": "agent-hangup",
        "detail": "closed with 1000",
        "duration_ms": 6_000,
        "heard_ms": 1_000,
    },
]


FIELDS: list[tuple[tuple[str, ...], st.SearchStrategy[Any]]] = [
    (("ms", "setup_ms", "rtt_ms"), st.floats(-1e9, 1e9)),
    (("latency_ms", "waited_ms", "heard_ms", "held_ms", "length_ms", "reply"), st.integers(-(10**9), 10**9)),
    (("discarded_ms", "duration_ms", "late", "skipped", "missing"), st.integers(-(10**9), 10**9)),
    (("silence_ms",), st.none() | st.integers(-(10**9), 10**9)),
    (
        ("text", "heard", "name", "tool_call_id", "destination", "digit", "detail", "status"),
        st.text(max_size=9),
    ),
    (("corrected", "interrupted", "is_error"), st.booleans()),
    (("step",), st.sampled_from(SetupStep)),
    (("outcome",), st.sampled_from(TransferOutcome)),
    (("reason",), st.sampled_from(EndReason)),
    (
        ("conversation_id", "pbx", "caller_number", "caller_name", "dialled_number", "channel"),
        st.text(max_size=9),
    ),
]
"""Values of the fields of events: of the right type, and absurd."""


def write_flight(folder: Path, records: Iterable[Record], name: str = NAME, suffix: str = ".flight") -> Path:
    path = folder / f"{name}{suffix}"
    path.write_bytes(PREAMBLE + encode_block(records))
    return path


def write_recording(folder: Path, *, wav: bool = True, transcript: bool = True, name: str = NAME) -> Path:
    path = folder / f"{name}.wav"
    both = np.zeros((6 * 8_000, 2), "<i2")
    tone = np.frombuffer(TONE, "<i2")
    for channel, start, end in ((0, 2.0, 3.0), (1, 0.5, 1.0), (1, 3.5, 4.0), (0, 3.8, 4.4)):
        size = round((end - start) * 8_000)
        both[round(start * 8_000) : round(end * 8_000), channel] = np.resize(tone, size)
    if wav:
        path.write_bytes(stereo_wav(both.tobytes(), 8_000))
    if transcript:
        path.with_suffix(".jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


def record_json(make: Any = calls.conversation) -> dict[str, Any]:
    return shown(model_of_records(make()).record, CallerNumbers.MASKED)


# A flight recording


def test_a_flight_file_of_a_call_that_is_up_has_a_page(tmp_path: Path) -> None:
    path = write_flight(tmp_path, list(calls.conversation())[:-1], suffix=".flight-part")
    assert model_of_flight(path).is_up
    assert b"Still up" in page_of_file(path)


def test_a_flight_file_that_was_cut_off_has_a_page(tmp_path: Path) -> None:
    records = list(calls.conversation())
    path = tmp_path / f"{NAME}.flight"
    path.write_bytes(PREAMBLE + encode_block(records[:400]) + encode_block(records[400:])[:-30])
    assert b"The recording breaks off" in page_of_file(path)


named_events = st.builds(
    Event,
    records.times,
    st.sampled_from(sorted(kind.__name__ for kind in events.CallEvent.__subclasses__())),
    st.fixed_dictionaries(
        {},
        optional={name: values for names, values in FIELDS for name in names},
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(records.records | named_events, max_size=30), st.booleans())
def test_no_records_make_it_fail(recorded: list[Record], in_order: bool) -> None:
    if in_order:
        recorded.sort(key=lambda record: record.at_us)
    checked = Checker(render(model_of_records([records.START, *recorded])))
    assert checked.open == []


# A recording


@pytest.mark.parametrize("suffix", [".wav", ".jsonl"])
def test_a_recording_has_a_page_from_either_of_its_files(suffix: str, tmp_path: Path) -> None:
    path = write_recording(tmp_path).with_suffix(suffix)
    model = model_of_recording(path)
    assert model.source is Source.RECORDING
    assert model.record.uuid == CALL
    assert model.record.setup_ms == 400
    assert [answer.latency_ms for answer in model.answers] == [pytest.approx(500, abs=25)]
    assert [(w.text, w.unheard) for w in model.words] == [
        ("Hello.", ""),
        ("My number is ##########.", ""),
        ("Thank you", "very much."),
    ]
    assert [mark.label for mark in model.marks if mark.kind is MarkKind.TOOL] == ["look_up failed"]
    (barge_in,) = model.barge_ins
    assert barge_in.silence_ms == pytest.approx(220, abs=45)
    assert model.to_caller is None
    assert b"0301234567" not in page_of_file(path)


def test_a_recording_without_one_of_its_files_has_a_page(tmp_path: Path) -> None:
    wav = write_recording(tmp_path, transcript=False)
    assert b"the caller&#x27;s voice" in page_of_file(wav) or b"the caller's voice" in page_of_file(wav)
    wav.unlink()
    transcript = write_recording(tmp_path, wav=False).with_suffix(".jsonl")
    assert b"Thank you" in page_of_file(transcript)


def test_numbers_and_secrets_in_the_end_of_a_recording_are_masked(tmp_path: Path) -> None:
    """A recording has what was said as it was said; its page is for all who may see the calls."""
    path = write_recording(tmp_path)
    end = {"detail": "closed with 1008 password: hunter2, call +41 79 123 45 67", "reason": "agent-rejected"}
    lines = [line | end if line["type"] == "end" else line for line in LINES]
    path.with_suffix(".jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = page_of_call(path, None, with_words=False).decode()
    assert "password: ***, call +## ## ### ## ##" in page
    assert "hunter2" not in page


def test_a_recording_plays(tmp_path: Path) -> None:
    path = write_recording(tmp_path)
    assert b"data:audio/wav;base64," in page_of_file(path, with_audio=True)
    path.unlink()
    with pytest.raises(PageError, match="too long to be played by a page, or its audio is missing"):
        page_of_file(path.with_suffix(".jsonl"), with_audio=True)


def test_a_wav_of_something_else_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "music.wav"
    path.write_bytes(stereo_wav(bytes(400), 8_000))
    with pytest.raises(PageError, match="isn't named by its start and the UUID"):
        page_of_file(path)


transcript_lines = st.dictionaries(
    st.sampled_from([*LINES[8], "reason", "detail", "uuid", "peer", "time", "tool"]),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.just("said")
    | st.just("end"),
)


@given(line=transcript_lines)
def test_no_transcript_makes_it_fail(line: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("transcript") / f"{NAME}.jsonl"
    path.write_text(json.dumps(LINES[0]) + "\n" + json.dumps(line) + "\nnot JSON\n[1]\n" + '{"type":')
    page_of_file(path)


# A call record


def test_a_record_comes_back_from_its_json() -> None:
    record = model_of_records(calls.conversation()).record
    again = read_record(shown(record, CallerNumbers.SHOWN))
    for name in ("uuid", "turns", "interruptions", "tools", "transfers", "end", "setup_steps", "frames"):
        assert getattr(again, name) == getattr(record, name)
    assert again.started_at == pytest.approx(record.started_at, abs=0.001)


def test_the_page_of_a_record_has_its_turns_tools_and_end() -> None:
    model = model_of_record(record_json())
    assert model.source is Source.RECORD
    page = page_of_call(None, record_json(), with_words=True).decode()
    for text in ("700 ms", "look_up 500 ms", "transfer done", "barge-in 300 ms", "transferred", "signed url"):
        assert text in page
    assert "Caller</text>" not in page
    assert "its call record alone" in page


def test_the_record_of_a_call_that_is_up_has_a_page() -> None:
    record = record_of(model_of_records(calls.conversation()).record, [])
    up = shown(record, CallerNumbers.MASKED, age_ms=12_000) | {"state": "talking", "end": None}
    model = model_of_record(up)
    assert model.is_up
    assert model.record.state is CallState.TALKING
    assert b"Still up" in page_of_call(None, up, with_words=True)


def test_a_silent_agent_is_marked_from_the_record_alone() -> None:
    model = model_of_record(record_json(calls.silent_agent))
    assert [mark.label for mark in model.marks if mark.kind is MarkKind.SILENT] == ["silent agent 14.6 s"]


def test_a_caller_that_cant_be_decoded_is_a_finding_from_the_record_alone() -> None:
    recorded = record_json(calls.undecodable)
    (finding,) = head(model_of_record(recorded)).findings
    assert "couldn't be decoded: the agent got silence" in finding.text
    del recorded["undecodable"]  # an older gateway wrote it
    assert head(model_of_record(recorded)).findings == ()


def test_a_file_of_records_has_a_page_of_each_call(tmp_path: Path) -> None:
    path = tmp_path / "calls.log"
    other = record_json(calls.never_connected) | {"uuid": str(OTHER)}
    path.write_text(json.dumps(other) + "\n" + json.dumps(record_json()) + "\n" + '{"uuid": "cut o')
    assert str(CALL).encode() in page_of_file(path)
    assert b"agent-timeout" in page_of_file(path, OTHER)
    with pytest.raises(PageError, match="no record of the call 00000000-0000-0000-0000-000000000009"):
        page_of_file(path, UUID(int=9))
    with pytest.raises(PageError, match="a call record has no audio"):
        page_of_file(path, with_audio=True)


@pytest.mark.parametrize(
    "change",
    [
        {"uuid": "x"},
        {"started_at": 5},
        {"state": "asleep"},
        {"turns": [{"at_ms": "x"}]},
        {"turns": [{}]},
        {"duration_ms": -1},
        {"setup_ms": 10**30},
        {"tools": 5},
        {"end": {"reason": "boredom"}},
    ],
    ids=str,
)
def test_what_is_no_record_is_an_error(change: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="it isn't a call record"):
        read_record(record_json() | change)


# Any file


@pytest.mark.parametrize(
    "content", [b"", b"hello\n", b"RIFF", b"[1]\n", b'{"a": 1}\n', b"\x93FLIGHT\r\n\x09"]
)
def test_what_is_no_file_of_a_call_is_an_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(PageError):
        page_of_file(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PageError, match="it can't be read: No such file"):
        page_of_file(tmp_path / "x.flight")


def test_the_best_file_of_a_call_is_found(tmp_path: Path) -> None:
    flights, recordings = tmp_path / "f", tmp_path / "r"
    flights.mkdir()
    recordings.mkdir()
    assert find_call(CALL, None, None) is None
    assert find_call(CALL, flights, recordings) is None
    recording = write_recording(recordings)
    assert find_call(CALL, flights, recordings) == recording
    earlier = write_flight(flights, calls.conversation())
    later = write_flight(flights, calls.conversation(), name=f"20260302T123000.000Z-{CALL}")
    write_flight(flights, calls.conversation(), name=f"20260303T123000.000Z-{OTHER}")
    assert find_call(CALL, flights, recordings) == later != earlier
    assert find_call(CALL, None, recordings) == recording


def test_a_uuid_that_came_twice_gets_the_file_of_the_right_call(tmp_path: Path) -> None:
    first = write_flight(tmp_path, calls.conversation())
    second = write_flight(tmp_path, calls.conversation(), name=f"20260302T123000.000Z-{CALL}")
    record = record_json()
    assert record["started_at"] == "2026-03-01T12:30:00.000Z"
    assert find_call(CALL, tmp_path, None, record) == first
    assert find_call(CALL, tmp_path, None, record | {"started_at": "2026-03-02T12:30:01Z"}) == second
    assert find_call(CALL, tmp_path, None, record | {"started_at": "2026-03-03T12:30:01Z"}) is None
    assert find_call(CALL, tmp_path, None, record | {"started_at": 5}) is None


def test_a_page_of_file_and_record_shows_the_caller_as_the_record_does(tmp_path: Path) -> None:
    path = write_flight(tmp_path, calls.conversation())
    record = record_json() | {"caller_number": "+########567", "agent": "other"}
    page = page_of_call(path, record, with_words=True).decode()
    assert "+########567" in page
    assert "We are open" in page
    assert "front desk" in page
    without = page_of_call(path, record, with_words=False).decode()
    assert "We are open" not in without
    assert "700 ms" in without


def test_a_file_that_is_damaged_leaves_the_record(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.flight"
    path.write_bytes(b"nonsense")
    assert b"its call record alone" in page_of_call(path, record_json(), with_words=True)
    with pytest.raises(PageError, match="not a flight recording"):
        page_of_call(path, None, with_words=True)
    with pytest.raises(PageError, match="nothing known"):
        page_of_call(None, None, with_words=True)
    with pytest.raises(PageError, match="isn't a call record"):
        page_of_call(None, {}, with_words=True)
