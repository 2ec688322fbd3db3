"""The codec: golden bytes, and the same frames however TCP cuts the stream."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audiosocket_gw.errors import LocalProtocolError, RemoteProtocolError
from audiosocket_gw.protocol.audiosocket import (
    DTMF_DIGITS,
    HANGUP_FRAME,
    HEADER,
    MAX_PAYLOAD,
    SAMPLE_RATES,
    Audio,
    Decoder,
    Dtmf,
    Error,
    Frame,
    Hangup,
    Identity,
    Kind,
    Unknown,
    encode_audio,
    encode_dtmf,
    encode_identity,
)

CALL = UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
CALL_FRAME = bytes.fromhex("010010 40325ec25efd4bd3805f53576e581d13")

GOLDEN: list[tuple[str, Frame]] = [
    ("00 0000", Hangup()),
    ("03 0001 30", Dtmf("0")),
    ("03 0001 39", Dtmf("9")),
    ("03 0001 41", Dtmf("A")),
    ("03 0001 44", Dtmf("D")),
    ("03 0001 2a", Dtmf("*")),
    ("03 0001 23", Dtmf("#")),
    ("10 0002 0180", Audio(Kind.SLIN, b"\x01\x80")),
    ("10 0140" + 320 * "7f", Audio(Kind.SLIN, 320 * b"\x7f")),
    ("11 0002 0102", Audio(Kind.SLIN12, b"\x01\x02")),
    ("12 0280" + 640 * "00", Audio(Kind.SLIN16, bytes(640))),
    ("13 0002 0102", Audio(Kind.SLIN24, b"\x01\x02")),
    ("14 0002 0102", Audio(Kind.SLIN32, b"\x01\x02")),
    ("15 0002 0102", Audio(Kind.SLIN44, b"\x01\x02")),
    ("16 0002 0102", Audio(Kind.SLIN48, b"\x01\x02")),
    ("17 0002 0102", Audio(Kind.SLIN96, b"\x01\x02")),
    ("18 1e00" + 7680 * "55", Audio(Kind.SLIN192, 7680 * b"\x55")),
    ("ff 0000", Error(b"")),
    ("ff 0001 04", Error(b"\x04")),
    ("02 0000", Unknown(0x02, b"")),
    ("19 0002 0102", Unknown(0x19, b"\x01\x02")),
    ("fe 0003 616263", Unknown(0xFE, b"abc")),
]


def encode(frame: Frame) -> bytes:
    match frame:
        case Hangup():
            return HANGUP_FRAME
        case Identity(uuid):
            return encode_identity(uuid)
        case Dtmf(digit):
            return encode_dtmf(digit)
        case Audio(kind, payload):
            return encode_audio(kind, payload)
        case Error(payload):
            return HEADER.pack(Kind.ERROR, len(payload)) + payload
        case Unknown(number, payload):
            return HEADER.pack(number, len(payload)) + payload


@pytest.mark.parametrize(("wire", "frame"), GOLDEN, ids=lambda value: str(value)[:24])
def test_golden_bytes_both_ways(wire: str, frame: Frame) -> None:
    data = bytes.fromhex(wire)
    assert encode(frame) == data
    assert list(Decoder(identified=True).receive(data)) == [frame]
    assert list(Decoder().receive(CALL_FRAME + data)) == [Identity(CALL), frame]


def test_the_uuid_frame_is_golden() -> None:
    assert encode_identity(CALL) == CALL_FRAME
    assert list(Decoder().receive(CALL_FRAME)) == [Identity(CALL)]


def test_every_kind_of_asterisk_22_has_a_golden_frame() -> None:
    assert {bytes.fromhex(wire)[0] for wire, _ in GOLDEN} >= set(Kind) - {Kind.UUID}


# Any bytes, any cuts

payloads = st.binary(min_size=1, max_size=400)
unknown_kinds = st.integers(0, 255).filter(lambda kind: kind not in set(Kind))
frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Hangup),
    st.builds(Dtmf, st.sampled_from(sorted(DTMF_DIGITS))),
    st.builds(Audio, st.sampled_from(sorted(SAMPLE_RATES)), payloads),
    st.builds(Error, st.binary(max_size=8)),
    st.builds(Unknown, unknown_kinds, st.binary(max_size=40)),
)
headers = st.builds(HEADER.pack, st.sampled_from(sorted(Kind)) | st.integers(0, 255), st.integers(0, 40))
streams = st.lists(
    frames.map(encode) | headers | st.binary(max_size=30) | st.just(CALL_FRAME), max_size=12
).map(b"".join)


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Cut ``data`` the way TCP might."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=len(data))))
    return [data[start:stop] for start, stop in zip([0, *places], [*places, len(data)], strict=True)]


def decode(pieces: list[bytes], *, identified: bool = False) -> tuple[list[Frame], int | str]:
    """Return the frames, and the error or how many bytes are left over."""
    decoder = Decoder(identified=identified)
    seen: list[Frame] = []
    try:
        for piece in pieces:
            seen.extend(decoder.receive(piece))
    except RemoteProtocolError as error:
        return seen, str(error)
    return seen, decoder.pending


@given(st.data(), streams, st.booleans())
def test_cuts_change_neither_frames_nor_error(data: st.DataObject, stream: bytes, identified: bool) -> None:
    whole = decode([stream], identified=identified)
    assert decode(data.draw(cut(stream)), identified=identified) == whole
    assert decode([bytes([byte]) for byte in stream], identified=identified) == whole


@given(st.data(), st.uuids(), st.lists(frames, max_size=12))
def test_frames_survive_any_cut_and_encode_to_the_same_bytes(
    data: st.DataObject, uuid: UUID, sent: list[Frame]
) -> None:
    wire = b"".join(encode(frame) for frame in [Identity(uuid), *sent])
    received, left = decode(data.draw(cut(wire)))
    assert (received, left) == ([Identity(uuid), *sent], 0)
    assert b"".join(map(encode, received)) == wire


@given(st.data(), streams, st.integers(1, 3))
def test_frames_taken_a_few_at_a_time_are_the_same(data: st.DataObject, stream: bytes, most: int) -> None:
    decoder = Decoder(identified=True)
    seen: list[Frame] = []
    for piece in data.draw(cut(stream)):
        seen.extend(taken := list(decoder.receive(piece, most)))
        assert len(taken) <= most
        if data.draw(st.booleans()):
            continue  # the next piece comes before the rest was taken
        while decoder.is_behind:
            seen.extend(taken := list(decoder.receive(most=most)))
            assert 0 < len(taken) <= most
    while decoder.is_behind:
        seen.extend(decoder.receive(most=most))
    assert (seen, decoder.pending) == decode([stream], identified=True)


def test_frames_that_wait_are_not_copied_for_each_turn() -> None:
    decoder = Decoder(identified=True)
    count = len(list(decoder.receive(encode_audio(Kind.SLIN, b"ab") * 100_000, 8)))
    waiting = decoder._pending
    while decoder.is_behind:
        assert decoder._pending is waiting
        count += len(list(decoder.receive(most=8)))
    assert count == 100_000


def test_payloads_do_not_share_the_receive_buffer() -> None:
    buffer = bytearray(CALL_FRAME + encode_audio(Kind.SLIN, b"ab") + b"\x10\x00")
    decoder = Decoder()
    seen = list(decoder.receive(memoryview(buffer)))
    buffer[:] = bytes(len(buffer))
    assert seen == [Identity(CALL), Audio(Kind.SLIN, b"ab")]
    assert list(decoder.receive(b"\x01c")) == [Audio(Kind.SLIN, b"c")]


# What a peer may not do


@pytest.mark.parametrize(
    ("wire", "complaint"),
    [
        ("100140", "first frame has kind 0x10"),
        ("474554", "first frame has kind 0x47"),
        ("000000", "first frame has kind 0x00"),
        ("01000f", "15 bytes of payload, not 16"),
        ("010000", "0 bytes of payload, not 16"),
        ("01ffff", "65535 bytes of payload, not 16"),
    ],
)
def test_a_stream_that_begins_wrongly_is_refused_by_its_header(wire: str, complaint: str) -> None:
    with pytest.raises(RemoteProtocolError, match=complaint):
        list(Decoder().receive(bytes.fromhex(wire)))


# What a peer may do, once it has named the call: anything


@pytest.mark.parametrize(
    ("wire", "frame"),
    [
        *((f"030001 {ord(key):02x}", Dtmf(key.upper())) for key in "abcd"),
        *((f"030001 {ord(key):02x}", Unknown(Kind.DTMF, key.encode())) for key in "eEfFx! \0"),
        ("030001 b2", Unknown(Kind.DTMF, b"\xb2")),
        ("030001 df", Unknown(Kind.DTMF, b"\xdf")),  # in upper case it is two letters
        ("030000", Unknown(Kind.DTMF, b"")),
        ("030002 3132", Unknown(Kind.DTMF, b"12")),
        ("100000", Audio(Kind.SLIN, b"")),
        ("180000", Audio(Kind.SLIN192, b"")),
        ("100003 010203", Audio(Kind.SLIN, b"\1\2\3")),
        ("16 2580" + 9600 * "55", Audio(Kind.SLIN48, 9_600 * b"\x55")),  # 100 ms
        ("16 2d00" + 11520 * "55", Audio(Kind.SLIN48, 11_520 * b"\x55")),  # 120 ms
        ("18 ffff" + 65535 * "55", Audio(Kind.SLIN192, 65_535 * b"\x55")),
        (CALL_FRAME.hex(), Unknown(Kind.UUID, CALL.bytes)),
        ("010001 00", Unknown(Kind.UUID, b"\0")),
    ],
    ids=str,
)
def test_after_the_uuid_no_frame_is_an_error(wire: str, frame: Frame) -> None:
    whole = CALL_FRAME + bytes.fromhex(wire) + encode_dtmf("2")
    assert decode([whole]) == ([Identity(CALL), frame, Dtmf("2")], 0)


@given(st.data(), st.binary(max_size=2_000) | streams)
def test_after_the_uuid_no_bytes_are_an_error(data: st.DataObject, stream: bytes) -> None:
    decoder = Decoder()
    received: list[Frame] = []
    for piece in data.draw(cut(CALL_FRAME + stream)):
        received.extend(decoder.receive(piece))
    assert received[0] == Identity(CALL)
    assert (len(received) - 1, decoder.pending) == frames_in(stream)


def frames_in(stream: bytes) -> tuple[int, int]:
    """Return how many whole frames there are, and how many bytes are left, by the headers alone."""
    count = 0
    while len(stream) >= HEADER.size:
        _, length = HEADER.unpack_from(stream)
        if len(stream) < HEADER.size + length:
            break
        stream = stream[HEADER.size + length :]
        count += 1
    return count, len(stream)


@given(st.integers(1, 7), st.integers(0, 3))
def test_a_long_frame_in_tiny_pieces_is_kept_once(step: int, rest: int) -> None:
    wire = encode_audio(Kind.SLIN192, bytes(range(256)) * 255) + b"\x10\x00\x00"[:rest]
    decoder = Decoder(identified=True)
    received = [frame for at in range(0, len(wire), step) for frame in decoder.receive(wire[at : at + step])]
    assert received == [Audio(Kind.SLIN192, bytes(range(256)) * 255)] + [Audio(Kind.SLIN, b"")] * (rest == 3)
    assert decoder.pending == rest % 3


def test_many_pieces_cost_no_more_than_their_bytes() -> None:
    """An unfinished frame isn't copied for each piece: 65,535 pieces would be 2 GB."""
    wire = memoryview(encode_audio(Kind.SLIN, bytes(MAX_PAYLOAD)))
    decoder = Decoder(identified=True)
    kept = set()
    for at in range(len(wire) - 1):
        assert not list(decoder.receive(wire[at : at + 1]))
        kept.add(id(decoder._pending))
    assert len(kept) <= 10
    assert list(decoder.receive(wire[-1:])) == [Audio(Kind.SLIN, bytes(MAX_PAYLOAD))]


def test_pending_counts_the_unfinished_frame() -> None:
    decoder = Decoder(identified=True)
    assert list(decoder.receive(bytes.fromhex("030001 31 100140 00"))) == [Dtmf("1")]
    assert decoder.pending == 4


@pytest.mark.parametrize("size", [1, 319, 321, MAX_PAYLOAD])
def test_the_longest_payload_is_what_the_length_field_says(size: int) -> None:
    assert list(Decoder(identified=True).receive(encode_audio(Kind.SLIN, bytes(size)))) == [
        Audio(Kind.SLIN, bytes(size))
    ]


# What we cannot do


@given(st.integers(0, 255), st.sampled_from([0, 1, 2, 320, MAX_PAYLOAD, MAX_PAYLOAD + 1]))
@example(Kind.HANGUP, 320)
@example(Kind.SLIN, 0)
@example(Kind.SLIN, MAX_PAYLOAD + 1)
def test_no_encoded_audio_can_end_a_call(kind: int, size: int) -> None:
    """res_audiosocket.c hangs up on a kind it doesn't know and on empty audio."""
    try:
        wire = encode_audio(kind, bytes(size))  # type: ignore[arg-type]
    except LocalProtocolError:
        assert kind not in SAMPLE_RATES or not 0 < size <= MAX_PAYLOAD
    else:
        assert list(Decoder(identified=True).receive(wire)) == [Audio(Kind(kind), bytes(size))]


@given(st.text(st.characters(), max_size=2))
def test_only_keys_of_a_telephone_are_encoded(digit: str) -> None:
    if digit in DTMF_DIGITS:
        assert encode_dtmf(digit) == b"\x03\x00\x01" + digit.encode()
    else:
        with pytest.raises(LocalProtocolError):
            encode_dtmf(digit)
