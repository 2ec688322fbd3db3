"""TLS for the agent's connection: OpenSSL between two memory buffers, on a plain TCP transport.

It stays for the memory. `make bench` at 200 calls, KiB a call with TLS (target: at most 120):

- more than 280 with asyncio's own TLS, which keeps a receive buffer of 256 KiB for each connection;
- 151 with asyncio's own and `asyncio.sslproto.SSLProtocol.max_size` set to 16 KiB, a private attribute.
  OpenSSL's memory buffers grow with the largest burst of a reply, and never shrink;
- 66 here: all connections share the large buffers, and OpenSSL is fed 4 KiB at a time.

CPU is no argument: 1.8 to 2.0 ms per call-second with either.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections import deque
from contextlib import suppress
from typing import cast

from audiosocket_gw.runtime.happy_eyeballs import open_socket

MAX_RECORD = 16_384
"""Bytes of plaintext in one TLS record (RFC 8446, section 5.1)."""

FEED = 4096
"""Bytes of ciphertext to pass to OpenSSL at once: its memory buffers grow, and never shrink."""

# One receive buffer for all connections: asyncio fills it and calls buffer_updated in the same loop
# iteration.
_receive_buffer = memoryview(bytearray(65_536))

# Stand-in protocol set on close. It breaks the reference cycle, so OpenSSL's memory is freed at once instead
# of at the next garbage collection.
_closed_protocol = asyncio.BufferedProtocol()


async def create_connection(
    protocol: asyncio.BufferedProtocol,
    host: str,
    port: int,
    context: ssl.SSLContext,
    *,
    public_only: bool = False,
) -> None:
    """Connect ``protocol`` by TLS to ``host``, whose certificate is checked.

    The protocol is called as by the loop's own ``create_connection(..., ssl=context)``. ``public_only``: as
    in `open_socket`.

    Raises:
        OSError: there is no connection, or TLS failed (`ssl.SSLError`).
        ValueError: ``host`` is not a valid host name.
    """
    transport = TlsTransport(protocol, context, host)
    loop = asyncio.get_running_loop()
    connection = await open_socket(host, port, public_only=public_only)
    tcp, _ = await loop.create_connection(lambda: transport, sock=connection)
    try:
        await transport.opened
    except BaseException:
        tcp.abort()
        raise


class TlsClient:
    """The client's side of TLS, sans-I/O: plaintext and ciphertext, each in and out.

    If TLS fails, its methods raise `ssl.SSLError`, and only `alert` may be called afterwards.
    """

    __slots__ = ("_incoming", "_outgoing", "_tls", "_unsealed", "ended")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        """Prepare; raises `ValueError` when no certificate could be for ``host``."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._unsealed: deque[bytes] = deque()
        self.ended = False
        """Whether the peer has ended its side, with a close_notify."""

    def shake_hands(self) -> bool:
        """Continue the handshake; return whether it is complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def receive_data(self, ciphertext: memoryview) -> None:
        """Take bytes from the peer. Then call `read_into` until nothing is left, so that they don't
        accumulate.
        """
        self._incoming.write(ciphertext)

    def read_into(self, buffer: memoryview) -> int:
        """Decrypt a record, or what fits of it; return its length, or 0 if there is none."""
        if not (self._incoming.pending or self._tls.pending()):
            return 0  # OpenSSL would raise an exception, which takes as long as a record
        try:
            size = cast(int, self._tls.read(len(buffer), buffer))  # with a buffer it returns the length
        except ssl.SSLWantReadError:
            return 0
        self.ended = not size
        return size

    def seal(self, plaintext: bytes | bytearray | memoryview) -> bytes:
        """Encrypt; return the bytes to send.

        During a handshake, also a later one (renegotiation of TLS 1.2), the plaintext waits.
        """
        if len(plaintext) <= MAX_RECORD and not self._unsealed:  # nearly always; saves a third of the time
            try:
                self._tls.write(plaintext)
            except ssl.SSLWantReadError:
                pass
            else:
                return self._outgoing.read()
        for start in range(0, len(plaintext), MAX_RECORD):
            self._unsealed.append(bytes(plaintext[start : start + MAX_RECORD]))
        return self.data_to_send()

    def data_to_send(self) -> bytes:
        """Return the bytes to send: answers to the peer, and plaintext that has waited."""
        records = []
        with suppress(ssl.SSLWantReadError):
            while self._unsealed:
                self._tls.write(self._unsealed[0])
                self._unsealed.popleft()
                records.append(self._outgoing.read())  # one by one, so that the buffer stays small
        records.append(self._outgoing.read())
        return b"".join(records)

    @property
    def unsealed(self) -> int:
        """Bytes of plaintext that wait."""
        return sum(map(len, self._unsealed))

    def close(self) -> bytes:
        """End this side; return the close_notify to send. Waiting plaintext is lost."""
        self._unsealed.clear()
        with suppress(ssl.SSLError):  # there is no TLS yet; or: the peer has not ended its side
            self._tls.unwrap()
        return self._outgoing.read()

    def alert(self) -> bytes:
        """Return the alert that tells the peer why TLS failed."""
        return self._outgoing.read()


class TlsTransport(asyncio.Transport, asyncio.BufferedProtocol):
    """The transport of ``protocol`` and, for the TCP transport below, the protocol.

    It supports what the agent's connection needs: write, close, abort, pausing to read, and the limit of what
    waits to be sent.
    """

    _tcp: asyncio.Transport

    def __init__(self, protocol: asyncio.BufferedProtocol, context: ssl.SSLContext, host: str) -> None:
        """Prepare; raises `ValueError` when no certificate could be for ``host``."""
        super().__init__()
        self._protocol = protocol
        self._tls = TlsClient(context, host)
        self._open = False
        self._closing = False
        self._is_paused = False
        self._undelivered = b""
        """Ciphertext that arrived before reading was paused."""
        self._max_unsent = sys.maxsize
        self._error: Exception | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the handshake is; has the `OSError` when it failed."""
        # Who was cancelled meanwhile will never ask for that.
        self.opened.add_done_callback(lambda opened: opened.cancelled() or opened.exception())

    # Called by the protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        try:
            sealed = self._tls.seal(data)
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._tcp.write(sealed)
        if not sealed and self._tls.unsealed > self._max_unsent:  # it waits for the end of a renegotiation
            self._protocol.pause_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is not None:
            self._max_unsent = high
        self._tcp.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        self._is_paused = True
        self._tcp.pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False
        self._deliver_rest()
        if not self._is_paused:
            self._tcp.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._tcp.get_write_buffer_size() + self._tls.unsealed

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._tcp.write(self._tls.close())
            self._tcp.close()

    def abort(self) -> None:
        self._closing = True
        self._tcp.abort()

    # Called by the TCP transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = cast(asyncio.Transport, transport)
        try:
            self._tls.shake_hands()
        except ssl.SSLError as error:  # the context allows nothing that could be offered
            self._fail(error)
        else:
            self._tcp.write(self._tls.data_to_send())

    def get_buffer(self, sizehint: int) -> memoryview:
        return _receive_buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._receive(_receive_buffer[:nbytes])

    def _deliver_rest(self) -> None:
        """Deliver what arrived before reading was paused."""
        ciphertext, self._undelivered = self._undelivered, b""
        try:
            self._deliver()
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._receive(memoryview(ciphertext))

    def _receive(self, ciphertext: memoryview) -> None:
        """Decrypt and deliver; keep the rest if reading is paused meanwhile."""
        try:
            for start in range(0, len(ciphertext), FEED):
                if self._is_paused:
                    self._undelivered = bytes(ciphertext[start:])
                    break
                self._tls.receive_data(ciphertext[start : start + FEED])
                if self._open or self._complete_handshake():
                    self._deliver()
            self._tcp.write(self._tls.data_to_send())
        except ssl.SSLError as error:
            self._fail(error)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def eof_received(self) -> None:
        """Report that the connection ends, without close_notify: anyone could have ended it."""
        if self._open and not self._closing:
            self._error = ssl.SSLEOFError("TLS was cut off")
            self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_paused and not self._closing:
            self._is_paused = False
            self._deliver_rest()
        self._closing = True
        error = self._error or exc
        protocol, self._protocol = self._protocol, _closed_protocol
        if self._open:
            protocol.connection_lost(error)
        elif not self.opened.done():
            self.opened.set_exception(error or ConnectionResetError("it was closed during the TLS handshake"))

    def _complete_handshake(self) -> bool:
        self._open = self._tls.shake_hands()
        if self._open:
            if not self.opened.done():
                self.opened.set_result(None)
            self._protocol.connection_made(self)
        return self._open

    def _deliver(self) -> None:
        """Deliver what can be decrypted."""
        buffer = memoryview(self._protocol.get_buffer(-1))
        while not (self._closing or self._is_paused) and (size := self._tls.read_into(buffer)):
            self._protocol.buffer_updated(size)
        if self._tls.ended and not self._closing:
            self._protocol.eof_received()
            self.close()

    def _fail(self, error: ssl.SSLError) -> None:
        self._closing = True
        self._error = error
        self._tcp.write(self._tls.alert())
        self._tcp.abort()
