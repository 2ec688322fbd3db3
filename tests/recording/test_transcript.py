"""What a transcript says of a call."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw import events
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.recording.transcript import Transcript, TranscriptFile

CALL = UUID("01234567-89ab-cdef-0123-456789abcdef")
STARTED = events.CallStarted(CALL, 1_000.0, "192.0.2.1:40000")
STARTED_ON = datetime(2026, 11, 23, 20, 5, 1, 500_000, tzinfo=UTC)


def said(*happened: events.CallEvent) -> list[dict[str, Any]]:
    transcript = Transcript(STARTED, STARTED_ON, 999.98)
    text = b"".join(transcript.lines(event) for event in (STARTED, *happened))
    return [json.loads(line) for line in text.split(b"\n")[:-1]]


def test_a_call_is_written_as_the_documentation_shows() -> None:
    happened = (
        events.AgentConnected(CALL, 1_000.4, "conv_1", 400.2),
        events.ReplyStarted(CALL, 1_000.5),
        events.AgentSaid(CALL, 1_000.6, "Good evening, what can I do for you?", corrected=False),
        events.Interrupted(CALL, 1_001.5, 900),
        events.ReplyHeard(
            CALL, 1_001.52, 1, "Good evening, what can I do for you?", "Good evening,", 980, 1_880, True
        ),
        events.AgentSaid(CALL, 1_001.6, "Good evening,", corrected=True),
        events.CallerSaid(CALL, 1_002, "I'd like"),
        events.DigitPressed(CALL, 1_002.5, "7"),
        events.ToolCalled(CALL, 1_003, "avr_transfer", "t1"),
        events.ToolAnswered(CALL, 1_003.1, "avr_transfer", "t1", is_error=False),
        events.CallEnded(CALL, 1_005, CallEnd(EndReason.TRANSFERRED, "to sales"), 5_000, 1_000),
    )
    transcript = Transcript(STARTED, STARTED_ON, 999.98)
    text = b"".join(transcript.lines(event) for event in (STARTED, *happened)).decode()
    documentation = (Path(__file__).parents[2] / "docs" / "recording.md").read_text()
    assert f"```json\n{text}```" in documentation


def test_what_no_one_needs_to_read_is_left_out() -> None:
    assert said(events.ReplyFinished(CALL, 1_004, 1_000)) == []


def test_an_agent_that_never_came_has_no_conversation() -> None:
    first, last = said(
        events.CallEnded(CALL, 1_002, CallEnd(EndReason.AGENT_UNREACHABLE, "refused"), 2_000, 0)
    )
    assert (first["type"], first["conversation_id"]) == ("call", None)
    assert first["at"] == 0.02, "the time of the call's start, whenever it was written"
    assert (last["type"], last["reason"]) == ("end", "agent-unreachable")


def test_no_digit_is_written() -> None:
    lines = Transcript(STARTED, STARTED_ON, 999.98).lines(events.DigitPressed(CALL, 1_001, "#"))
    assert b"#" not in lines


@given(st.text(st.characters()))
def test_any_text_is_one_line_that_says_the_same(text: str) -> None:
    transcript = Transcript(STARTED, STARTED_ON, 999.98)
    transcript.lines(events.ReplyStarted(CALL, 1_000))
    line = transcript.lines(events.CallerSaid(CALL, 1_001, text))
    assert line.count(b"\n") == 1
    assert json.loads(line.decode())["text"] == text


def test_half_a_character_is_written_too() -> None:
    assert said(events.CallerSaid(CALL, 1_001, "a\ud83db"))[1]["text"] == "a\ud83db"


def test_people_can_read_it() -> None:
    transcript = Transcript(STARTED, STARTED_ON, 999.98)
    assert "Grüße, 東京".encode() in transcript.lines(events.CallerSaid(CALL, 1_001, "Grüße, 東京"))


def test_a_file_of_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "call.jsonl"
    file = TranscriptFile(path)
    assert path.stat().st_mode & 0o777 == 0o600
    file.write(b"one\n")
    assert path.read_bytes() == b"one\n", "as it happens"
    pwrite = os.pwrite

    def full(file: int, data: Any, at: int) -> int:
        if at >= 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(file, data[: 10 - at], at)

    monkeypatch.setattr(os, "pwrite", full)
    file.write(b"two\n")
    with pytest.raises(OSError, match="No space left"):
        file.write(b"three\n")
    file.close()
    assert path.read_bytes() == b"one\ntwo\n"
    with pytest.raises(FileExistsError):
        TranscriptFile(path)
