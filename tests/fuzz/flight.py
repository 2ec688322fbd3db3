"""Flight recordings: the same records however a file is read; a damaged one is said to be damaged;
any has a call page."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator

from audiosocket_gw.audio import PCM_8000
from audiosocket_gw.call_page.from_flight import model_of_records
from audiosocket_gw.call_page.page import render
from audiosocket_gw.causes import WebSocketClosed
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.flight.call_trace import CallTrace
from audiosocket_gw.flight.format import (
    PREAMBLE,
    CallerFormat,
    Decoder,
    FlightError,
    Record,
    RecordKind,
    Start,
    encode_block,
)
from audiosocket_gw.flight.recorded_cause import cause_fields, read_cause
from audiosocket_gw.flight.summary import WIDTH, summarize
from tests.flight.records import AGENT_THERE, START, agent_says, ended, heard, spoken
from tests.fuzz.choices import Choices
from tests.fuzz.target import Target

MAX_PAGE = 2**20
"""Bytes of the call page of so few records."""

KINDS = (*RecordKind, 0, 9, 255)
KEYS = ("uuid", "started_at", "gateway", "peer", "event", "reason", "detail", "cause", "kind", "code")
TEXTS = (str(START.uuid), START.started_at.isoformat(), "CallEnded", *EndReason, "WebSocketClosed")


def decode(pieces: Iterable[bytes]) -> tuple[list[Record], int | str]:
    decoder = Decoder()
    records: list[Record] = []
    try:
        for piece in pieces:
            records.extend(decoder.receive(piece))
    except FlightError as error:
        return records, str(error)
    return records, decoder.pending


def block(records: bytes) -> bytes:
    compressed = zlib.compress(records, 1)
    return len(compressed).to_bytes(4, "big") + compressed


def record(choices: Choices) -> bytes:
    kind, at_us = choices.of(KINDS), choices.number(2**64)
    if choices.flag():
        payload = json.dumps(choices.json_object(KEYS, TEXTS)).encode(errors="surrogatepass")
    else:
        payload = choices.some(200)
    size = len(payload) + (choices.number(3) if choices.number(16) == 15 else 0)
    return bytes([kind]) + at_us.to_bytes(8, "big") + size.to_bytes(4, "big") + payload


def file(choices: Choices) -> bytes:
    """Return a file with a correct frame: compressed, any change of a byte would only damage it."""
    start = encode_block([START]) if choices.flag() else b""
    blocks = [
        block(b"".join(record(choices) for _ in choices.repeat(choices.number(6)))) for _ in choices.repeat(4)
    ]
    return PREAMBLE + start + b"".join(blocks) + choices.some(8)


def check(data: bytes) -> None:
    choices = Choices(data)
    how = Choices(choices.take(4))
    content = file(choices) if choices.flag() else choices.rest()
    whole = decode([content])
    assert decode(how.cut(content)) == whole
    records, left = whole
    if not records:
        return
    again, _ = decode([PREAMBLE + encode_block(records)])
    assert list(map(comparable, again)) == list(map(comparable, records))
    if isinstance(left, int) and isinstance(records[0], Start):
        for line in summarize(CallTrace(records[0], tuple(records), None)):
            assert line.isprintable()
            assert len(line) <= WIDTH + 1_000
        page = render(model_of_records(records))
        assert b"<script" not in page
        assert len(page) < MAX_PAGE


def comparable(one: Record) -> str:
    """Records whose JSON has NaN aren't equal to themselves."""
    return repr(one)


def check_cause(data: bytes) -> None:
    """A recorded cause is read as one that can be recorded, or as the detail."""
    choices = Choices(data)
    cause = read_cause(choices.json(CAUSE_KEYS, CAUSE_TEXTS), "detail")
    fields = cause_fields(cause)
    if fields is None:
        assert cause == "detail"
    else:
        assert repr(read_cause(json.loads(json.dumps(fields)), "")) == repr(cause)
    assert isinstance(str(cause), str)


CAUSE_KEYS = ("kind", *WebSocketClosed.__dataclass_fields__, "seconds", "peer", "why", "what", "setting")
CAUSE_TEXTS = ("WebSocketClosed", "Silent", "TimedOut", "ConnectionBroken", "TooFast", "NotReading", "")


def files() -> Iterator[bytes]:
    call = (*AGENT_THERE, *spoken(60), agent_says(30, bytes(4)), *heard(40), CallerFormat(1, PCM_8000))
    end = ended(80, EndReason.AGENT_HANGUP, WebSocketClosed(1000, "bye", ""))
    whole = PREAMBLE + encode_block([START, *call, end])
    yield bytes(4) + b"\0" + whole
    yield bytes(4) + b"\0" + whole[:-3]
    yield bytes(4) + b"\1\1\2\2" + b"\3" * 9 + b"\1" * 40
    for kind in range(len(KINDS)):
        yield bytes(4) + b"\1\1\1" + bytes([kind]) + bytes(8) + b"\0\4\x10\0\0\0" + bytes(8)


TARGETS = (
    Target("flight", check, files),
    Target("flight-cause", check_cause, lambda: (b"\x09\2\0\0\0\1\0\2", b"\x09\5\0\2\0\1"), max_bytes=200),
)
