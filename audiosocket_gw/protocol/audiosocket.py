"""The AudioSocket wire protocol, sans-I/O: bytes in, frames out.

A frame is a kind (1 byte), the length of the payload (2 bytes, big-endian) and the payload. Asterisk
opens the TCP connection and sends the UUID frame first, once. `docs/protocol.md` lists the kinds, and how
Asterisk 22 treats each.

This module has both ends, for the gateway, the softphone and the tests. `Decoder` reads the frames of either
side; the ``encode_*`` functions write them. Those that write to Asterisk can't produce a frame that ends the
call: `res_audiosocket.c` hangs up on an unknown kind and on empty audio.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

from audiosocket_gw.errors import LocalProtocolError, RemoteProtocolError

HEADER = struct.Struct("!BH")
"""Kind and payload length, big-endian. (The audio samples in the payload are little-endian.)"""

MAX_PAYLOAD = 65_535
"""The maximum of the length field. Asterisk passes a telephone's long packets on in one frame: 120 ms at 48
kHz are 11,520 bytes."""

DTMF_DIGITS = frozenset("0123456789ABCD*#")


class Kind(IntEnum):
    """The kinds that Asterisk 22 defines, named as in ``include/asterisk/res_audiosocket.h``."""

    HANGUP = 0x00
    UUID = 0x01
    DTMF = 0x03
    SLIN = 0x10
    SLIN12 = 0x11
    SLIN16 = 0x12
    SLIN24 = 0x13
    SLIN32 = 0x14
    SLIN44 = 0x15
    SLIN48 = 0x16
    SLIN96 = 0x17
    SLIN192 = 0x18
    ERROR = 0xFF


SAMPLE_RATES = {
    Kind.SLIN: 8_000,
    Kind.SLIN12: 12_000,
    Kind.SLIN16: 16_000,
    Kind.SLIN24: 24_000,
    Kind.SLIN32: 32_000,
    Kind.SLIN44: 44_100,
    Kind.SLIN48: 48_000,
    Kind.SLIN96: 96_000,
    Kind.SLIN192: 192_000,
}
"""Samples per second of each audio kind; all are 16-bit, mono, little-endian."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """End of the call. The gateway sends it; Asterisk closes its connection instead."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The UUID of the call: the first frame that Asterisk sends."""

    uuid: UUID


@dataclass(frozen=True, slots=True)
class Dtmf:
    """One key that the caller pressed: ``0-9 A-D * #``. Asterisk also sends ``a-d``, from SIP INFO."""

    digit: str


@dataclass(slots=True)  # not frozen: that costs three times as much, 50 times a second
class Audio:
    """Audio, normally 20 ms. ``kind`` gives the sample rate (`SAMPLE_RATES`).

    The payload may be empty: a jitter buffer inserts that for a lost packet, and releases before 20.14, 21.9
    and 22.4 send it for comfort noise. Comfort noise may also have a few bytes, which are not audio.
    """

    kind: Kind
    payload: bytes


@dataclass(frozen=True, slots=True)
class Error:
    """The peer reports an error. The protocol doesn't define the payload, and no release of Asterisk sends
    it.

    docs.asterisk.org, AudioSocket: the bit 0x01 means that the calling party hung up.
    """

    payload: bytes

    @property
    def is_hangup(self) -> bool:
        return bool(self.payload) and bool(self.payload[0] & 0x01)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame without a meaning here; ignore it.

    Its kind is unknown to this version (a later Asterisk may know it); or it is a key that no telephone has
    (``e`` and ``f`` of fax detection), a DTMF frame that isn't one byte, or a UUID after the first.
    """

    kind: int
    payload: bytes


Frame = Hangup | Identity | Dtmf | Audio | Error | Unknown

_AUDIO_KINDS: dict[int, Kind] = {int(kind): kind for kind in SAMPLE_RATES}


class Decoder:
    """Split a byte stream into frames.

    Pass every chunk to `receive`, in order, as TCP delivers it. The frames don't depend on how the stream was
    split.

    The handshake is strict: a stream that doesn't begin with a UUID frame isn't from Asterisk. After it a
    caller is on the line and nothing is an error: a frame without a meaning is `Unknown`. At most one
    unfinished frame is buffered, 65,538 bytes, and the work is linear in the number of bytes, however small
    the chunks.

    A chunk may have thousands of frames. `receive` takes some of them if its owner wants to do something else
    in between; the rest waits.

    `pending` is the number of bytes that wait. If it isn't 0 at the end of the stream, the peer stopped in
    mid-frame.
    """

    __slots__ = ("_identified", "_missing", "_pending", "_start", "is_behind")

    def __init__(self, *, identified: bool = False) -> None:
        """``identified``: no UUID frame is expected (the stream from a server)."""
        self._pending: bytes | bytearray = b""  # bytes until a third chunk arrives: quicker than a bytearray
        self._start = 0  # of what is pending: what is before it has been parsed
        self._missing = 0  # of the unfinished frame or its header: before that there is nothing to parse
        self._identified = identified
        self.is_behind = False
        """Whether whole frames wait: call `receive` again, for example without data."""

    @property
    def pending(self) -> int:
        return len(self._pending) - self._start

    def receive(self, data: bytes | memoryview = b"", most: int = -1) -> Iterator[Frame]:
        """Yield the frames that ``data`` completes, ``most`` at most (-1: all). Iterate to the end before the
        next call.

        Raises:
            RemoteProtocolError: the first frame is not a UUID frame of 16 bytes. The decoder can't be used
            afterwards.
        """
        start = 0
        if not self._pending:
            buffer = bytes(data)
        elif len(data) < self._missing:
            self._keep(data)
            return
        else:
            start = self._start
            buffer = b"".join((self._pending, data)) if data else bytes(self._pending)
            self._pending = b""  # before the yield: if the caller stops iterating, nothing is parsed twice
            self._start = 0
            self.is_behind = False
        end = len(buffer)
        missing = HEADER.size
        while end - start >= HEADER.size:
            kind, length = HEADER.unpack_from(buffer, start)
            if not self._identified:
                _check_first(kind, length)
            stop = start + HEADER.size + length
            if stop > end:
                missing = HEADER.size + length
                break
            if not most:
                self._pending, self._start, self._missing, self.is_behind = buffer, start, 0, True
                return
            most -= 1
            payload = buffer[start + HEADER.size : stop]
            start = stop
            audio_kind = _AUDIO_KINDS.get(kind)
            if audio_kind is not None:
                yield Audio(audio_kind, payload)
            else:
                yield self._control_frame(kind, payload)
        if start < end:
            self._pending = buffer[start:]
            self._missing = missing - (end - start)

    def _keep(self, data: bytes | memoryview) -> None:
        """Add to the unfinished frame a chunk that doesn't complete it."""
        if type(self._pending) is bytes:
            self._pending = bytearray(self._pending)
        self._pending += data
        self._missing -= len(data)

    def _control_frame(self, kind: int, payload: bytes) -> Frame:
        if kind == Kind.UUID and not self._identified:
            self._identified = True
            return Identity(UUID(bytes=payload))
        if kind == Kind.DTMF:
            digit = payload.decode("latin-1").upper()
            return Dtmf(digit) if digit in DTMF_DIGITS else Unknown(kind, payload)
        if kind == Kind.HANGUP:
            return Hangup()
        if kind == Kind.ERROR:
            return Error(payload)
        return Unknown(kind, payload)


def _check_first(kind: int, length: int) -> None:
    """Check the first header before its payload, so that no peer makes us wait for it or buffer it."""
    if kind != Kind.UUID:
        raise RemoteProtocolError(
            f"the first frame has kind 0x{kind:02x}; Asterisk begins with the UUID, 0x01"
        )
    if length != 16:
        raise RemoteProtocolError(f"the UUID frame has {length} bytes of payload, not 16")


HANGUP_FRAME = HEADER.pack(Kind.HANGUP, 0)
"""Ends the AudioSocket application in order: the dialplan continues at the next priority."""


def encode_audio(kind: Kind, payload: bytes) -> bytes:
    """Build an audio frame. Send it with ONE write: Asterisk hangs up if the payload arrives 5 ms late.

    Raises:
        LocalProtocolError: not an audio kind, an empty payload, or more than 65,535 bytes.
    """
    if kind not in SAMPLE_RATES:
        raise LocalProtocolError(f"kind 0x{kind:02x} is not an audio kind")
    if not payload:
        raise LocalProtocolError("an empty audio frame makes Asterisk hang up")
    if len(payload) > MAX_PAYLOAD:
        raise LocalProtocolError(f"{len(payload)} bytes do not fit one frame (at most {MAX_PAYLOAD})")
    return HEADER.pack(kind, len(payload)) + payload


def encode_identity(uuid: UUID) -> bytes:
    """Build the UUID frame, which Asterisk sends first. A gateway never sends it."""
    return HEADER.pack(Kind.UUID, 16) + uuid.bytes


def encode_dtmf(digit: str) -> bytes:
    """Build a DTMF frame, which Asterisk sends for a key. A gateway never sends it.

    Raises:
        LocalProtocolError: ``digit`` is not one of ``0-9 A-D * #``.
    """
    if digit not in DTMF_DIGITS:
        raise LocalProtocolError(f"{digit!r} is not a DTMF digit (0-9 A-D * #)")
    return HEADER.pack(Kind.DTMF, 1) + digit.encode("ascii")
