"""Our TLS against OpenSSL's other end: first without sockets, then over TCP, where each end can break off."""

from __future__ import annotations

import asyncio
import gc
import shutil
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest

from audiosocket_gw.elevenlabs import tls
from audiosocket_gw.elevenlabs.tls import TlsClient, TlsTransport
from tests.harness.certificates import ELSEWHERE, EXPIRED, LOCALHOST, serving, trusting
from tests.harness.waiting import until

T = TypeVar("T")

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]

LARGE = Random(8446).randbytes(3_000_001)


class Server:
    """The other end without a socket."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    def shake_hands(self, ciphertext: bytes) -> bytes:
        self.incoming.write(ciphertext)
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def seal(self, plaintext: bytes) -> bytes:
        while plaintext:
            plaintext = plaintext[self.tls.write(plaintext) :]
        return self.outgoing.read()

    def open(self, ciphertext: bytes) -> bytes:
        """Decrypt all that can be."""
        self.incoming.write(ciphertext)
        plaintext = bytearray()
        with suppress(ssl.SSLWantReadError):
            while piece := self.tls.read(65_536):
                plaintext += piece
        return bytes(plaintext)


def shake_hands(client: TlsClient, server: Server) -> bytes:
    """Bring both to the end of the handshake; return what the client still has to send."""
    complete = client.shake_hands()
    while not complete:
        client.receive_data(memoryview(server.shake_hands(client.data_to_send())))
        complete = client.shake_hands()
    return client.data_to_send()


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def pair(request: pytest.FixtureRequest) -> tuple[TlsClient, Server]:
    """Both ends, after the handshake."""
    client, server = TlsClient(trusting(), "127.0.0.1"), Server(serving(version=request.param))
    assert read(client, server.shake_hands(shake_hands(client, server))) == b""  # TLS 1.3 sends tickets
    assert server.tls.version() == request.param.name.replace("_", ".")
    return client, server


def read(client: TlsClient, ciphertext: bytes, step: int = 65_536, room: int = 65_536) -> bytes:
    """Give the client ``step`` bytes at a time, and read by up to ``room``."""
    buffer = memoryview(bytearray(room))
    plaintext = bytearray()
    for start in range(0, len(ciphertext), step):
        client.receive_data(memoryview(ciphertext)[start : start + step])
        while size := client.read_into(buffer):
            plaintext += buffer[:size]
    return bytes(plaintext)


# Without sockets


@pytest.mark.parametrize("version", VERSIONS)
def test_the_handshake_in_single_bytes(version: ssl.TLSVersion) -> None:
    client, server = TlsClient(trusting(), "localhost"), Server(serving(version=version))
    complete = client.shake_hands()
    while not complete:
        for byte in server.shake_hands(client.data_to_send()):
            assert not complete
            client.receive_data(memoryview(bytes([byte])))
            complete = client.shake_hands()
    server.shake_hands(client.data_to_send())
    assert server.open(client.seal(b"ready")) == b"ready"


@pytest.mark.parametrize("step", [1, 7, 4096, 65_536])
@pytest.mark.parametrize("room", [1, 100, 65_536])
def test_what_the_server_sends_arrives_however_it_is_cut(
    pair: tuple[TlsClient, Server], step: int, room: int
) -> None:
    client, server = pair
    messages = [b"", b"a", LARGE[:500], b"b", LARGE[:40_000], b"c", LARGE[:300]]
    ciphertext = b"".join(map(server.seal, messages))
    assert read(client, ciphertext, step, room) == b"".join(messages)
    assert not client.ended


def test_messages_of_every_size_reach_the_server(pair: tuple[TlsClient, Server]) -> None:
    client, server = pair
    for size in (0, 1, 16_383, 16_384, 16_385, len(LARGE)):
        message = LARGE[:size]
        assert server.open(client.seal(message)) == message
        assert client.unsealed == 0
    assert client.data_to_send() == b""


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_written_before_the_handshake_waits_and_keeps_its_order(version: ssl.TLSVersion) -> None:
    client, server = TlsClient(trusting(), "127.0.0.1"), Server(serving(version=version))
    hello = client.seal(b"first, ")
    assert client.unsealed == 7
    assert client.seal(LARGE[:20_000]) == b""
    assert client.unsealed == 20_007
    client.receive_data(memoryview(server.shake_hands(hello)))
    complete = client.shake_hands()
    if version is ssl.TLSVersion.TLSv1_2:  # has one round more
        client.receive_data(memoryview(server.shake_hands(client.data_to_send())))
        complete = client.shake_hands()
    assert complete
    server.shake_hands(client.seal(b", last"))
    assert client.unsealed == 0
    assert server.open(b"") == b"first, " + LARGE[:20_000] + b", last"


def test_what_still_waits_is_lost_with_the_end() -> None:
    client = TlsClient(trusting(), "127.0.0.1")
    client.seal(b"never sent")
    client.close()
    assert client.unsealed == 0
    assert client.data_to_send() == b""


def test_each_side_ends_with_close_notify(pair: tuple[TlsClient, Server]) -> None:
    client, server = pair
    last = server.seal(b"the last")
    with suppress(ssl.SSLWantReadError):
        server.tls.unwrap()
    assert read(client, last + server.outgoing.read()) == b"the last"
    assert client.ended
    server.incoming.write(client.close())
    server.tls.unwrap()  # it would complain of anything but a close_notify


def test_a_forged_record_is_an_error_after_what_came_before_it(pair: tuple[TlsClient, Server]) -> None:
    client, server = pair
    genuine = server.seal(b"genuine")
    forged = bytearray(server.seal(b"forged"))
    forged[-1] ^= 1
    client.receive_data(memoryview(genuine + bytes(forged)))
    buffer = memoryview(bytearray(100))
    assert bytes(buffer[: client.read_into(buffer)]) == b"genuine"
    with pytest.raises(ssl.SSLError):
        client.read_into(buffer)
    server.incoming.write(client.alert())
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
        server.tls.read(1)


@pytest.mark.parametrize("host", ["", ".example.com", "a" * 64 + ".example"])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        TlsClient(trusting(), host)


# Over TCP


class Recorder(asyncio.BufferedProtocol):
    """Keeps what it is told."""

    transport: TlsTransport

    def __init__(self, room: int = 65_536) -> None:
        self.heard: list[str] = []
        self.received = bytearray()
        self.error: Exception | None = None
        self.lost = asyncio.Event()
        self._buffer = memoryview(bytearray(room))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsTransport)
        self.transport = transport
        self.heard.append("made")

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self._buffer[:nbytes]

    def eof_received(self) -> None:
        self.heard.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard.append("lost")
        self.error = exc
        self.lost.set()


class Peer:
    """The server's end of one connection, and its TLS."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.end = Server(context)
        self.step = 2**20
        """Bytes that are sent at a time."""

    async def send(self, data: bytes) -> None:
        for start in range(0, len(data), self.step):
            self.writer.write(data[start : start + self.step])
            await asyncio.sleep(0)

    async def flush(self) -> None:
        await self.send(self.end.outgoing.read())

    async def _do(self, step: Callable[[], T]) -> T:
        """Do ``step``, with as much from the client as it needs."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                await self.flush()
                data = await self.reader.read(65_536)
                if data:
                    self.end.incoming.write(data)
                else:
                    self.end.incoming.write_eof()
            finally:
                await self.flush()

    async def shake_hands(self) -> None:
        await self._do(self.end.tls.do_handshake)

    async def read(self) -> bytes:
        """Return what came, or nothing after close_notify.

        Raises:
            ssl.SSLEOFError: the connection ended without one.
        """
        try:
            return await self._do(lambda: self.end.tls.read(65_536))
        except ssl.SSLZeroReturnError:  # as Python tells close_notify to who has sent one before
            return b""

    async def read_exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = await self.read()
            assert piece
            data += piece
        return bytes(data)

    async def write(self, data: bytes) -> None:
        await self.send(self.end.seal(data))

    async def close_notify(self) -> None:
        with suppress(ssl.SSLWantReadError):
            self.end.tls.unwrap()
        await self.flush()


Behaviour = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def server(behave: Behaviour, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve one way of behaving; yields the port. At the end all must have gone well there."""
    tasks: list[asyncio.Task[None]] = []
    context = context or serving()

    async def serve(peer: Peer) -> None:
        try:
            await behave(peer)
        finally:
            peer.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.ensure_future(serve(Peer(reader, writer, context))))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
        await asyncio.gather(*tasks)


async def connect(port: int, host: str = "127.0.0.1", trust: ssl.SSLContext | None = None) -> Recorder:
    recorder = Recorder()
    await tls.create_connection(recorder, host, port, trust or trusting())
    return recorder


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_there_and_back(version: ssl.TLSVersion, host: str) -> None:
    """Large messages, both ways at once, and an end that we begin."""

    async def behave(peer: Peer) -> None:
        await peer.shake_hands()
        await peer.write(LARGE)
        assert await peer.read_exactly(len(LARGE)) == LARGE
        await peer.write(b"thanks")
        assert await peer.read() == b"", "no close_notify"

    async with server(behave, serving(version=version)) as port:
        recorder = await connect(port, host)
        recorder.transport.write(LARGE)
        while not recorder.received.endswith(b"thanks"):
            await asyncio.sleep(0)
        recorder.transport.close()
        recorder.transport.close()
        recorder.transport.write(b"too late")
        await recorder.lost.wait()
    assert bytes(recorder.received) == LARGE + b"thanks"
    assert recorder.heard == ["made", "lost"]
    assert recorder.error is None


async def test_what_the_server_does_not_read_is_counted() -> None:
    reads = asyncio.Event()

    async def behave(peer: Peer) -> None:
        await peer.shake_hands()
        await reads.wait()
        while piece := await peer.read():
            received.extend(piece)

    received = bytearray()
    written = 0
    async with server(behave) as port:
        recorder = await connect(port)
        while recorder.transport.get_write_buffer_size() < len(LARGE):
            recorder.transport.write(LARGE)
            written += 1
            assert written < 100
        reads.set()
        while recorder.transport.get_write_buffer_size():
            await asyncio.sleep(0)
        recorder.transport.close()
    assert received == LARGE * written


async def test_sixteen_megabytes_in_one_go() -> None:
    message = LARGE * 6

    async def behave(peer: Peer) -> None:
        await peer.shake_hands()
        await peer.write(message)
        await peer.close_notify()
        assert await peer.read() == b""

    async with server(behave) as port:
        recorder = await connect(port)
        await recorder.lost.wait()
    assert recorder.received == message


async def test_one_message_is_one_write_to_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    async def behave(peer: Peer) -> None:
        await peer.shake_hands()
        assert await peer.read_exactly(40_000) == LARGE[:40_000]
        await peer.close_notify()

    written: list[bytes] = []
    async with server(behave) as port:
        recorder = await connect(port)
        tcp = recorder.transport._tcp
        write = tcp.write

        def watch(data: bytes) -> None:
            written.append(data)
            write(data)

        with monkeypatch.context() as watched:
            watched.setattr(tcp, "write", watch)
            recorder.transport.write(LARGE[:40_000])
        await recorder.lost.wait()
    assert len(written) == 1
    assert 40_000 < len(written[0]) < 41_000


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_server_that_sends_single_bytes(version: ssl.TLSVersion) -> None:
    async def behave(peer: Peer) -> None:
        peer.step = 1
        await peer.shake_hands()
        await peer.write(LARGE[:500])
        assert await peer.read_exactly(5) == b"reply"
        await peer.close_notify()

    async with server(behave, serving(version=version)) as port:
        recorder = await connect(port)
        recorder.transport.write(b"reply")
        await recorder.lost.wait()
    assert recorder.received == LARGE[:500]
    assert recorder.error is None


@pytest.mark.parametrize(
    ("certificate", "trust", "complaint"),
    [
        (LOCALHOST, None, "self-signed certificate"),
        (ELSEWHERE, LOCALHOST, "self-signed certificate"),
        (EXPIRED, EXPIRED, "certificate has expired"),
        (ELSEWHERE, ELSEWHERE, "not valid for '127.0.0.1'"),
    ],
    ids=["unknown authority", "another unknown authority", "expired", "another host"],
)
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_certificate_that_proves_nothing(
    certificate: Path, trust: Path | None, complaint: str, version: ssl.TLSVersion
) -> None:
    async def behave(peer: Peer) -> None:
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):  # we say what we think of it
            await peer.shake_hands()
            await peer.read()

    async with server(behave, serving(certificate, version)) as port:
        recorder = Recorder()
        with pytest.raises(ssl.SSLCertVerificationError, match=complaint):
            await tls.create_connection(recorder, "127.0.0.1", port, trusting(trust))
    assert recorder.heard == []


async def test_a_context_that_does_not_ask_for_proof() -> None:
    trust = ssl.create_default_context()
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE

    async def behave(peer: Peer) -> None:
        await peer.shake_hands()
        await peer.close_notify()

    async with server(behave, serving(EXPIRED)) as port:
        recorder = await connect(port, trust=trust)
        await recorder.lost.wait()
    assert recorder.heard == ["made", "eof", "lost"]


async def in_plain_text(peer: Peer) -> None:
    await peer.reader.read(1)
    await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def with_a_version_too_old(peer: Peer) -> None:
    await peer.reader.read(1)
    await peer.send(bytes.fromhex("15 0301 0002 02 46"))  # alert: protocol_version


@pytest.mark.parametrize("behave", [in_plain_text, with_a_version_too_old])
async def test_a_server_that_does_not_speak_our_tls(behave: Behaviour) -> None:
    async with server(behave) as port:
        recorder = Recorder()
        with pytest.raises(ssl.SSLError, match=r"(?i)version"):
            await tls.create_connection(recorder, "127.0.0.1", port, trusting())
    assert recorder.heard == []


async def test_a_context_that_allows_no_version() -> None:
    trust = trusting()
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    trust.minimum_version = ssl.TLSVersion.TLSv1_3
    async with server(after_the_hello) as port:
        with pytest.raises(ssl.SSLError, match="no protocols available"):
            await tls.create_connection(Recorder(), "127.0.0.1", port, trust)


async def at_once(peer: Peer) -> None:
    pass


async def after_the_hello(peer: Peer) -> None:
    await peer.reader.read(65_536)


async def in_the_answer(peer: Peer) -> None:
    flight = peer.end.shake_hands(await peer.reader.read(65_536))
    await peer.send(flight[: len(flight) // 2])


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("part", [at_once, after_the_hello, in_the_answer])
async def test_cut_in_the_handshake(part: Behaviour, reset: bool) -> None:
    async def behave(peer: Peer) -> None:
        await part(peer)
        if reset:
            peer.writer.transport.abort()

    async with server(behave) as port:
        recorder = Recorder()
        with pytest.raises(ConnectionError, match=r"."):
            await tls.create_connection(recorder, "127.0.0.1", port, trusting())
    assert recorder.heard == []


@pytest.mark.parametrize("part", [at_once, after_the_hello, in_the_answer])
async def test_a_server_that_stalls_in_the_handshake_can_be_left(part: Behaviour) -> None:
    left = asyncio.Event()

    async def behave(peer: Peer) -> None:
        await part(peer)
        with suppress(ConnectionError):
            while await peer.reader.read(65_536):
                pass
        left.set()

    async with server(behave) as port:
        recorder = Recorder()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await tls.create_connection(recorder, "127.0.0.1", port, trusting())
        await left.wait()
    assert recorder.heard == []


async def test_no_one_listens() -> None:
    async with server(at_once) as port:
        pass
    with pytest.raises(ConnectionRefusedError):
        await connect(port)


async def test_an_end_that_the_server_begins() -> None:
    async def behave(peer: Peer) -> None:
        await peer.shake_hands()
        await peer.write(b"the last")
        await peer.close_notify()
        assert await peer.read() == b"", "no close_notify"

    async with server(behave) as port:
        recorder = await connect(port)
        await recorder.lost.wait()
    assert recorder.received == b"the last"
    assert recorder.heard == ["made", "eof", "lost"]
    assert recorder.error is None


@pytest.mark.parametrize("last", [b"", b"\x17\x03\x03\x01\x00half a record"], ids=["between", "in a record"])
async def test_an_end_without_close_notify(last: bytes) -> None:
    async def behave(peer: Peer) -> None:
        await peer.shake_hands()
        await peer.write(b"the last")
        await peer.send(last)

    async with server(behave) as port:
        recorder = await connect(port)
        await recorder.lost.wait()
    assert recorder.received == b"the last"
    assert recorder.heard == ["made", "eof", "lost"]
    assert isinstance(recorder.error, ssl.SSLEOFError)


async def test_a_reset() -> None:
    async def behave(peer: Peer) -> None:
        await peer.shake_hands()
        await peer.read_exactly(1)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await more.wait()
        peer.writer.transport.abort()  # what is unread makes it a reset

    more = asyncio.Event()
    async with server(behave) as port:
        recorder = await connect(port)
        recorder.transport.write(b"1")
        for _ in range(10):
            await asyncio.sleep(0)
            recorder.transport.write(b"23")
        more.set()
        await recorder.lost.wait()
    assert recorder.heard == ["made", "lost"]
    assert isinstance(recorder.error, ConnectionResetError)


async def test_a_forged_record_ends_it() -> None:
    async def behave(peer: Peer) -> None:
        await peer.shake_hands()
        await peer.write(b"genuine")
        forged = bytearray(peer.end.seal(b"forged"))
        forged[-1] ^= 1
        await peer.send(bytes(forged) + peer.end.seal(b"too late"))
        with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
            await peer.read()

    async with server(behave) as port:
        recorder = await connect(port)
        await recorder.lost.wait()
    assert recorder.received == b"genuine"
    assert recorder.heard == ["made", "lost"]
    assert isinstance(recorder.error, ssl.SSLError)


@pytest.mark.parametrize("way", ["close", "abort"])
async def test_who_has_left_hears_no_more(way: str) -> None:
    class Leaving(Recorder):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            getattr(self.transport, way)()

    async def behave(peer: Peer) -> None:
        await peer.shake_hands()
        await peer.send(peer.end.seal(b"first") + peer.end.seal(b"second"))
        with suppress(ssl.SSLEOFError, ConnectionError):
            await peer.read()

    async with server(behave) as port:
        recorder = Leaving()
        await tls.create_connection(recorder, "127.0.0.1", port, trusting())
        await recorder.lost.wait()
    assert recorder.received == b"first"
    assert recorder.heard == ["made", "lost"]


async def test_a_connection_that_is_over_is_freed_at_once() -> None:
    """The collector doesn't know how much memory OpenSSL holds."""

    async def behave(peer: Peer) -> None:
        await peer.shake_hands()
        await peer.close_notify()

    gc.disable()
    try:
        async with server(behave) as port:
            recorder = await connect(port)
            await recorder.lost.wait()
            kept = weakref.ref(recorder.transport)
            del recorder
            await asyncio.sleep(0)
        assert kept() is None
    finally:
        gc.enable()


@asynccontextmanager
async def openssl_server(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run OpenSSL's own server: what it reads it prints, and letters are commands to it."""
    process = await asyncio.create_subprocess_exec(
        *(
            "openssl",
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-naccept",
            "1",
            "-cert",
            str(LOCALHOST),
            *options,
        ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        line = b""
        while not line.startswith(b"ACCEPT "):
            line = await process.stdout.readline()
            assert line, "openssl s_server did not begin to listen"
        yield process, int(line.rpartition(b":")[2])
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
@pytest.mark.parametrize(
    ("option", "command"),
    [("-tls1_2", b"r\n"), ("-tls1_3", b"k\n"), ("-tls1_3", b"K\n")],
    ids=["renegotiation", "key update", "key update on both sides"],
)
async def test_new_keys_in_the_middle(option: str, command: bytes) -> None:
    """Python's `ssl` can't ask for them; a server may."""
    async with openssl_server(option) as (process, port):
        assert process.stdin is not None
        assert process.stdout is not None
        recorder = await connect(port)
        written: list[bytes] = []
        printed: list[bytes] = []

        async def write_until(condition: Callable[[], bool]) -> None:
            while not condition():
                written.append(b"message %d\n" % len(written))
                recorder.transport.write(written[-1])
                await asyncio.sleep(0.001)

        async def read(output: asyncio.StreamReader) -> None:
            while line := await output.readline():
                printed.append(line)

        reading = asyncio.ensure_future(read(process.stdout))
        for rounds in range(1, 4):
            process.stdin.write(command)
            await write_until(lambda: sum(b" -> 1" in line for line in printed) == rounds)  # noqa: B023
            process.stdin.write(b"answer\n")
            await write_until(lambda: recorder.received.count(b"answer\n") == rounds)  # noqa: B023
        await until(lambda: printed, lambda seen: written[-1] in seen)
        assert [line for line in printed if line.startswith(b"message")] == written
        assert recorder.heard == ["made"]
        recorder.transport.abort()
        await recorder.lost.wait()
    await reading
