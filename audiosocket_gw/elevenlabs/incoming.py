"""What the agent sends, sans-I/O: bytes in, one step at a time, and text messages out.

`websockets`' core parses at once all that it is given, and a read of 64 KiB may hold 30,000 frames, which
would hold up every call for a second. So a step gives it one frame, or what has arrived of one.
"""

from __future__ import annotations

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response

from audiosocket_gw.elevenlabs.flood import VALUES_PER_FRAME, FloodLimit
from audiosocket_gw.elevenlabs.json_values import MAX_VALUES, count_values

MAX_MESSAGE = 2 * 2**20
"""Bytes of a message, whole or in fragments: 98 s of pcm_8000 or 16 s of pcm_48000. The longest on record has
2.4 s."""

UNCOUNTED = 1024
"""Bytes of a message whose values aren't worth counting."""

_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class Incoming:
    """Pass bytes to `receive`, then call `step` while `has_more`.

    The core, which must limit messages to `MAX_MESSAGE`, answers pings and close frames: send its
    ``data_to_send`` after the steps.
    """

    __slots__ = ("_buffer", "_core", "_flood", "_fragments", "_frame_left", "_is_closed", "is_open")

    def __init__(self, core: ClientProtocol) -> None:
        self.is_open = False
        """Whether the WebSocket has been opened: frames follow."""
        self._core = core
        self._flood = FloodLimit()
        self._buffer = bytearray()
        self._frame_left = 0
        """Bytes of a frame that the core waits for."""
        self._fragments: bytearray | None = None
        self._is_closed = False

    def receive(self, data: memoryview) -> None:
        """Take bytes from the peer. They are copied."""
        if not self._is_closed:
            self._buffer += data

    def close(self) -> None:
        """Discard what waits, and what will come."""
        self._is_closed = True
        self._buffer.clear()

    @property
    def has_more(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self._buffer) and (not self.is_open or bool(self._frame_left or frame_size(self._buffer)))

    def step(self, now: float) -> bytes | None:
        """Take a frame, or a line of the HTTP response; return the message that it completes, if any.

        Raises:
            FloodError: the agent sends too much.
        """
        buffer = self._buffer
        if not self.is_open:
            size = buffer.find(b"\n") + 1 or len(buffer)
        else:
            frames = 0
            if not self._frame_left:
                frames = 1
                self._frame_left = frame_size(buffer)
            size = min(self._frame_left, len(buffer))
            self._frame_left -= size
            self._flood.count(frames, size, now)
        self._core.receive_data(buffer[:size])
        del buffer[:size]
        message = None
        for event in self._core.events_received():
            if isinstance(event, Frame):
                message = self._data_of(event)
            elif isinstance(event, Response) and self._core.handshake_exc is None:
                event.headers.clear()  # the core would keep them
                self.is_open = True
        if message is not None and len(message) > UNCOUNTED:
            values = min(count_values(message), MAX_VALUES)  # more are an error of their own
            self._flood.count(values // VALUES_PER_FRAME, 0, now)
        if self._core.close_rcvd is not None or self._core.parser_exc is not None:
            self.close()
        return message

    def _data_of(self, frame: Frame) -> bytes | None:
        """Return the message that ends with this frame."""
        if frame.opcode not in _DATA:
            return None  # the core answers it
        data = frame.data
        frame.data = b""  # the core keeps the frame until the next one
        if self._fragments is None and frame.fin:
            return bytes(data)
        if self._fragments is None:
            self._fragments = bytearray()
        self._fragments += data  # not in a list: fragments may be empty, and of any number
        if not frame.fin:
            return None
        message, self._fragments = bytes(self._fragments), None
        return message


def frame_size(start: bytes | bytearray) -> int:
    """Return the size of a server's frame that starts like this, 0 if its header is incomplete.

    RFC 6455, section 5.2. Whether the frame is valid is left to the core.
    """
    if len(start) < 2:
        return 0
    size = start[1] & 0x7F
    if size < 126:
        return 2 + size
    header = 4 if size == 126 else 10
    return header + int.from_bytes(start[2:header], "big") if len(start) >= header else 0
