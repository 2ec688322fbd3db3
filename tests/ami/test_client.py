"""The connection to Asterisk's manager interface, and everything that can go wrong with it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from panoramisk.actions import Action  # type: ignore[import-untyped]
from pydantic import SecretStr

from audiosocket_gw.ami import connection as connection_module
from audiosocket_gw.ami.address import AmiAddress
from audiosocket_gw.ami.client import AmiClient, AmiTiming
from audiosocket_gw.ami.connection import ACTION_ID_PREFIX, TURN_BUDGET, AmiActionError, AmiConnection
from audiosocket_gw.ami.framing import GREETING, MAX_MESSAGE_BYTES
from audiosocket_gw.ami.outcome import ActionOutcome
from audiosocket_gw.ami.registry import Headers
from audiosocket_gw.errors import ControlError, LocalProtocolError
from audiosocket_gw.log.limit import RateLimit, Topic
from tests.ami.recorded import CALL
from tests.harness.fake_asterisk import DENIED, PASSWORD, TIMING, FakeAsterisk, fake_asterisk
from tests.harness.waiting import until

pytestmark = pytest.mark.virtual_time

NEWEXTEN = (
    "Event: Newexten\nChannel: PJSIP/1-1\nUniqueid: 1.1\nApplication: AudioSocket\n"
    f"AppData: {CALL},127.0.0.1:5001"
)
UP = {
    "Channel": "PJSIP/1-1",
    "Uniqueid": "1.1",
    "Application": "AudioSocket",
    "ApplicationData": f"{CALL},127.0.0.1:5001",
}


async def connected(client: AmiClient) -> None:
    while not client.connected:
        await client.wait_for_update()


async def disconnected(client: AmiClient) -> None:
    while client.connected:
        await client.wait_for_update()


@asynccontextmanager
async def connection(fake: FakeAsterisk, timing: AmiTiming = TIMING) -> AsyncIterator[AmiClient]:
    async with AmiClient(fake.address, timing) as client:
        await connected(client)
        yield client


async def test_action_is_answered() -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.replies["Getvar"] = "Response: Success\nVariable: X\nValue: 1"
        answer = await client.perform("Getvar", {"Variable": "X"})
        assert answer.headers["Value"] == "1"
        assert fake.actions("Getvar")[-1]["Variable"] == "X"
        assert client.peer_host == "127.0.0.1"


async def test_events_are_off_until_they_are_filtered() -> None:
    async with fake_asterisk() as fake, connection(fake):
        names = [action["Action"] for action in fake.received]
        assert names == [
            *("Login", "Filter", "Events", "Getvar", "Getvar", "CoreSettings", "CoreShowChannels")
        ]
        assert fake.actions("Login")[0]["Events"] == "off"
        assert fake.actions("Events")[0]["EventMask"] == "call,dialplan"


async def test_own_filters_where_they_are_allowed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with fake_asterisk() as fake:
        del fake.replies["Filter"]
        async with connection(fake):
            assert len(fake.actions("Filter")) == 3
    assert "limited by the filters of this connection" in caplog.text


async def test_list_is_read_to_its_end() -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.channels = {str(number): {"Channel": str(number)} for number in range(100)}
        answer = await client.perform("CoreShowChannels", {})
        assert [row.get("Channel") for row in answer.rows[:-1]] == list(fake.channels)


async def test_answers_find_their_actions() -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.unanswered = {"A", "B"}
        answers = [asyncio.ensure_future(client.perform(name, {})) for name in ("A", "B")]
        second = (await fake.came("B"))["ActionID"]
        first = (await fake.came("A"))["ActionID"]
        fake.say(
            f"Response: Success\nActionID: {second}\nValue: b",
            f"Response: Success\nActionID: {first}\nValue: a",
        )
        assert [answer.headers["Value"] for answer in await asyncio.gather(*answers)] == ["a", "b"]


async def test_repeated_header_keeps_all_its_values() -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.replies["Status"] = "Response: Success\nVariable: A=1\nVariable: B=2"
        assert (await client.perform("Status", {})).headers["Variable"] == "A=1\r\nB=2"


async def test_refusal_is_in_asterisks_words() -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.replies["Originate"] = "Response: Error\nMessage: Permission denied"
        with pytest.raises(
            AmiActionError, match=r"rejected Originate: Permission denied .*needs write=originate"
        ):
            await client.perform("Originate", {})


async def test_what_became_of_each_action_is_reported() -> None:
    seen: list[tuple[str, ActionOutcome]] = []

    def count(name: str, outcome: ActionOutcome, seconds: float) -> None:
        assert 0 <= seconds < 60
        seen.append((name, outcome))

    async with fake_asterisk() as fake, AmiClient(fake.address, TIMING, count) as client:
        await connected(client)
        assert seen[0] == ("Login", ActionOutcome.OK)
        assert ("Filter", ActionOutcome.REJECTED) in seen
        seen.clear()
        fake.replies["Getvar"] = "Response: Success"
        await client.perform("Getvar", {})
        fake.replies["Redirect"] = "Response: Error\nMessage: Channel does not exist: PJSIP/1"
        with pytest.raises(AmiActionError):
            await client.perform("Redirect", {})
        fake.unanswered = {"Hangup"}
        with pytest.raises(ControlError, match="no answer"):
            await client.perform("Hangup", {}, 0.01)
        fake.cut_at = {"Status"}
        with pytest.raises(ControlError, match="unanswered"):
            await client.perform("Status", {})
    assert [found for found in seen if found[0] in ("Getvar", "Redirect", "Hangup", "Status")] == [
        ("Getvar", ActionOutcome.OK),
        ("Redirect", ActionOutcome.REJECTED),
        ("Hangup", ActionOutcome.TIMED_OUT),
        ("Status", ActionOutcome.LOST),
    ]


# What is lost


async def test_not_connected_fails_at_once() -> None:
    client = AmiClient(AmiAddress("127.0.0.1", "gateway", SecretStr(PASSWORD), port=1), TIMING)
    with pytest.raises(ControlError, match=r"Redirect: not connected .*127\.0\.0\.1:1"):
        await client.perform("Redirect", {})


async def test_starts_without_asterisk_and_connects_when_it_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with fake_asterisk() as fake:
        await fake.stop()
        async with AmiClient(fake.address, TIMING) as client:
            await asyncio.sleep(0.3)
            assert not client.connected
            await fake.start()
            await connected(client)
    assert caplog.text.count("no connection to Asterisk's manager interface (AMI_HOST)") == 1


async def test_each_reason_for_no_connection_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def comes(reason: str) -> None:
        await until(lambda: caplog.text, lambda log: reason in log)

    async with fake_asterisk() as fake:
        await fake.stop()
        async with AmiClient(fake.address, TIMING) as client:
            await comes("Connect call failed")
            right, fake.greeting = fake.greeting, b"SSH-2.0\r\n"
            await fake.start()
            await comes("not an Asterisk manager")
            await asyncio.sleep(0.3)
            assert len(caplog.records) == 2
            fake.greeting = right
            await connected(client)
            await fake.stop()
            caplog.clear()
            await comes("Connect call failed")


async def test_deadline_of_an_action() -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.unanswered = {"Redirect"}
        with pytest.raises(ControlError, match=r"Redirect: no answer from Asterisk in 0\.1 s"):
            await client.perform("Redirect", {}, 0.1)
        late = fake.actions("Redirect")[0]["ActionID"]
        fake.say(f"Response: Success\nActionID: {late}")
        assert (await client.perform("Ping", {})).headers["Response"] == "Success"


async def test_nothing_is_replayed_after_a_reconnect() -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.unanswered = {"Redirect", "Hangup"}
        pending = [asyncio.ensure_future(client.perform(name, {})) for name in ("Redirect", "Hangup")]
        await fake.came("Redirect")
        await fake.came("Hangup")
        fake.break_connections()
        for action in pending:
            with pytest.raises(ControlError, match="unanswered, "):
                await action
        await disconnected(client)
        with pytest.raises(ControlError, match="Redirect: not connected"):
            await client.perform("Redirect", {})
        await connected(client)
        await client.perform("Ping", {})
        assert fake.logins == 2
        assert len(fake.actions("Redirect")) == len(fake.actions("Hangup")) == 1


async def test_cut_in_mid_action() -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.cut_at = {"Redirect"}
        with pytest.raises(ControlError, match="Redirect: unanswered, "):
            await client.perform("Redirect", {})


async def test_cut_in_mid_message() -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.say_bytes(b"Event: Newexten\r\nChan")
        began = client.lost_at
        fake.break_connections()
        await disconnected(client)
        await connected(client)
        assert client.lost_at > began
        assert (await client.perform("Ping", {})).headers["Response"] == "Success"


async def test_half_open_connection_is_noticed() -> None:
    timing = replace(TIMING, ping_interval_s=0.05, ping_deadline_s=0.2)
    async with fake_asterisk() as fake, connection(fake, timing) as client:
        fake.unanswered = {"Ping", "Redirect"}
        redirect = asyncio.ensure_future(client.perform("Redirect", {}, 30))
        with pytest.raises(ControlError, match="unanswered, it is dead: Ping: no answer"):
            await redirect
        fake.unanswered = set()
        await connected(client)
        assert len(fake.actions("Redirect")) == 1


async def test_server_that_accepts_and_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = AmiAddress("127.0.0.1", "gateway", SecretStr(PASSWORD), port=listener.getsockname()[1])
        async with AmiClient(address, replace(TIMING, action_s=0.05)) as client:
            await asyncio.sleep(0.3)
            assert not client.connected


# Who we are


async def test_wrong_password_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    async with fake_asterisk() as fake:
        wrong = replace(fake.address, password=SecretStr("not-it"))
        async with AmiClient(wrong, TIMING) as client:
            await fake.came("Login", 3)
            assert not client.connected
    reports = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(reports) == 1
    message = reports[0].getMessage()
    assert "AMI_USERNAME and AMI_PASSWORD" in message
    assert "Authentication failed" in message
    assert "not-it" not in caplog.text


async def test_password_does_not_show() -> None:
    assert PASSWORD not in repr(AmiAddress("127.0.0.1", "gateway", SecretStr(PASSWORD)))


async def test_challenge_keeps_the_password_off_the_wire() -> None:
    async with fake_asterisk() as fake:
        async with AmiClient(replace(fake.address, md5=True), TIMING) as client:
            await connected(client)
        assert "Secret" not in fake.actions("Login")[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("no openssl to make a certificate")
    directory = tmp_path_factory.mktemp("tls")
    made, key = directory / "cert.pem", directory / "key.pem"
    command = (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([openssl, *command.split(), "-keyout", key, "-out", made], check=True, capture_output=True)
    return made, key


async def test_tls(certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(*certificate)
    fake = FakeAsterisk()
    await fake.start(server)
    # The server's side of a handshake that the client refuses is an error of the server's loop.
    asyncio.get_running_loop().set_exception_handler(None)
    trusting = replace(fake.address, tls=True, tls_ca_file=certificate[0])
    async with AmiClient(trusting, TIMING) as client:
        await connected(client)
        assert (await client.perform("Ping", {})).headers["Response"] == "Success"
    async with AmiClient(replace(fake.address, tls=True), TIMING) as client:
        # And no longer: a connection that the server has just accepted when its loop ends stays open.
        await until(lambda: caplog.text, lambda log: "certificate verify failed" in log)
        assert not client.connected
    await fake.stop()


# What is sent


@pytest.mark.parametrize(
    "values",
    [
        {"Exten": "600\r\nAction: Originate"},
        {"Exten": "600\n"},
        {"Exten": "600\r"},
        {"Exten": "6\x0000"},
        {"Variable": ["A=1", "B=2\r\nC: 3"]},
        {"Exten\r\nAction": "Originate"},
        {"Exten: 600": "x"},
        {"": "x"},
        {"Exten": "\ud800"},
        {"Value": "x" * 1_000},
    ],
)
async def test_bad_header_is_never_sent(values: dict[str, str | list[str]]) -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        with pytest.raises(LocalProtocolError):
            await client.perform("Redirect", values)
        await client.perform("Ping", {})
        assert not fake.actions("Redirect")


def test_panoramisk_by_itself_would_send_it() -> None:
    async def injected() -> str:
        return str(Action({"Action": "Redirect", "Exten": "600\r\nInjected: yes"}))

    assert "\r\nInjected: yes\r\n" in asyncio.run(injected())


# What is received


async def test_calls_that_are_up_are_known_after_connecting() -> None:
    async with fake_asterisk() as fake:
        fake.channels = {"PJSIP/1-1": UP}
        async with connection(fake) as client:
            while client.registry.channel_of(CALL) is None:
                await client.wait_for_update()
            fake.channels = {}
            fake.break_connections()
            await disconnected(client)
            await connected(client)
            await fake.came("CoreShowChannels", 2)
            await client.perform("Ping", {})
            assert client.registry.channel_of(CALL) is None


async def test_user_that_may_not_list_the_channels(caplog: pytest.LogCaptureFixture) -> None:
    async with fake_asterisk() as fake:
        fake.replies["CoreShowChannels"] = DENIED
        async with connection(fake) as client:
            await fake.came("CoreShowChannels")
            assert (await client.perform("Ping", {})).headers["Response"] == "Success"
            assert client.connected
    assert "can't be found: Asterisk rejected CoreShowChannels: Permission denied" in caplog.text
    assert "needs write=reporting" in caplog.text


async def test_list_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MAX_ANSWER_BYTES", 2**20)
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.channels = {str(number): {"Channel": str(number)} for number in range(5_000)}
        with pytest.raises(ControlError, match="CoreShowChannels: an answer of more than 1 MiB"):
            await client.perform("CoreShowChannels", {})
        assert (await client.perform("Ping", {})).headers["Response"] == "Success"


async def test_asterisk_that_reads_nothing_is_told_nothing() -> None:
    class Full(_Wire):
        def get_write_buffer_size(self) -> int:
            return 1_000_000

    connection = AmiConnection(lambda event: None)
    connection.connection_made(Full())
    with pytest.raises(ControlError, match="Redirect: Asterisk doesn't read"):
        await connection.perform("Redirect", {}, 5)
    connection.connection_lost(None)
    with pytest.raises(ControlError, match="Redirect: Asterisk closed the connection"):
        await connection.perform("Redirect", {}, 5)


async def test_event_is_news() -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.say(NEWEXTEN)
        while client.registry.channel_of(CALL) is None:
            await client.wait_for_update()


async def test_garbage_is_passed_over() -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.say_bytes(b"\x00\xff: \xfe\r\n\r\n\r\n\r\n: \r\n\r\nEvent\r\n\r\nResponse: Success\r\n\r\n")
        fake.say("Event: A\nEvent: B\nActionID: x", "Response: Success\nActionID: never-asked", NEWEXTEN)
        while client.registry.channel_of(CALL) is None:
            await client.wait_for_update()


@pytest.mark.parametrize("data", [b"x" * (MAX_MESSAGE_BYTES + 1), b"Event: A\r\n" * 10_000])
async def test_endless_message_ends_the_connection(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        fake.say_bytes(data)
        await disconnected(client)
        await connected(client)
    assert f"a message of more than {MAX_MESSAGE_BYTES} bytes" in caplog.text


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH\r\n", b"Asterisk?"]
)
async def test_server_that_is_no_asterisk(greeting: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with fake_asterisk() as fake:
        fake.greeting = greeting
        async with AmiClient(fake.address, TIMING):
            await until(lambda: caplog.text, lambda log: "not an Asterisk manager" in log)


@given(st.data())
def test_messages_may_be_cut_anywhere(data: st.DataObject) -> None:
    """One stream, in any pieces, tells the same."""

    async def received(pieces: list[bytes]) -> list[object]:
        events: list[object] = []
        connection = AmiConnection(events.append)
        for piece in pieces:
            connection.data_received(piece)
        return events

    text = f"Asterisk Call Manager/11.0.0\r\n{NEWEXTEN}\n\nEvent: Hangup\nName: Jürgen ☎\n\nEvent: X\n\n"
    stream = text.replace("\r\n", "\n").replace("\n", "\r\n").encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert asyncio.run(received(pieces)) == asyncio.run(received([stream]))


class _Wire(asyncio.Transport):
    """Takes everything, sends nothing."""

    def write(self, data: object) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None: ...


LINES = [
    "Response: Success",
    "Response: Error",
    "Response: Follows",
    "Response: Fail",
    "Event: StatusComplete",
    "Event: OriginateResponse",
    "Event: Newexten",
    "EventList: start",
    "Message: Originate successfully queued",
    "Message: will follow",
    "SubEvent: Start",
    f"ActionID: {ACTION_ID_PREFIX}1",
    "Result: %",
    "",
]


@example(["Response: Success", LINES[8], LINES[11]])
@given(st.lists(st.one_of(st.sampled_from(LINES), st.text(max_size=9)), max_size=40))
def test_anything_may_come_in(lines: list[str]) -> None:
    async def receive() -> None:
        connection = AmiConnection(lambda event: None)
        connection.connection_made(_Wire())
        connection.data_received(b"Asterisk Call Manager/11.0.0\r\n")
        pending = asyncio.ensure_future(connection.perform("Status", {}, 30))
        await asyncio.sleep(0)
        connection.data_received("\r\n".join(lines).encode() + b"\r\n\r\n")
        connection.connection_lost(None)
        with suppress(ControlError):
            await pending

    asyncio.run(receive())


async def test_password_that_cannot_be_sent_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async with fake_asterisk() as fake:
        impossible = replace(fake.address, password=SecretStr("se\ncret"))
        async with AmiClient(impossible, TIMING):
            await until(lambda: caplog.text, lambda log: "CR, LF or NUL" in log)
    assert "ncret" not in caplog.text
    assert not fake.received


async def test_flood_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    async with fake_asterisk() as fake, connection(fake) as client:
        for number in range(30):
            fake.say(*[f"Event: Newexten\nUniqueid: {number}\nApplication: NoOp\nAppData: x"] * 100)
        last = uuid4()
        fake.say(NEWEXTEN.replace(str(CALL), str(last)))
        while client.registry.channel_of(last) is None:
            await client.wait_for_update()
    assert caplog.text.count("Asterisk sends the events of all calls") == 1


class _Paused(_Wire):
    """Counts how often reading was paused and resumed."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses = self.resumes = 0

    def pause_reading(self) -> None:
        self.pauses += 1

    def resume_reading(self) -> None:
        self.resumes += 1


@pytest.mark.parametrize(
    "event",
    [
        b"Event: x\r\n\r\n",
        b"Event: Hangup\r\n\r\n",
        b"\r\n\r\n",
        b"Event: Newexten\r\nAppData: AudioSocket\r\n\r\n",
    ],
)
async def test_flood_takes_little_of_each_turn(event: bytes) -> None:
    """All of it is read, in order, and nothing more from the network meanwhile."""
    events: list[Headers] = []
    connection = AmiConnection(events.append)
    wire = _Paused()
    connection.connection_made(wire)
    connection.data_received(GREETING + b"11.0.0\r\n")
    pong = asyncio.ensure_future(connection.perform("Ping", {}, 30))
    await asyncio.sleep(0)
    count = 262_144 // len(event)
    answer = f"Response: Success\r\nActionID: {next(iter(connection._pending))}\r\n\r\n"
    connection.data_received(event * count + answer.encode())
    handled = [len(events)]
    while not wire.resumes:
        assert wire.pauses == 1
        assert not pong.done()
        await asyncio.sleep(0)
        handled.append(len(events))
    assert max(after - before for before, after in pairwise(handled)) <= TURN_BUDGET
    assert handled[0] <= TURN_BUDGET
    assert len(events) == (count if event.strip() else 0)
    assert (await pong).headers["Response"] == "Success"


async def test_nothing_of_a_flood_is_told_after_the_connection_is_lost() -> None:
    events: list[Headers] = []
    connection = AmiConnection(events.append)
    connection.connection_made(_Paused())
    connection.data_received(GREETING + b"11.0.0\r\n" + b"Event: x\r\n\r\n" * 10_000)
    told = len(events)
    connection.connection_lost(None)
    await asyncio.sleep(0.1)
    assert len(events) == told


async def test_late_pong_behind_a_flood_is_no_lost_connection(caplog: pytest.LogCaptureFixture) -> None:
    timing = replace(TIMING, ping_interval_s=1, ping_deadline_s=1)
    async with fake_asterisk() as fake, connection(fake, timing) as client:
        fake.unanswered.add("Ping")
        for _ in range(20):
            fake.say("Event: x")
            await asyncio.sleep(0.5)
        assert fake.logins == 1
        assert client.connected
        await disconnected(client)
    assert "Ping: no answer from Asterisk in 1 s" in caplog.text


# Asterisk stops


SHUTTING_DOWN = "Response: Error\nMessage: Asterisk is shutting down"


@pytest.mark.parametrize("action", ["Login", "Ping"])
async def test_asterisk_that_stops_is_no_matter_of_the_password(
    action: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_asterisk() as fake:
        fake.replies[action] = SHUTTING_DOWN
        async with AmiClient(
            fake.address, replace(TIMING, ping_interval_s=0.05, refused_retry_s=600)
        ) as client:
            await until(lambda: caplog.text, lambda log: "Asterisk is shutting down" in log)
            del fake.replies[action]
            await connected(client)
    assert "AMI_PASSWORD" not in caplog.text
    assert "no connection to Asterisk's manager interface" in caplog.text


async def test_wrong_password_names_the_settings(caplog: pytest.LogCaptureFixture) -> None:
    async with fake_asterisk() as fake, AmiClient(replace(fake.address, password=SecretStr("x")), TIMING):
        await fake.came("Login", 2)
    assert "rejected the login (Authentication failed): set AMI_USERNAME and AMI_PASSWORD" in caplog.text


# The release


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("20.9.3", ["this is Asterisk 20.9.3, with which: DTMF keys don't arrive", "UUID()"]),
        ("22.10.1+dfsg-1", []),
    ],
)
async def test_release_is_warned_of_once(
    version: str, words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_asterisk() as fake:
        fake.replies["CoreSettings"] = f"Response: Success\nAsteriskVersion: {version}"
        async with connection(fake) as client:
            await fake.came("CoreSettings")
            fake.break_connections()
            await disconnected(client)
            await connected(client)
            await fake.came("CoreSettings", 2)
            await client.perform("Ping", {})
    warnings = [record.getMessage() for record in caplog.records if "this is Asterisk" in record.getMessage()]
    assert len(warnings) == bool(words)
    assert all(word in warnings[0] for word in words)


async def test_a_user_who_may_not_ask_for_the_release_stays_connected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with fake_asterisk() as fake:
        fake.replies["CoreSettings"] = fake.replies["Getvar"] = DENIED
        async with connection(fake) as client:
            await fake.came("CoreSettings")
            await client.perform("Ping", {})
            assert fake.logins == 1
    assert "this is Asterisk" not in caplog.text


async def test_a_connection_that_comes_and_goes_is_logged_once_in_a_window(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="audiosocket_gw.ami")
    async with fake_asterisk() as fake, connection(fake) as client:
        for _ in range(5):
            fake.break_connections()
            await disconnected(client)
            await connected(client)
    limit = RateLimit()
    flaps = [record for record in caplog.records if "manager interface" in record.message]
    assert len(flaps) == 1 + 2 * 5
    about = {vars(record)["about"] for record in flaps}
    assert about == {str(fake.address)}, "each PBX has its own lines"
    shown = []
    for record in flaps:
        extra = vars(record)
        topic = Topic(record.name, record.levelno, str(record.msg), extra["about"])
        if limit.accepts(topic, 0.0, extra["burst"]):
            shown.append(record.levelno)
    assert shown == [logging.INFO, logging.WARNING]
