"""The format: what goes in comes out, whole or cut off anywhere, and nothing else is taken for it."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.flight import format as flight_format
from audiosocket_gw.flight.call_trace import load_trace
from audiosocket_gw.flight.format import (
    PREAMBLE,
    SIGNATURE,
    VERSION,
    Decoder,
    Event,
    FlightError,
    GatewayMessage,
    HeardFrame,
    Record,
    encode_block,
)
from audiosocket_gw.flight.summary import how_it_ended
from audiosocket_gw.protocol.audiosocket import Kind
from tests.flight.records import AGENT_THERE, START, ended, records, spoken, write

blocks = st.lists(st.lists(records, max_size=8), max_size=5)


def file_of(content: list[list[Record]]) -> bytes:
    return PREAMBLE + b"".join(encode_block(block) for block in content)


def read(data: bytes) -> list[Record]:
    return list(Decoder().receive(data))


@given(blocks)
def test_what_was_written_is_read(content: list[list[Record]]) -> None:
    decoder = Decoder()
    assert list(decoder.receive(file_of(content))) == [record for block in content for record in block]
    assert decoder.pending == 0


@given(blocks, st.data())
def test_a_file_that_breaks_off_anywhere_is_whole_up_to_its_last_block(
    content: list[list[Record]], data: st.DataObject
) -> None:
    whole = file_of(content)
    cut = data.draw(st.integers(0, len(whole)))
    expected: list[Record] = []
    end = len(PREAMBLE)
    for block in content:
        end += len(encode_block(block))
        expected += block if end <= cut else []
    assert read(whole[:cut]) == expected


@given(blocks, st.data())
def test_the_pieces_in_which_it_is_read_make_no_difference(
    content: list[list[Record]], data: st.DataObject
) -> None:
    whole = file_of(content)
    decoder = Decoder()
    found: list[Record] = []
    start = 0
    while start < len(whole):
        stop = start + data.draw(st.integers(1, len(whole)))
        found += decoder.receive(whole[start:stop])
        start = stop
    assert found == read(whole)


@given(blocks, st.data())
def test_a_byte_that_changed_is_noticed_or_cuts_the_file_off(
    content: list[list[Record]], data: st.DataObject
) -> None:
    whole = bytearray(file_of(content))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    decoder = Decoder()
    try:
        found = list(decoder.receive(bytes(whole)))
    except FlightError:
        return
    # A length that changed makes a block longer than the file; the checksum guards everything else, but the
    # unused bits in the last byte of a deflate stream (RFC 1951, 3.2.3), which change nothing.
    written = [record for block in content for record in block]
    assert decoder.pending > 0 or found == written
    assert found == written[: len(found)]


@given(st.binary())
def test_anything_else_is_refused_or_waits_for_more(data: bytes) -> None:
    if not SIGNATURE.startswith(data[: len(SIGNATURE)]):
        with pytest.raises(FlightError, match="not a flight recording"):
            read(data)
    elif len(data) < len(PREAMBLE):
        assert read(data) == []


@given(st.binary(max_size=60))
def test_a_block_of_anything_is_damaged_or_holds_records(payload: bytes) -> None:
    compressed = zlib.compress(payload)
    try:
        read(PREAMBLE + len(compressed).to_bytes(4, "big") + compressed)
    except FlightError as error:
        assert "damaged at byte 10" in str(error)


def test_many_small_blocks_are_moved_once() -> None:
    """Moved for each block, a mebibyte of the smallest ones would be 45 GB."""
    decoder = Decoder()
    blocks = encode_block([GatewayMessage(0, b"{}")]) * 100
    buffers = {id(decoder._buffer) for _ in decoder.receive(PREAMBLE + blocks)}
    assert len(buffers) == 1
    assert decoder.pending == 0


def test_a_later_version_is_refused_by_name() -> None:
    with pytest.raises(FlightError, match=rf"version {VERSION + 1} .* reads {VERSION}"):
        read(SIGNATURE + bytes([VERSION + 1]))


def test_a_block_that_swells_beyond_all_bounds_is_refused() -> None:
    bomb = zlib.compress(bytes(65 * 2**20))
    with pytest.raises(FlightError, match="at most 64 MiB"):
        read(PREAMBLE + len(bomb).to_bytes(4, "big") + bomb)


@pytest.mark.parametrize(
    "record",
    [
        HeardFrame(1, Kind.SLIN, b"\0"),
        HeardFrame(1, Kind.SLIN, bytes(60_000)),
        Event(1, "X", {"x": [[]] * 99}),
    ],
)
def test_a_file_that_swells_block_by_block_is_refused(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flight_format, "MAX_FLIGHT", 2**20)
    path = tmp_path / "a.flight"
    content: list[list[Record]] = [[START], *[[record] * 20] * 250]
    path.write_bytes(file_of(content))
    with pytest.raises(FlightError, match="more than 1 GiB of memory"):
        load_trace(path)


# The file as a call


def test_a_call_is_read(tmp_path: Path) -> None:
    end = ended(500, EndReason.AGENT_LOST, "the connection to the agent broke")
    found = load_trace(write(tmp_path / "a.flight", [*AGENT_THERE, *spoken(500), end]))
    assert found.start == START
    assert found.end == CallEnd(EndReason.AGENT_LOST, "the connection to the agent broke")
    assert found.duration_us == 500_000
    assert found.said == list(spoken(500))
    assert found.had_agent


def test_a_call_that_breaks_off_has_no_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flight", spoken(500))
    path.write_bytes(path.read_bytes() + b"\0\0")
    found = load_trace(path)
    assert found.end is None
    assert (found.duration_us, found.had_agent) == (480_000, False)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "breaks off before its first record"),
        (PREAMBLE, "breaks off before its first record"),
        (PREAMBLE + encode_block([START])[:-1], "breaks off before its first record"),
        (PREAMBLE + encode_block([GatewayMessage(0, b"")]), "doesn.t begin with the start"),
        (b"RIFF....WAVEfmt ", "not a flight recording"),
    ],
)
def test_a_file_without_a_call_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "a.flight"
    path.write_bytes(content)
    with pytest.raises(FlightError, match=complaint):
        load_trace(path)


def test_an_end_of_a_later_gateway_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.flight"
    path.write_bytes(PREAMBLE + encode_block([START, Event(1, "CallEnded", {"reason": "eaten"})]))
    with pytest.raises(FlightError, match="'eaten'"):
        load_trace(path)


@pytest.mark.parametrize("detail", [{}, {"detail": None}])
def test_an_end_without_a_detail_has_none(tmp_path: Path, detail: dict[str, None]) -> None:
    path = tmp_path / "a.flight"
    path.write_bytes(
        PREAMBLE + encode_block([START, Event(1, "CallEnded", {"reason": "agent-lost", **detail})])
    )
    found = load_trace(path)
    assert found.end == CallEnd(EndReason.AGENT_LOST, "")
    assert how_it_ended(found) == "Ended after 0.0 s: agent-lost"


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlightError, match="No such file"):
        load_trace(tmp_path / "a.flight")
