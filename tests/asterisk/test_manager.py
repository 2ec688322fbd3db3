"""The shipped manager.conf: its user can do what the gateway needs, and little else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from tests.asterisk.lab import AMI_PASSWORD, Lab
from tests.asterisk.release import FILTERS_BY_HEADER
from tests.harness.gateway_peer import answering, silence

pytestmark = pytest.mark.asterisk

Message = dict[str, str]


class Session:
    """A bare AMI session: enough to see what Asterisk sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = count(1)
        self.events: list[Message] = []
        self.event_bytes = 0

    async def action(self, name: str, **fields: str) -> Message:
        """Send an action and return its response; events on the way are kept."""
        lines = {"Action": name, "ActionID": str(next(self._numbers)), **fields}
        self._writer.write("".join(f"{key}: {value}\r\n" for key, value in lines.items()).encode() + b"\r\n")
        while True:
            message = await self._receive()
            if "Event" not in message and message["ActionID"] == lines["ActionID"]:
                return message
            self._keep(message)

    async def event(self, name: str, **fields: str) -> Message:
        """Wait for an event with these fields; those on the way are kept."""
        while True:
            message = await self._receive()
            self._keep(message)
            if message.items() >= {"Event": name, **fields}.items():
                return message

    def _keep(self, event: Message) -> None:
        self.events.append(event)
        self.event_bytes += sum(len(f"{key}: {value}\r\n") for key, value in event.items()) + 2

    async def _receive(self) -> Message:
        block = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        return dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)


@asynccontextmanager
async def session(
    lab: Lab, password: str = AMI_PASSWORD, user: str = "gateway"
) -> AsyncIterator[tuple[Session, Message]]:
    """Log in; yields the session and Asterisk's answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.ports.ami)
    try:
        await reader.readline()
        ami = Session(reader, writer)
        yield ami, await ami.action("Login", Username=user, Secret=password)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_wrong_password_is_refused(lab: Lab) -> None:
    async with session(lab, "change-me") as (_, answer):
        assert answer["Response"] == "Error"


@pytest.mark.parametrize(("extension", "application"), [("5001", "TryExec"), ("5002", "Dial")])
async def test_call_is_announced_with_its_uuid(lab: Lab, extension: str, application: str) -> None:
    async with (
        answering(lab.ports.gateway, silence) as lines,
        session(lab) as (ami, answer),
        lab.call(extension, "silent"),
    ):
        assert answer["Response"] == "Success"
        event = await ami.event("Newexten", Application=application)
        line = await lines.get()
        await line.identified()
    assert str(line.uuid) in event["AppData"]
    assert event["Channel"].startswith(f"Local/{extension}@phones")


async def test_call_is_found_redirected_and_hung_up(lab: Lab) -> None:
    async with (
        answering(lab.ports.gateway, silence) as lines,
        session(lab) as (ami, _),
        lab.call("5001", "silent") as watch,
    ):
        channel = (await ami.event("Newexten", Application="TryExec"))["Channel"]
        line = await lines.get()
        await line.identified()
        assert (await ami.action("Status", Channel=channel))["Response"] == "Success"
        known = await ami.event("Status", Channel=channel)
        # The event says TryExec, the status AudioSocket: both are true of this call.
        assert (known["Application"], known["Data"].split(",")[0]) == ("AudioSocket", str(line.uuid))

        exists = {"Channel": channel, "Variable": "DIALPLAN_EXISTS(transfer-targets,601,1)"}
        assert (await ami.action("Getvar", **exists))["Value"] == "1"
        target = {"Context": "transfer-targets", "Exten": "601", "Priority": "1"}
        assert (await ami.action("Redirect", Channel=channel, **target))["Response"] == "Success"
        await line.ended.wait()
        await watch.logged(r"Executing \[601@transfer-targets:1\]")

        assert (await ami.action("Hangup", Channel=channel, Cause="16"))["Response"] == "Success"
        while (await ami.action("Status", Channel=channel))["Message"] != "No such channel":
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "user", ["gateway", "older-filters", pytest.param("newer-filters", marks=FILTERS_BY_HEADER)]
)
@pytest.mark.parametrize(("extension", "application"), [("5001", "TryExec"), ("5002", "Dial")])
async def test_other_events_are_cut_at_the_source(
    lab: Lab, user: str, extension: str, application: str
) -> None:
    """Whichever form of the filters this Asterisk knows, and with both."""
    async with (
        answering(lab.ports.gateway, silence) as lines,
        session(lab, user=user) as (ami, _),
        lab.watch() as watch,
    ):
        for _ in range(10):
            await lab.originate("uuids", "silent")
        await lab.originate(extension, "tone")
        await (await lines.get()).frames_received(50)
        originate = {"Channel": "Local/uuids@phones", "Application": "Wait", "Data": "9", "Async": "true"}
        for action_id in ("somebody-1", "audiosocket-gw-1"):
            queued = await ami.action("Originate", **originate, ActionID=action_id)
            assert queued["Response"] == "Success"
        await ami.event("OriginateResponse", ActionID="audiosocket-gw-1")
        while watch.log().count('"UUID ') < 1_200:
            await asyncio.sleep(0.1)
        await lab.hang_up_all()
        await ami.action("Ping")  # all events before it have arrived
    kinds = [(event["Event"], event.get("Application")) for event in ami.events]
    own = [("Newexten", application), ("OriginateResponse", "Wait")]
    assert [kind for kind in kinds if kind != ("FullyBooted", None)] == own
    print(f"{user}: {ami.event_bytes} bytes")


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("Command", {"Command": "core show version"}),
        ("GetConfig", {"Filename": "manager.conf"}),
        ("UpdateConfig", {"SrcFilename": "manager.conf", "DstFilename": "manager.conf"}),
        ("ModuleLoad", {"Module": "app_system.so", "LoadType": "load"}),
        ("Reload", {}),
        ("Filter", {"Operation": "Add", "Filter": "Event: .*"}),
        ("DBPut", {"Family": "x", "Key": "y", "Val": "z"}),
    ],
)
async def test_user_can_not_touch_the_pbx(lab: Lab, action: str, fields: Message) -> None:
    async with session(lab) as (ami, _):
        answer = await ami.action(action, **fields)
    assert answer["Response"] == "Error"
    assert "Permission denied" in answer["Message"]


async def test_originate_can_not_run_a_program(lab: Lab) -> None:
    async with session(lab) as (ami, _):
        fields = {"Channel": "Local/601@phones", "Application": "System", "Data": "true"}
        assert (await ami.action("Originate", **fields))["Response"] == "Error"
