"""Attacks by Asterisk's manager interface, and on it."""

from __future__ import annotations

import asyncio

from tests.chaos.attack import Target, attack, together
from tests.harness.fake_asterisk import FakeAsterisk

DOOR = "AMI"

SLICE = 65_536
AHEAD = 4 * 2**20


def put_up_channels(pbx: FakeAsterisk, count: int) -> None:
    """Let Asterisk have so many channels, none of them in a call of the gateway."""
    for number in range(count):
        name = f"PJSIP/1001-{number:08x}"
        pbx.channels[name] = {
            "Channel": name,
            "ChannelState": "6",
            "CallerIDNum": "1001",
            "Application": "Dial",
            "ApplicationData": "PJSIP/2000,30,g",
            "Uniqueid": f"1764000000.{number}",
            "Linkedid": f"1764000000.{number}",
        }


async def flood(target: Target, event: bytes) -> None:
    """Send the event as fast as it is read."""
    many = event * (SLICE // len(event) or 1)
    logins = target.pbx.logins
    try:
        while True:
            if target.pbx.unsent < AHEAD:
                target.pbx.say_bytes(many)
            await asyncio.sleep(0.001)
    finally:
        if target.pbx.logins > logins:
            target.faults.append("the gateway lost its connection to Asterisk's manager interface")


@attack(
    DOOR, "events of 12 bytes without end", before="held up 505 ms; 22 frames/s; AMI lost", needs_pbx=True
)
async def tiny_events(target: Target) -> None:
    await flood(target, b"Event: X\r\n\r\n")


@attack(DOOR, "Newexten events without end", before="held up 123 ms", needs_pbx=True)
async def newexten_events(target: Target) -> None:
    lines = [
        *("Event: Newexten", "Privilege: dialplan,all", "Channel: PJSIP/1001-00000001", "ChannelState: 6"),
        *("ChannelStateDesc: Up", "CallerIDNum: 1001", "CallerIDName: Alice", "Context: phones"),
        *("Exten: 5001", "Priority: 1", "Uniqueid: 1764000000.1", "Linkedid: 1764000000.1"),
        *("Extension: 5001", "Application: NoOp", "AppData: a line of the dialplan"),
    ]
    await flood(target, ("\r\n".join(lines) + "\r\n\r\n").encode())


@attack(DOOR, "events of 60 KB without end", before="held", needs_pbx=True)
async def large_events(target: Target) -> None:
    await flood(target, b"Event: X\r\nText: " + b"x" * 60_000 + b"\r\n\r\n")


@attack(
    "new calls",
    "80 UUIDs a second that Asterisk with 400 channels doesn't know",
    before="193 lists of channels; p99 109 ms",
    needs_pbx=True,
)
async def unknown_uuids(target: Target) -> None:
    put_up_channels(target.pbx, 400)
    before = len(target.pbx.actions("CoreShowChannels"))

    async def act() -> None:
        line = await target.dial()
        await asyncio.sleep(0.5)
        line.close()

    async def dial() -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(act())
                await asyncio.sleep(1 / 80)

    try:
        await together(dial())
    finally:
        lists = len(target.pbx.actions("CoreShowChannels")) - before
        if lists > 20:
            target.faults.append(f"{lists} lists of all channels in 5 s")
