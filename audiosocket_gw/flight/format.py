"""The file format of the flight recorder: records to blocks of bytes, and back. Pure.

A file is a signature, the version of the format (1 byte), and blocks. A block is its length (4 bytes) and a
zlib stream of whole records. It is independent of other blocks, and protected by zlib's checksum: if the
writer is killed, the file is complete up to its last block. A record is its kind (1 byte), the time in
microseconds since the call's start (8 bytes), the length of its payload (4 bytes) and the payload. All
numbers are big-endian. `docs/flight-recorder.md` describes the payloads.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any
from uuid import UUID

from audiosocket_gw.audio import AudioFormat
from audiosocket_gw.errors import GatewayError
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Kind

SIGNATURE = b"\x93FLIGHT\r\n"
"""Differs from text and from other formats; a transfer in text mode damages it detectably."""

VERSION = 1

PREAMBLE = SIGNATURE + bytes([VERSION])
"""The start of a file."""

MAX_BLOCK = 64 * 2**20
"""Largest block in bytes, compressed or not. The largest message of an agent is 16 MiB; the recorder ends
blocks earlier."""

MAX_FLIGHT = 2**30
"""Approximate memory limit of a recording, in bytes: at least that of a call of two hours."""

RECORD_OVERHEAD = 250
"""Memory of a record without its payload, in bytes."""

JSON_GROWTH = 24
"""Memory that one byte of JSON can need, in bytes: ``[{},{},...]``."""

_LENGTH = struct.Struct("!I")
_RECORD = struct.Struct("!BQI")
_JSON = json.JSONEncoder(separators=(",", ":"), default=str)


class FlightError(GatewayError):
    """A file is not a flight recording, is damaged, or is of a later version."""


class RecordKind(IntEnum):
    START = 1
    CALLER_FORMAT = 2
    CALLER_FRAME = 3
    HEARD_FRAME = 4
    AGENT_MESSAGE = 5
    AGENT_AUDIO = 6
    GATEWAY_MESSAGE = 7
    EVENT = 8


@dataclass(frozen=True, slots=True)
class Start:
    """The first record: the call, the wall-clock time of microsecond 0, and the recording gateway."""

    uuid: UUID
    started_at: datetime
    gateway: str
    """The version of the gateway."""
    peer: str
    at_us: int = 0


@dataclass(frozen=True, slots=True)
class CallerFormat:
    """The format of the caller's side, both ways, from now on; ``pcm_8000`` before the first such record."""

    at_us: int
    format: AudioFormat


@dataclass(frozen=True, slots=True)
class CallerFrame:
    """A frame of the caller's audio, as it arrived from Asterisk."""

    at_us: int
    kind: Kind
    audio: bytes


@dataclass(frozen=True, slots=True)
class HeardFrame:
    """A frame of 20 ms that was sent to the caller."""

    at_us: int
    kind: Kind
    audio: bytes


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """A message from the agent. ``audio`` was in it as base64, and is the empty string in ``text``."""

    at_us: int
    text: bytes
    audio: bytes | None = None


@dataclass(frozen=True, slots=True)
class GatewayMessage:
    """A message to the agent, except audio, which is in the caller's frames."""

    at_us: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """A `CallEvent`: the name of its class, and its fields except the call and the time."""

    at_us: int
    name: str
    fields: Mapping[str, Any]


Record = Start | CallerFormat | CallerFrame | HeardFrame | AgentMessage | GatewayMessage | Event


# Writing


def encode_block(records: Iterable[Record]) -> bytes:
    """Build one block; the first of a file begins with `Start` and comes after `PREAMBLE`."""
    # Audio repeats nothing but silence, so a search for other matches only costs time.
    compressor = zlib.compressobj(level=6, strategy=zlib.Z_RLE)
    compressed = compressor.compress(b"".join(map(_encode, records))) + compressor.flush()
    return _LENGTH.pack(len(compressed)) + compressed


def _encode(record: Record) -> bytes:
    kind, payload = _payload(record)
    return _RECORD.pack(kind, record.at_us, len(payload)) + payload


def _payload(record: Record) -> tuple[RecordKind, bytes]:
    match record:
        case HeardFrame():
            return RecordKind.HEARD_FRAME, bytes((record.kind,)) + record.audio
        case CallerFrame():
            return RecordKind.CALLER_FRAME, bytes((record.kind,)) + record.audio
        case AgentMessage(_, text, audio) if audio is not None:
            return RecordKind.AGENT_AUDIO, _LENGTH.pack(len(text)) + text + audio
        case AgentMessage(_, text):
            return RecordKind.AGENT_MESSAGE, text
        case GatewayMessage():
            return RecordKind.GATEWAY_MESSAGE, record.text
        case CallerFormat():
            return RecordKind.CALLER_FORMAT, str(record.format).encode()
        case Event():
            return RecordKind.EVENT, _JSON.encode({"event": record.name, **record.fields}).encode()
        case Start():
            return RecordKind.START, _JSON.encode(_start_fields(record)).encode()


def _start_fields(start: Start) -> dict[str, str]:
    return {
        "uuid": str(start.uuid),
        "started_at": start.started_at.isoformat(),
        "gateway": start.gateway,
        "peer": start.peer,
    }


# Reading


class Decoder:
    """Split the bytes of a file into records.

    Pass every chunk to `receive`, in order. `pending` is the size of an unfinished block. If it isn't 0 at
    the end of the file, the file is incomplete.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0
        self._weight = 0
        self._begun = False

    @property
    def pending(self) -> int:
        return len(self._buffer)

    def receive(self, data: bytes) -> Iterator[Record]:
        """Yield the records that ``data`` completes; iterate to the end before the next call.

        Raises:
            FlightError: this is not a flight recording, or it is damaged, too large or of a later version.
        """
        self._buffer += data
        if not self._begun and not self._begin():
            return
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > MAX_BLOCK:
                raise self._damaged("a block of more than 64 MiB")
            stop = start + _LENGTH.size + length
            if stop > len(self._buffer):
                break
            yield from self._records(self._buffer[start + _LENGTH.size : stop])
            self._position += stop - start
            start = stop
        self._buffer = self._buffer[start:]  # once: a file may have any number of small blocks

    def _begin(self) -> bool:
        found = self._buffer[: len(SIGNATURE)]
        if not SIGNATURE.startswith(found):
            raise FlightError("it is not a flight recording: it doesn't begin with the signature of one")
        if len(self._buffer) < len(PREAMBLE):
            return False
        version = self._buffer[len(SIGNATURE)]
        if version != VERSION:
            raise FlightError(f"it is of version {version} of the format; this gateway reads {VERSION}")
        self._buffer = self._buffer[len(PREAMBLE) :]
        self._position = len(PREAMBLE)
        self._begun = True
        return True

    def _damaged(self, what: str) -> FlightError:
        return FlightError(f"it is damaged at byte {self._position}: {what}")

    def _records(self, compressed: bytes) -> Iterator[Record]:
        block = self._decompress(compressed)
        start = 0
        while start < len(block):
            if len(block) - start < _RECORD.size:
                raise self._damaged("a block ends within a record")
            kind, at_us, size = _RECORD.unpack_from(block, start)
            start += _RECORD.size
            if size > len(block) - start:
                raise self._damaged("a record is longer than its block")
            self._weigh(kind, size)
            yield self._decode(kind, at_us, block[start : start + size])
            start += size

    def _weigh(self, kind: int, size: int) -> None:
        """Reject what would fill the memory: a small file can contain any number of blocks that expand."""
        self._weight += RECORD_OVERHEAD + (size * JSON_GROWTH if kind in _PARSED else size)
        if self._weight > MAX_FLIGHT:
            raise FlightError(
                "it takes more than 1 GiB of memory: the call took many hours, or the file is malicious"
            )

    def _decompress(self, compressed: bytes) -> bytes:
        decompressor = zlib.decompressobj()
        try:
            block = decompressor.decompress(compressed, MAX_BLOCK)
        except zlib.error as error:
            raise self._damaged(str(error)) from None
        if not decompressor.eof or decompressor.unused_data:
            raise self._damaged("a block is not one whole zlib stream of at most 64 MiB")
        return block

    def _decode(self, kind: int, at_us: int, payload: bytes) -> Record:
        reader = _READERS.get(kind)
        if reader is None:
            raise self._damaged(f"a record of unknown kind {kind}")
        try:
            return reader(at_us, payload)
        # A damaged record may hold any JSON.
        except (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
            raise self._damaged(f"a record of kind {RecordKind(kind).name} is not valid: {error}") from None


def _start(at_us: int, payload: bytes) -> Record:
    fields = json.loads(payload)
    return Start(
        UUID(fields["uuid"]),
        datetime.fromisoformat(fields["started_at"]),
        str(fields["gateway"]),
        str(fields["peer"]),
        at_us,
    )


def _caller_format(at_us: int, payload: bytes) -> Record:
    return CallerFormat(at_us, AudioFormat.parse(payload.decode()))


def _frame_kind(payload: bytes) -> Kind:
    if len(payload) < 2 or payload[0] not in SAMPLE_RATES:
        raise ValueError("not a frame of audio")
    return Kind(payload[0])


def _caller_frame(at_us: int, payload: bytes) -> Record:
    return CallerFrame(at_us, _frame_kind(payload), payload[1:])


def _heard_frame(at_us: int, payload: bytes) -> Record:
    return HeardFrame(at_us, _frame_kind(payload), payload[1:])


def _agent_audio(at_us: int, payload: bytes) -> Record:
    (length,) = _LENGTH.unpack_from(payload)
    if length > len(payload) - _LENGTH.size:
        raise ValueError("its text is longer than it is itself")
    stop = _LENGTH.size + length
    return AgentMessage(at_us, payload[_LENGTH.size : stop], payload[stop:])


def _event(at_us: int, payload: bytes) -> Record:
    fields = json.loads(payload)
    return Event(at_us, str(fields.pop("event")), fields)


_READERS: dict[int, Callable[[int, bytes], Record]] = {
    RecordKind.START: _start,
    RecordKind.CALLER_FORMAT: _caller_format,
    RecordKind.CALLER_FRAME: _caller_frame,
    RecordKind.HEARD_FRAME: _heard_frame,
    RecordKind.AGENT_MESSAGE: AgentMessage,
    RecordKind.AGENT_AUDIO: _agent_audio,
    RecordKind.GATEWAY_MESSAGE: GatewayMessage,
    RecordKind.EVENT: _event,
}

_PARSED = (RecordKind.START, RecordKind.EVENT)
"""Records whose JSON is parsed at once."""
