"""The page of a call from whatever file there is: a flight recording, a recording, or call records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from audiosocket_gw.call_page.audio import wav_of_flight, wav_of_recording
from audiosocket_gw.call_page.from_flight import model_of_flight
from audiosocket_gw.call_page.from_record import RecordError, model_of_record
from audiosocket_gw.call_page.from_recording import RecordingError, model_of_recording
from audiosocket_gw.call_page.model import CallModel
from audiosocket_gw.call_page.page import render
from audiosocket_gw.errors import GatewayError
from audiosocket_gw.flight.capture import SUFFIX, UNFINISHED
from audiosocket_gw.flight.format import SIGNATURE, FlightError
from audiosocket_gw.ledger.json_object import json_object
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.recording.directory import started_on

MAX_LINE = 2**20
"""Bytes of a call record."""

WITHOUT_WORDS = "What was said is left out: HTTP_TRANSCRIPTS shows it."

SAME_CALL_S = 5.0
"""A record and a file of one call agree on its start, within this time."""


class PageError(GatewayError):
    """There is no page of this file; the message says why, and doesn't name the file."""


def page_of_file(path: Path, uuid: UUID | None = None, *, with_audio: bool = False) -> bytes:
    """Return the page of a call.

    ``path``: a flight recording; a recording in ``RECORD_DIR``, either of its files; or a file of call
    records such as ``CALL_LOG``, of which ``uuid`` chooses one, else the last. ``with_audio``: it plays the
    voices.

    Raises:
        PageError: the file can't be read, is none of these, or has no such call.
    """
    try:
        kind = _kind_of(path)
        wav = _audio_of(path, kind) if with_audio else None
        return render(_model_of(path, kind, uuid), wav=wav)
    except (FlightError, RecordingError, RecordError) as error:
        raise PageError(str(error)) from None
    except OSError as error:
        raise PageError(f"it can't be read: {error.strerror}") from None


def page_of_call(path: Path | None, record: Mapping[str, Any] | None, *, with_words: bool) -> bytes:
    """Return the page of a call from its file and its record; either may be None.

    ``record``: as `ledger.shown` returns it. The caller is shown as the record has it, since a flight
    recording has it masked. Without ``with_words`` what was said isn't shown.

    Raises:
        PageError: there is neither, or they can't be read.
    """
    try:
        known = model_of_record(record) if record is not None else None
        model = known
        if path is not None:
            try:
                model = _model_of(path, _kind_of(path), None)
            except (FlightError, RecordingError, OSError):  # it was removed, or is damaged
                if known is None:
                    raise
    except (FlightError, RecordingError, RecordError) as error:
        raise PageError(str(error)) from None
    except OSError as error:
        raise PageError(f"its file can't be read: {error.strerror}") from None
    if model is None:
        raise PageError("there is nothing known of the call")
    if known is not None and model is not known:
        model = replace(model, record=_with_caller(model.record, known.record))
    return render(model) if with_words else render(replace(model, words=()), note=WITHOUT_WORDS)


def find_call(
    uuid: UUID, flight_dir: Path | None, record_dir: Path | None, record: Mapping[str, Any] | None = None
) -> Path | None:
    """Return the best file on a call: its flight recording, else its recording; None if there is neither.

    A UUID may have come twice: with a ``record`` the file is that of a call that began at the same time,
    without one that of the last.
    """
    for directory, suffixes in ((flight_dir, (SUFFIX, UNFINISHED)), (record_dir, (".wav", ".jsonl"))):
        for suffix in suffixes:
            found = sorted(directory.glob(f"*-{uuid}{suffix}")) if directory else []
            if matching := [path for path in found if record is None or _began_at(path, record)]:
                return matching[-1]
    return None


def _began_at(path: Path, record: Mapping[str, Any]) -> bool:
    began = started_on(path.stem)
    if began is None:
        return False
    try:
        recorded = datetime.fromisoformat(record["started_at"])
        return abs((began - recorded).total_seconds()) < SAME_CALL_S
    except (KeyError, TypeError, ValueError):
        return False


def _model_of(path: Path, kind: str, uuid: UUID | None) -> CallModel:
    if kind == "flight":
        return model_of_flight(path)
    if kind == "recording":
        return model_of_recording(path)
    return model_of_record(_record_in(path, uuid))


def _with_caller(record: CallRecord, known: CallRecord) -> CallRecord:
    return replace(
        record,
        caller_number=known.caller_number,
        caller_name=known.caller_name,
        dialled_number=known.dialled_number,
        channel=known.channel,
        pbx=known.pbx or record.pbx,
        agent=record.agent or known.agent,
    )


def _kind_of(path: Path) -> str:
    with path.open("rb") as file:
        begin = file.read(MAX_LINE)
    if SIGNATURE.startswith(begin[: len(SIGNATURE)]) or path.suffix in (SUFFIX, UNFINISHED):
        return "flight"
    if begin[:4] == b"RIFF":
        return "recording"
    first = json_object(begin.split(b"\n", 1)[0]) or {}
    if "role" in first:
        return "recording"
    if "uuid" in first:
        return "records"
    raise PageError("it is neither a flight recording, nor a recording, nor call records in JSON, one a line")


def _record_in(path: Path, uuid: UUID | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for record in _records(path):
        if uuid is None or record["uuid"] == str(uuid):
            found = record
    if not found:
        raise PageError(f"it has no record of the call {uuid}" if uuid else "it has no call record")
    return found


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE):
            record = json_object(line)
            if record is not None and "uuid" in record:
                yield record


def _audio_of(path: Path, kind: str) -> bytes:
    if kind == "records":
        raise PageError("a call record has no audio: name a file of FLIGHT_DIR or RECORD_DIR")
    wav = wav_of_flight(path) if kind == "flight" else wav_of_recording(path)
    if wav is None:
        raise PageError("the call is too long to be played by a page, or its audio is missing")
    return wav
