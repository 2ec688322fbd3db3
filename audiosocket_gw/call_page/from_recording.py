"""The model of a call from its recording in ``RECORD_DIR``: the WAV file, and the transcript beside it."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from audiosocket_gw import events
from audiosocket_gw.call_page.build import build_model, record_of
from audiosocket_gw.call_page.direction import DirectionBuilder
from audiosocket_gw.call_page.model import CallModel, Source
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import GatewayError
from audiosocket_gw.ledger.json_object import json_object
from audiosocket_gw.ledger.reducer import begin
from audiosocket_gw.log.text import SENTENCE_LIMIT, fit
from audiosocket_gw.recording.directory import started_on
from audiosocket_gw.recording.stereo import LEAD_IN_S

BLOCK_MS = 20
SECONDS_AT_ONCE = 60

MAX_LINE = 200_000
MAX_LINES = 100_000
"""Lines of a transcript that are read, and characters of each."""

UUID_LENGTH = 36


class RecordingError(GatewayError):
    """A file is not a recording of this gateway, or can't be read."""


def model_of_recording(path: Path) -> CallModel:
    """Return the model of a call; ``path`` is either of its two files, and the other one may be missing.

    Raises:
        RecordingError: neither can be read as a recording; the message doesn't name the file.
    """
    wav, transcript = path.with_suffix(".wav"), path.with_suffix(".jsonl")
    lines = list(_lines(transcript)) if transcript.exists() else []
    first = next((line for line in lines if line.get("type") == "call"), {})
    uuid, started_at = _identity(path, first)
    happened = [event for line in lines if (event := _event(line, uuid))]
    caller, agent = DirectionBuilder(is_timed=False), DirectionBuilder(is_timed=False)
    if wav.exists():
        _read_wav(wav, caller, agent)
    elif not lines:
        raise RecordingError("there is no such recording")
    started = events.CallStarted(uuid, 0.0, str(first.get("peer") or ""))
    return build_model(
        record_of(begin(started, started_at.timestamp()), happened),
        happened,
        source=Source.RECORDING,
        caller=caller.build() if wav.exists() else None,
        agent=agent.build() if wav.exists() else None,
    )


def _identity(path: Path, first: dict[str, Any]) -> tuple[UUID, datetime]:
    """Return the call's UUID and its start, from the files' name or from the transcript."""
    try:
        uuid = UUID(str(first.get("uuid") or path.stem[-UUID_LENGTH:]))
        named = started_on(path.stem)
        return uuid, named or datetime.fromisoformat(str(first.get("time") or "1970-01-01")).astimezone(UTC)
    except (ValueError, OverflowError):
        raise RecordingError(
            "it isn't named by its start and the UUID of its call, as the files in RECORD_DIR are, and has "
            "no transcript that says so"
        ) from None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a transcript; what isn't one is skipped: the last one may be incomplete."""
    try:
        with path.open("rb") as file:
            for _ in range(MAX_LINES):
                line = file.readline(MAX_LINE)
                if not line:
                    return
                content = json_object(line)
                if content is not None:
                    yield content
    except OSError as error:
        raise RecordingError(f"{path.name} can't be read: {error.strerror}") from None


def _event(line: dict[str, Any], uuid: UUID) -> events.CallEvent | None:
    """Return the event of a line, at seconds since the start of the call; None if it has none."""
    try:
        return _read_event(line, uuid, max(0.0, float(line["at"]) - LEAD_IN_S))
    except (KeyError, TypeError, ValueError, OverflowError):  # written by something else
        return None


def _read_event(line: dict[str, Any], uuid: UUID, at: float) -> events.CallEvent | None:
    if not at < 1e7:
        return None
    match line.get("type"):
        case "connected":
            return events.AgentConnected(uuid, at, str(line["conversation_id"]), float(line["setup_ms"]))
        case "said" if line.get("role") == "caller":
            return events.CallerSaid(uuid, at, str(line["text"]))
        case "said" | "corrected" as kind:
            return events.AgentSaid(uuid, at, str(line["text"]), corrected=kind == "corrected")
        case "speaks":
            return events.ReplyStarted(uuid, at)
        case "heard":
            return events.ReplyHeard(
                uuid,
                at,
                int(line["reply"]),
                str(line["text"]),
                str(line["heard"]),
                int(line["heard_ms"]),
                int(line["length_ms"]),
                bool(line["interrupted"]),
            )
        case "interrupted":
            return events.Interrupted(uuid, at, int(line["discarded_ms"]))
        case "key":
            return events.DigitPressed(uuid, at, "")
        case "tool-call":
            return events.ToolCalled(uuid, at, str(line["tool"]), str(line["tool_call_id"]))
        case "tool-result":
            return events.ToolAnswered(
                uuid, at, str(line["tool"]), str(line["tool_call_id"]), bool(line["is_error"])
            )
        case "end":
            end = CallEnd(EndReason(line["reason"]), fit(str(line["detail"]), SENTENCE_LIMIT))
            return events.CallEnded(uuid, at, end, int(line["duration_ms"]), int(line["heard_ms"]))
        case _:
            return None


def _read_wav(path: Path, caller: DirectionBuilder, agent: DirectionBuilder) -> None:
    """Read both channels, a minute at a time."""
    try:
        with path.open("rb") as stream, wave.open(stream, "rb") as file:
            if (file.getnchannels(), file.getsampwidth()) != (2, 2):
                raise RecordingError("its audio isn't stereo with 16 bits, as recordings in RECORD_DIR are")
            rate = file.getframerate()
            block = max(1, rate * BLOCK_MS // 1000)
            at = -LEAD_IN_S
            while data := file.readframes(block * (SECONDS_AT_ONCE * 1000 // BLOCK_MS)):
                both = np.frombuffer(data[: len(data) // 4 * 4], "<i2").reshape(-1, 2)
                for channel, direction in ((0, caller), (1, agent)):
                    samples = both[:, channel].tobytes()
                    pieces = [
                        samples[place : place + 2 * block] for place in range(0, len(samples), 2 * block)
                    ]
                    times = [at + number * block / rate for number in range(len(pieces))]
                    direction.add(times, pieces, rate)
                at += len(both) / rate
    except (OSError, EOFError, wave.Error) as error:
        raise RecordingError(f"{path.name} can't be read: {error}") from None
