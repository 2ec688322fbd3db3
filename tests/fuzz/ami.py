"""The manager interface: messages however they are cut, a registry that agrees with itself, and actions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from audiosocket_gw.ami import connection as ami_connection
from audiosocket_gw.ami.connection import AmiConnection
from audiosocket_gw.ami.dialplan import calling_line
from audiosocket_gw.ami.encoding import decoded, unescaped
from audiosocket_gw.ami.framing import SEPARATOR
from audiosocket_gw.ami.registry import ChannelRegistry, Headers, uuids_named_by
from audiosocket_gw.ami.releases import Release, limitations
from audiosocket_gw.call.caller_data import caller_headers
from audiosocket_gw.errors import ControlError, LocalProtocolError
from tests.fuzz.choices import Choices
from tests.fuzz.target import Target

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
CALL = UUID("40325ec2-5efd-4bd3-805f-53576e581d13")
MAX_CALLS = 3
RECORDED = Path(__file__).parents[1] / "ami" / "recorded"


class Transport(asyncio.Transport):
    """Records what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = self.paused = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False


@cache
def event_loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


async def receive(pieces: list[bytes], *, asks: bool) -> tuple[list[Headers], str, bool]:
    """Return the events, why the connection was cut if it was, and whether a question was answered."""
    events: list[Headers] = []
    transport = Transport()
    connection = AmiConnection(events.append)
    connection.connection_made(transport)
    asked = None
    if asks:
        asked = asyncio.ensure_future(connection.perform("Ping", {}, 60))
        await asyncio.sleep(0)
    action_id = _action_id(transport) if asks else b""
    for piece in pieces:
        connection.data_received(piece.replace(b"OUR-ID", action_id) if asks else piece)
        while transport.paused and not transport.aborted:
            await asyncio.sleep(0)
        if transport.aborted:
            break
    await asyncio.sleep(0)
    answered = asked is not None and asked.done()
    connection.connection_lost(None)
    if asked is not None:
        with suppress(ControlError):
            await asked
    why = connection.lost.result().partition(": ")[0]  # behind it: the beginning of what had arrived
    if asks:
        events = [_without(action_id.decode(), event) for event in events]
    return events, why, answered


def _without(action_id: str, event: Headers) -> Headers:
    """Return the event without the random part of an action's id."""
    return {
        name.replace(action_id, "OUR-ID"): value.replace(action_id, "OUR-ID") for name, value in event.items()
    }


def _action_id(transport: Transport) -> bytes:
    return transport.written[0].partition(b"ActionID: ")[2].partition(b"\r\n")[0]


def check(data: bytes) -> None:
    choices = Choices(data)
    asks = choices.flag()
    how = Choices(choices.take(8))
    stream = (b"" if choices.flag() else GREETING) + choices.rest()
    # A cut in the placeholder would change the stream.
    pieces = [stream] if asks and b"OUR-ID" in stream else how.cut(stream)
    loop = event_loop()
    whole = loop.run_until_complete(receive([stream], asks=asks))
    assert loop.run_until_complete(receive(pieces, asks=asks)) == whole
    for event in whole[0]:
        assert all(isinstance(name, str) and isinstance(value, str) for name, value in event.items())
        assert not any("\r\n" in name for name in event)
    check_registry(whole[0])


def check_registry(events: list[Headers]) -> None:
    registry = ChannelRegistry(MAX_CALLS)
    for number, event in enumerate(events):
        if number % 3 == 2:
            registry.add([event, *events[:number]])
        assert isinstance(registry.apply(event), bool)
        channels, calls = registry._channels, registry._calls
        assert len(channels) <= MAX_CALLS
        named = {uuid: uniqueid for uniqueid, uuids in calls.items() for uuid in uuids}
        assert named == {uuid: channel.uniqueid for uuid, channel in channels.items()}
        assert all(calls.values()), "a channel without a call is remembered"
        for channel in channels.values():
            headers = caller_headers({"name": channel.caller_name, "channel": channel.name})
            assert all(value.isascii() and value.isprintable() for value in headers.values())
        line = calling_line(CALL, event)
        assert line is None or CALL in uuids_named_by(line.application, line.data)
        if line is not None:
            assert CALL in uuids_named_by(line.application, line.with_codec(CALL, "slin").data)
        if (release := Release.parse(event.get("AsteriskVersion", ""))) is not None:
            assert all(isinstance(text, str) for text in limitations(release))


def check_text(data: bytes) -> None:
    """Any bytes are text, line by line; a name is unescaped once."""
    text = decoded(data)
    assert text.encode(errors="strict").count(b"\r\n") == data.count(b"\r\n")
    assert len(unescaped(text)) <= len(text)


async def write(name: str, values: dict[str, str | list[str]]) -> list[bytes]:
    transport = Transport()
    connection = AmiConnection(lambda _: None)
    connection.connection_made(transport)
    asked = asyncio.ensure_future(connection.perform(name, cast(Any, values), 60))
    await asyncio.sleep(0)
    connection.connection_lost(None)
    with suppress(LocalProtocolError, ControlError):
        await asked
    return transport.written


def check_action(data: bytes) -> None:
    """Whatever the values, one action is sent or none: no value starts another one."""
    choices = Choices(data)
    values: dict[str, str | list[str]] = {}
    for _ in choices.repeat(5):
        name = choices.of(("Channel", "Variable", "Exten", choices.text(10)))
        values[name] = [choices.text(40), choices.text(40)] if choices.flag() else choices.text(1_200)
    written = event_loop().run_until_complete(write("Setvar", values))
    assert len(written) <= 1
    for wire in written:
        assert wire.endswith(SEPARATOR)
        assert wire.count(SEPARATOR) == 1
        lines = wire.removesuffix(SEPARATOR).split(b"\r\n")
        assert max(map(len, lines)) <= ami_connection.MAX_LINE_BYTES + 100
        count = sum(len(value) if isinstance(value, list) else 1 for value in values.values())
        assert 2 <= len(lines) <= count + 2  # Action and ActionID; names that differ in case are one
        assert b"\n" not in wire.replace(b"\r\n", b"")


def messages() -> Iterator[bytes]:
    plain = b"\0" + bytes(8) + b"\0"
    for path in sorted(RECORDED.glob("*.txt")):
        recorded = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        for block in recorded.split(SEPARATOR):
            if b"AudioSocket" in block:
                yield plain + block + SEPARATOR
    app = f"Uniqueid: 1.1\r\nChannel: A-1\r\nApplication: AudioSocket\r\nAppData: {CALL},h:1".encode()
    dial = f"Uniqueid: 1.2\r\nApplication: Dial\r\nAppData: AudioSocket/h/{CALL}/c(slin),9".encode()
    rename = b"Event: Rename\r\nUniqueid: 1.1\r\nNewname: B-1"
    hangup = b"Event: Hangup\r\nUniqueid: 1.2\r\nCallerIDName: \xfc\\n"
    events = (b"Event: Newexten\r\n" + app, rename, b"Event: Newexten\r\n" + dial, hangup)
    yield plain + b"".join(event + SEPARATOR for event in events)
    yield b"\1" + bytes(8) + b"\0Response: Success\r\nActionID: OUR-ID\r\nPing: Pong" + SEPARATOR
    yield (
        b"\1" + bytes(8) + b"\0Response: Error\r\nMessage: no\r\nactionid: x\r\nActionID: OUR-ID" + SEPARATOR
    )
    yield plain + b"Event: CoreSettings\r\nAsteriskVersion: 22.10.1" + SEPARATOR
    yield plain + b"Event: x\r\nVariable: a=1\r\nVariable: b=2\r\nevent: y" + SEPARATOR
    yield b"\0" + bytes(8) + b"\1SSH-2.0-OpenSSH\r\n"


WORDS = (
    *(b"Event: ", b"Response: ", b"ActionID: OUR-ID", SEPARATOR, b"AudioSocket", b"Uniqueid: ", b"Newexten"),
    *(b"Application: ", b"AppData: ", b"Channel: ", b"BridgeId: ", str(CALL).encode(), b"Variable: "),
)

TARGETS = (
    Target("ami", check, messages, WORDS),
    Target("ami-text", check_text, lambda: (b"M\xfcller\r\n\xc3", "Müller\\n".encode())),
    Target(
        "ami-actions", check_action, lambda: (b"\0\0\0\0\5\0abcde", b"\1\0\1\3abc\2\r\n"), max_bytes=1_500
    ),
)
