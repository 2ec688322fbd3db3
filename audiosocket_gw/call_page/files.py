"""The page of a call from whatever file there is: a flight recording, a recording, or call records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from audiosocket_gw.call_page.audio import wav_of_flight, wav_of_recording
from audiosocket_gw.call_page.from_flight import model_of_flight
from audiosocket_gw.call_page.from_record import RecordError, model_of_record
from audiosocket_gw.call_page.from_recording import RecordingError, model_of_recording
from audiosocket_gw.call_page.page import render
from audiosocket_gw.errors import GatewayError
from audiosocket_gw.flight.capture import SUFFIX, UNFINISHED
from audiosocket_gw.flight.format import SIGNATURE, FlightError

MAX_LINE = 2**20
"""Bytes of a call record."""


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
        if kind == "flight":
            return render(model_of_flight(path), wav=_audio(wav_of_flight(path)) if with_audio else None)
        if kind == "recording":
            return render(
                model_of_recording(path), wav=_audio(wav_of_recording(path)) if with_audio else None
            )
        if with_audio:
            raise PageError("a call record has no audio: name a file of FLIGHT_DIR or RECORD_DIR")
        return page_of_record(_record_in(path, uuid))
    except (FlightError, RecordingError, RecordError) as error:
        raise PageError(str(error)) from None
    except OSError as error:
        raise PageError(f"it can't be read: {error.strerror}") from None


def page_of_record(shown: dict[str, Any]) -> bytes:
    """Return the page of a call from its record alone, as `ledger.shown` returns it.

    Raises:
        RecordError: it isn't a call record.
    """
    return render(model_of_record(shown))


def find_call(uuid: UUID, flight_dir: Path | None, record_dir: Path | None) -> Path | None:
    """Return the best file on a call: its flight recording, else its recording; None if there is neither.

    A UUID may have come twice; the later call counts.
    """
    for directory, suffixes in ((flight_dir, (SUFFIX, UNFINISHED)), (record_dir, (".wav", ".jsonl"))):
        for suffix in suffixes:
            if directory and (found := sorted(directory.glob(f"*-{uuid}{suffix}"))):
                return found[-1]
    return None


def _kind_of(path: Path) -> str:
    with path.open("rb") as file:
        begin = file.read(MAX_LINE)
    if SIGNATURE.startswith(begin[: len(SIGNATURE)]) or path.suffix in (SUFFIX, UNFINISHED):
        return "flight"
    if begin[:4] == b"RIFF":
        return "recording"
    first = _object(begin.split(b"\n", 1)[0])
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
            record = _object(line)
            if "uuid" in record:
                yield record


def _object(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line; an empty one if it isn't one: the last line may be incomplete."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _audio(wav: bytes | None) -> bytes:
    if wav is None:
        raise PageError("the call is too long to be played by a page, or its audio is missing")
    return wav
