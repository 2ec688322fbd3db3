"""AudioSocket: the same frames however the bytes are split; and nothing is lost, or kept for longer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from audiosocket_gw.errors import LocalProtocolError, RemoteProtocolError
from audiosocket_gw.protocol.audiosocket import (
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
)
from tests.fuzz.choices import Choices
from tests.fuzz.target import Target
from tests.protocol.test_audiosocket import CALL_FRAME, GOLDEN

Decoded = tuple[list[Frame], int | str]


def decode(pieces: Iterable[bytes], *, identified: bool, most: int = -1) -> Decoded:
    """Decode with ``most`` frames at a time; return the frames, and the error or the bytes that are left."""
    decoder = Decoder(identified=identified)
    frames: list[Frame] = []
    try:
        for piece in pieces:
            frames.extend(decoder.receive(piece, most))
            while decoder.is_behind:
                taken = list(decoder.receive(b"", most))
                assert 0 < len(taken) <= most
                frames.extend(taken)
            assert decoder.pending < HEADER.size + MAX_PAYLOAD
    except RemoteProtocolError as error:
        return frames, str(error)
    return frames, decoder.pending


def wire_size(frame: Frame) -> int:
    match frame:
        case Hangup():
            return 0  # its payload, which has no meaning, is dropped
        case Identity():
            return len(CALL_FRAME)
        case Dtmf():
            return HEADER.size + 1
        case Audio() | Error() | Unknown():
            return HEADER.size + len(frame.payload)


def check(data: bytes) -> None:
    choices = Choices(data)
    identified = choices.flag()
    how = Choices(choices.take(8))
    stream = choices.rest()
    whole = decode([stream], identified=identified)
    assert decode(how.cut(stream), identified=identified) == whole
    assert decode([stream], identified=identified, most=1) == whole
    assert decode(how.cut(stream), identified=identified, most=2 + how.number(8)) == whole
    frames, left = whole
    if isinstance(left, int) and Hangup() not in frames:
        assert sum(map(wire_size, frames)) + left == len(stream)
    assert sum(isinstance(frame, Identity) for frame in frames) == (not identified and bool(frames))


def check_encoder(data: bytes) -> None:
    """What may be sent to Asterisk, and nothing else, can be encoded: docs/protocol.md."""
    choices = Choices(data)
    kind, size = choices.number(256), choices.of((choices.number(700), choices.number(70_000)))
    payload = (choices.rest() * size)[:size] or bytes(size)
    may_be_sent = kind in SAMPLE_RATES and 0 < size <= MAX_PAYLOAD
    try:
        wire = encode_audio(kind, payload)  # type: ignore[arg-type]
    except LocalProtocolError:
        assert not may_be_sent
    else:
        assert may_be_sent
        assert HEADER.unpack_from(wire) == (kind, size)
        assert list(Decoder(identified=True).receive(wire)) == [Audio(Kind(kind), payload)]


def streams() -> Iterator[bytes]:
    frames = [bytes.fromhex(wire) for wire, _ in GOLDEN]
    short = [frame for frame in frames if len(frame) < 400]
    yield b"\1" + bytes(8) + b"".join(short)
    yield b"\0" + b"\3" * 8 + CALL_FRAME + b"".join(short)
    yield b"\0" + bytes(8) + CALL_FRAME + b"".join(map(encode_dtmf, "0*#D")) + HANGUP_FRAME
    yield b"\0" + bytes(8) + b"GET / HTTP/1.1\r\n\r\n"


def payloads() -> Iterator[bytes]:
    for kind in (*SAMPLE_RATES, Kind.HANGUP, Kind.ERROR):
        yield bytes([kind]) + (320).to_bytes(2, "little") + bytes(3) + b"\0\x80\xff"


TARGETS = (
    Target("audiosocket", check, streams, tuple(bytes([kind]) for kind in Kind), max_bytes=1_500),
    Target("audiosocket-encoder", check_encoder, payloads, max_bytes=64),
)
