"""A manager interface that answers as Asterisk 22 does, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import md5

from pydantic import SecretStr

from audiosocket_gw.ami.address import AmiAddress
from audiosocket_gw.ami.client import AmiTiming
from audiosocket_gw.ami.registry import Headers
from tests.harness.waiting import until

USERNAME = "gateway"
PASSWORD = "secret"
CHALLENGE = "618842693"

TIMING = AmiTiming(
    connect_s=5,
    action_s=5,
    ping_interval_s=60,
    ping_deadline_s=5,
    first_retry_s=0.02,
    max_retry_s=0.05,
    refused_retry_s=0.02,
)
"""Patient where nothing should fail, and quick to try again."""

DENIED = "Response: Error\nMessage: Permission denied"


class FakeAsterisk:
    """Takes actions; what it answers to each can be changed while it runs.

    ``replies`` are the messages for an action, without their ActionID; ``unanswered`` get none; ``cut_at``
    break the connection; ``slow`` take so many seconds, and what comes behind them waits. ``channels`` are
    those that are up: their `Status`, by name. ``variables`` are all channels', ``set_on`` those set since,
    by channel and name; ``has_functions`` lets REPLACE() and CALLERID() be there.
    """

    def __init__(self) -> None:
        self.port = 0
        self.received: list[Headers] = []
        self.replies: dict[str, str] = {"Filter": DENIED}
        self.unanswered: set[str] = set()
        self.cut_at: set[str] = set()
        self.slow: dict[str, float] = {}
        self.channels: dict[str, dict[str, str]] = {}
        self.variables: dict[str, str] = {}
        self.set_on: dict[tuple[str, str], str] = {}
        self.has_functions = False
        self.greeting = b"Asterisk Call Manager/11.0.0\r\n"
        self.logins = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> AmiAddress:
        return AmiAddress("127.0.0.1", USERNAME, SecretStr(PASSWORD), port=self.port)

    async def start(self, ssl_context: ssl.SSLContext | None = None) -> None:
        """Listen, at the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=ssl_context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and break every connection."""
        assert self._server is not None
        self._server.close()
        self.break_connections()
        while self._writers:
            await asyncio.sleep(0.01)
        await self._server.wait_closed()

    def break_connections(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def say(self, *messages: str) -> None:
        """Send messages to every client."""
        self.say_bytes(b"".join(_wire(message) for message in messages))

    def say_bytes(self, data: bytes) -> None:
        for writer in self._writers:
            writer.write(data)

    @property
    def unsent(self) -> int:
        """The bytes that clients have not read yet."""
        return sum(writer.transport.get_write_buffer_size() for writer in self._writers)

    def actions(self, name: str) -> list[Headers]:
        """Return the actions of this name that came in so far."""
        return [action for action in self.received if action["Action"] == name]

    async def came(self, name: str, count: int = 1) -> Headers:
        """Wait for the ``count``-th action of this name."""
        actions = await until(
            lambda: self.actions(name),
            lambda actions: len(actions) >= count,
            show=lambda _: str([action["Action"] for action in self.received]),
        )
        return actions[count - 1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        writer.write(self.greeting)
        try:
            while True:
                block = (await reader.readuntil(b"\r\n\r\n")).decode()
                action = dict(line.split(": ", 1) for line in block.removesuffix("\r\n\r\n").split("\r\n"))
                self.received.append(action)
                await asyncio.sleep(self.slow.get(action["Action"], 0))
                self._carry_out(action, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _carry_out(self, action: Headers, writer: asyncio.StreamWriter) -> None:
        name = action["Action"]
        if name in self.cut_at:
            writer.transport.abort()
        elif name not in self.unanswered:
            reply = self.replies.get(name) or self._reply(name, action)
            for message in reply.split("\n\n"):
                writer.write(_wire(f"{message}\nActionID: {action['ActionID']}"))

    def _reply(self, name: str, action: Headers) -> str:
        match name:
            case "Challenge":
                return f"Response: Success\nChallenge: {CHALLENGE}"
            case "Login":
                return self._login(action)
            case "CoreShowChannels":
                rows = [_text({"Event": "CoreShowChannel", **row}) for row in self.channels.values()]
                return _list(rows, "CoreShowChannels")
            case "Status":
                channel = self.channels.get(action["Channel"])
                if channel is None:
                    return "Response: Error\nMessage: No such channel"
                data = channel.get("ApplicationData", "")
                names = re.findall(r"[^,(]+(?:\(.*?\))?(?=,|$)", action.get("Variables", ""))
                lines = "".join(f"\nVariable: {self._answered(action['Channel'], name)}" for name in names)
                return _list([_text({"Event": "Status", **channel, "Data": data}) + lines], "Status")
            case "Setvar":
                if action["Channel"] not in self.channels:
                    return "Response: Error\nMessage: No such channel"
                self.set_on[action["Channel"], action["Variable"]] = action["Value"]
                return "Response: Success"
            case "Getvar" if self.has_functions:
                known = {"LEN(abc)": "3", "CALLERID(num-pres)": "allowed_not_screened"}
                return f"Response: Success\nValue: {known.get(action['Variable'], '')}"
            case _:
                return "Response: Success"

    def _answered(self, channel: str, question: str) -> str:
        """Answer what a `Status` asks for, ``NAME`` or ``REPLACE(NAME,\\\\r)``, in Asterisk's words."""
        question = question.replace("\\\\", "\\")
        function = re.fullmatch(r"REPLACE\((.*),\\\\r\)", question)
        if function is None:
            known = self.set_on.get((channel, question)) or self.variables.get(question, "(null)")
            return f"{question}={_raw(known)}"
        value = self.variables.get(function[1], "").replace("\r", "").encode()[:511]
        return f"{question}={_raw(value.decode(errors='surrogateescape'))}"

    def _login(self, action: Headers) -> str:
        key = md5(f"{CHALLENGE}{PASSWORD}".encode(), usedforsecurity=False).hexdigest()
        if action["Username"] == USERNAME and (action.get("Key") == key or action.get("Secret") == PASSWORD):
            self.logins += 1
            return "Response: Success\nMessage: Authentication accepted"
        return "Response: Error\nMessage: Authentication failed"


def _text(headers: Headers) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def _list(rows: list[str], name: str) -> str:
    start = "Response: Success\nEventList: start\nMessage: They will follow"
    return "\n\n".join([start, *rows, f"Event: {name}Complete\nEventList: Complete\nListItems: {len(rows)}"])


_LF = "\ue00a"
"""Stands for a line feed in a value, which Asterisk writes as it is."""


def _raw(value: str) -> str:
    return value.replace("\n", _LF)


def _wire(message: str) -> bytes:
    lines = message.replace("\n", "\r\n").replace(_LF, "\n")
    return lines.encode(errors="surrogateescape") + b"\r\n\r\n"


@asynccontextmanager
async def fake_asterisk() -> AsyncIterator[FakeAsterisk]:
    fake = FakeAsterisk()
    await fake.start()
    try:
        yield fake
    finally:
        await fake.stop()
