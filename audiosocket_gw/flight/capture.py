"""The file of one call while it is written, by the writer's thread only.

It masks the notes of the event loop, and writes them as records.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from audiosocket_gw import __version__
from audiosocket_gw.end_reasons import CallEnd
from audiosocket_gw.events import CallEnded, CallEvent, CallStarted
from audiosocket_gw.flight.agent_message import take_message
from audiosocket_gw.flight.format import (
    PREAMBLE,
    CallerFormat,
    CallerFrame,
    Event,
    GatewayMessage,
    HeardFrame,
    Record,
    RecordKind,
    Start,
    encode_block,
)
from audiosocket_gw.flight.recorded_cause import cause_fields
from audiosocket_gw.protocol.audiosocket import HEADER, Kind
from audiosocket_gw.recording.directory import call_name
from audiosocket_gw.recording.failures import Failures
from audiosocket_gw.redaction import mask_json, mask_own_text

logger = logging.getLogger("audiosocket_gw.flight")

SUFFIX = ".flight"

UNFINISHED = ".flight-part"
"""A call that is active, or was when the process died; it can be replayed as any other."""

Note = tuple[RecordKind, float, Any]
"""A note: its kind, the loop time, and the object that the tap received."""


class FlightFile:
    """The file of one call, opened by the first `write`. A disk error ends the recording, with one warning.

    What has been written by then is complete up to its last block, and is kept.
    """

    def __init__(
        self,
        directory: Path,
        started: CallStarted,
        started_at: datetime,
        prepare: Callable[[], None],
        failures: Failures,
    ) -> None:
        """``started_at``: the wall-clock time of ``started.at``; ``prepare`` is called before the file is
        created; ``failures`` counts a recording that stops.
        """
        self.name = call_name(started.uuid, started_at)
        self._directory = directory
        self._prepare = prepare
        self._failures = failures
        self._started = started
        self._started_at = started_at
        self._file: IO[bytes] | None = None
        self._failed = False
        self._holds_blocks = False

    def write(self, notes: Sequence[Note]) -> None:
        """Write a block."""
        if self._failed:
            return
        try:
            self._write([self._record(note) for note in notes])
        except OSError as error:
            logger.warning(
                "call %s: its flight recording stopped, the call continues: %s. "
                "Check the disk of FLIGHT_DIR=%s",
                self._started.uuid,
                error.strerror,
                self._directory,
            )
            self._fail()
        except Exception:  # a defect of the recorder ends the recording
            logger.exception("call %s: its flight recording stopped", self._started.uuid)
            self._fail()

    def _fail(self) -> None:
        self._failed = True
        self._failures.add()

    def _write(self, records: list[Record]) -> None:
        if self._file is None:
            self._prepare()
            self._file = self._open()
            _write_whole(self._file, PREAMBLE)
            records.insert(0, Start(self._started.uuid, self._started_at, __version__, self._started.peer))
        _write_whole(self._file, encode_block(records))
        self._holds_blocks = True

    def finish(self, *, keep: bool) -> None:
        """Close the file and rename it, or remove it; an empty file is removed."""
        if self._file is None:
            return
        path = self._directory / f"{self.name}{UNFINISHED}"
        file, self._file = self._file, None
        try:
            file.close()
            if keep and self._holds_blocks:
                path.rename(path.with_name(f"{self.name}{SUFFIX}"))
            else:
                path.unlink()
        except OSError as error:
            logger.warning(
                "call %s: its flight recording can't be renamed or removed: %s: %s",
                self._started.uuid,
                path,
                error.strerror,
            )

    def _open(self) -> IO[bytes]:
        path = self._directory / f"{self.name}{UNFINISHED}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        # Unbuffered: what has been written survives the death of the process.
        return open(descriptor, "wb", buffering=0)  # noqa: PTH123 (a descriptor; closed in finish)

    def _record(self, note: Note) -> Record:
        kind, at, noted = note
        at_us = max(0, round((at - self._started.at) * 1_000_000))
        match kind:
            case RecordKind.HEARD_FRAME:
                return HeardFrame(at_us, Kind(noted[0]), noted[HEADER.size :])
            case RecordKind.CALLER_FRAME:
                return CallerFrame(at_us, noted.kind, noted.payload)
            case RecordKind.AGENT_MESSAGE:
                return take_message(at_us, noted)
            case RecordKind.GATEWAY_MESSAGE:
                return GatewayMessage(at_us, take_message(at_us, noted).text)
            case RecordKind.CALLER_FORMAT:
                return CallerFormat(at_us, noted)
            case _:
                return event_record(at_us, noted)


def _write_whole(file: IO[bytes], data: bytes) -> None:
    """Write everything. A disk that is nearly full accepts a part, and fails on the rest."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


OF_SERVERS = frozenset({"peer", "pbx", "detail", "cause"})
"""Fields of events that name servers: their addresses stay."""


def event_record(at_us: int, event: CallEvent) -> Event:
    """Record an event, masked."""
    content = {
        field.name: getattr(event, field.name) for field in fields(event) if field.name not in ("uuid", "at")
    }
    if isinstance(event, CallEnded):
        end: CallEnd = content.pop("end")
        content |= {"reason": end.reason, "detail": end.detail, "cause": cause_fields(end.cause)}
    of_servers = {name: _mask_own(content.pop(name)) for name in OF_SERVERS & content.keys()}
    return Event(at_us, type(event).__name__, mask_json(content) | of_servers)


def _mask_own(value: Any) -> Any:
    match value:
        case str():
            return mask_own_text(value)
        case dict():
            return {key: _mask_own(member) for key, member in value.items()}
        case _:
            return value
