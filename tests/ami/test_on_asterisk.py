"""The control of calls on a real Asterisk 22."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import pytest

from audiosocket_gw.ami.call_control import CallControl, CallerData
from audiosocket_gw.ami.client import AmiClient
from audiosocket_gw.ami.connection import AmiConnection
from audiosocket_gw.ami.encoding import decoded
from audiosocket_gw.errors import ControlError
from tests.ami.pbx import CERTIFIED_NAME, TIMING, Pbx, connected
from tests.asterisk.lab import Watch
from tests.harness.gateway_peer import GatewayPeer, answering, silence

pytestmark = pytest.mark.asterisk

WAYS = ["app", "try", "dial", "local-app", "local-dial"]
"""How the dialplan reaches the gateway: see `tests.ami.pbx`."""


@asynccontextmanager
async def call(pbx: Pbx, way: str) -> AsyncIterator[tuple[GatewayPeer, Watch]]:
    """A call that is up, and sends and hears silence."""
    async with answering(pbx.ports.gateway, silence) as lines, pbx.watch() as watch:
        await pbx.cli(f"channel originate Local/{way}@ami extension silent@caller")
        line = await lines.get()
        while not line.frames:
            await asyncio.sleep(0.02)
        if way.startswith("local"):
            await asyncio.sleep(1)  # Local channels are optimised out, or not
        yield line, watch


async def channel_at(pbx: Pbx, name: str) -> str:
    """Return ``exten@context`` of a channel, as Asterisk's command line says."""
    fields = (await pbx.cli(f"core show channel {name}")).splitlines()
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in fields)}
    return f"{said.get('Extension')}@{said.get('Context')}"


CALLERS = {
    "app": "Local/app@ami-",
    "try": "Local/try@ami-",
    "dial": "Local/dial@ami-",
    "local-app": "Local/app@ami-",
    "local-dial": "Local/local-dial@ami-",  # Local/dial@ami is optimised out
}


@pytest.mark.parametrize("way", WAYS)
async def test_callers_channel_is_found(pbx: Pbx, way: str) -> None:
    async with pbx.control() as control, call(pbx, way) as (line, _):
        channel = await control.locate(line.uuid)
        assert channel.name.startswith(CALLERS[way])
        assert channel.name.endswith(";2")


@pytest.mark.parametrize("way", WAYS)
async def test_caller_is_redirected(pbx: Pbx, way: str) -> None:
    async with pbx.control() as control, call(pbx, way) as (line, _):
        channel = await control.locate(line.uuid)
        await channel.redirect("ami", "600")
        await line.ended.wait()
        while await channel_at(pbx, channel.name) != "target@ami":
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("way", WAYS)
async def test_caller_who_was_redirected_is_out_of_the_call(pbx: Pbx, way: str) -> None:
    """After the Redirect of a dialling channel Asterisk repeats what it dialled, under the new extension."""
    async with pbx.client() as client, call(pbx, way) as (line, _):
        control = CallControl(client)
        channel = await control.locate(line.uuid)
        await channel.redirect("ami", "target")
        await line.ended.wait()
        await asyncio.sleep(0.3)
        with pytest.raises(ControlError, match=r"no channel of Asterisk .* is in the call"):
            await control.locate(line.uuid)
        assert await channel_at(pbx, channel.name) == "target@ami"
        control.forget(line.uuid)
        assert client.registry.channel_of(line.uuid) is None


@pytest.mark.parametrize("way", ["app", "try", "dial"])
async def test_redirect_to_nothing_is_noticed(pbx: Pbx, way: str) -> None:
    async with pbx.control() as control, call(pbx, way) as (line, _):
        with pytest.raises(ControlError, match="hung up on the way to nothing@ami"):
            await (await control.locate(line.uuid)).redirect("ami", "nothing")


@pytest.mark.parametrize("way", WAYS)
async def test_caller_is_hung_up(pbx: Pbx, way: str) -> None:
    async with pbx.control() as control, call(pbx, way) as (line, _):
        channel = await control.locate(line.uuid)
        await channel.hang_up()
        await line.ended.wait()
        while channel.name in await pbx.cli("core show channels concise"):
            await asyncio.sleep(0.05)


async def test_caller_is_described(pbx: Pbx) -> None:
    async with answering(pbx.ports.gateway, silence) as lines, pbx.watch(), pbx.control() as control:
        await control.originate("Local/variables@ami", "caller", "silent", caller_id='"Ada L" <100>')
        line = await lines.get()
        while not line.frames:
            await asyncio.sleep(0.02)
        caller = await control.describe(line.uuid, ["TIER", "NOTE", "NOTSET", "CHANNEL(language)"])
    assert caller.variables == {"TIER": "gold", "NOTE": "a=b c", "NOTSET": "", "CHANNEL(language)": "en"}
    channel = caller.channel
    assert (channel.context, channel.exten, channel.dialled_number) == ("ami", "variables", "variables")
    assert channel.name.startswith("Local/variables@ami-")
    assert channel.uniqueid
    assert channel.linkedid
    assert (channel.caller_number, channel.caller_name) == ("100", "Ada L")


CALLERS_NAMES = [
    (b"O'Brien", "O'Brien"),
    (b"Any questions?", "Any questions?"),
    (b'Ann "Bee"', 'Ann "Bee"'),
    (rb"DOMAIN\user", r"DOMAIN\user"),
    (rb"\n \\", r"\n \\"),
    ("Zoë Müller".encode(), "Zoë Müller"),
    (b"M\xfcller", "Müller"),
    (b"Andr\xe9", "André"),
    ("Zoë Lü".encode()[:-1], "Zoë L"),
    (b"two\r\nlines", "two\r\nlines"),
]


@asynccontextmanager
async def described(
    pbx: Pbx, extension: str, variables: list[str], caller_id: str = '"Ada L" <100>'
) -> AsyncIterator[CallerData]:
    async with answering(pbx.ports.gateway, silence) as lines, pbx.watch(), pbx.control() as control:
        await control.originate(f"Local/{extension}@ami", "caller", "silent", caller_id=caller_id)
        line = await lines.get()
        await line.identified()
        yield await control.describe(line.uuid, variables)


@pytest.mark.parametrize(("name", "told"), CALLERS_NAMES)
async def test_callers_name_is_told_as_it_is(pbx: Pbx, name: bytes, told: str) -> None:
    """The dialplan sets it: in the header of an Originate, quotes and backslashes would mean something."""
    set_to = "".join(f"%{byte:02X}" for byte in name)
    async with answering(pbx.ports.gateway, silence) as lines, pbx.watch(), pbx.control() as control:
        await control.originate("Local/named@ami", "caller", "silent", variables={"__NAME": set_to})
        line = await lines.get()
        await line.identified()
        caller = await control.describe(line.uuid)
    assert caller.channel.caller_name == told


async def test_line_breaks_in_a_variable_change_nothing_else(pbx: Pbx) -> None:
    async with described(pbx, "claims", ["NOTE", "LONG", "TIER", "NOTSET"]) as caller:
        assert caller.variables == {
            "NOTE": "one\nChannel: PJSIP/9-9\nCallerIDNum: 911\n\nEvent: x\ntwo",
            "LONG": ("0123456789" * 100)[:511],
            "TIER": "gold",
            "NOTSET": "",
        }
        assert caller.channel.name.startswith("Local/claims@ami-")
        assert (caller.channel.caller_number, caller.channel.caller_name) == ("100", "Ada L")


@pytest.mark.parametrize("value", [bytes(range(1, 128)), bytes(range(128, 256)), b" \r\r\n ", b"\r"])
async def test_every_byte_of_a_variable_is_told(pbx: Pbx, value: bytes) -> None:
    set_to = "".join(f"%{byte:02X}" for byte in value)
    async with answering(pbx.ports.gateway, silence) as lines, pbx.watch(), pbx.control() as control:
        await control.originate("Local/bytes@ami", "caller", "silent", variables={"__BYTES": set_to})
        line = await lines.get()
        await line.identified()
        caller = await control.describe(line.uuid, ["NOTE", "BYTES", "CHANNEL(language)"])
    told = decoded(value.replace(b"\r", b""))
    assert caller.variables == {"NOTE": told, "BYTES": set_to, "CHANNEL(language)": "en"}


async def test_withheld_number_and_name(pbx: Pbx) -> None:
    async with described(pbx, "withheld", []) as caller:
        assert (caller.channel.caller_number, caller.channel.caller_name) == ("", "")
        assert caller.channel.name.startswith("Local/withheld@ami-")


async def test_anonymous_caller(pbx: Pbx) -> None:
    async with described(pbx, "app", [], '"Anonymous" <anonymous>') as caller:
        assert (caller.channel.caller_number, caller.channel.caller_name) == ("", "")


async def test_extension_of_the_dialplans_own_was_not_dialled(pbx: Pbx) -> None:
    async with described(pbx, "queued", []) as caller:
        assert (caller.channel.exten, caller.channel.dialled_number) == ("s", "")


async def test_dialplan_sees_the_variables(pbx: Pbx) -> None:
    async with pbx.control() as control, call(pbx, "try") as (line, watch):
        channel = await control.locate(line.uuid)
        await channel.set_variables({"AVR_RESULT": "transferred, (really)"})
        await channel.redirect("ami", "target")
        await watch.logged(r"AVR_RESULT is transferred, \(really\)")


@pytest.mark.parametrize(
    ("context", "extension", "priority", "exists"),
    [
        ("ami", "target", 1, True),
        ("ami", "612", 1, True),
        ("ami", "target", 2, True),
        ("ami", "target", 9, False),
        ("ami", "712", 1, False),
        ("nowhere", "600", 1, False),
        ("phones", "601", 1, True),
    ],
)
async def test_extension_exists(pbx: Pbx, context: str, extension: str, priority: int, exists: bool) -> None:
    async with pbx.control() as control:
        assert await control.extension_exists(context, extension, priority) is exists


async def test_originate(pbx: Pbx) -> None:
    async with pbx.control() as control, pbx.watch() as watch:
        placed = await control.originate(
            "Local/silent@caller", "ami", "target", variables={"AVR_RESULT": "yes"}, ring_s=5
        )
        assert placed.startswith("Local/silent@caller-")
        await watch.logged("AVR_RESULT is yes")


@pytest.mark.parametrize(
    ("channel", "why"),
    [
        ("Local/busy@ami", "busy"),
        ("Local/unanswered@ami", "no answer"),
        ("Local/nothing@ami", "no such extension"),
        ("PJSIP/nobody", "no such extension, or not reachable"),
    ],
)
async def test_originate_that_fails_says_why(pbx: Pbx, channel: str, why: str) -> None:
    async with pbx.control() as control, pbx.watch():
        with pytest.raises(ControlError, match=why):
            await control.originate(channel, "ami", "target", ring_s=1)


# Connections


async def test_challenge(pbx: Pbx) -> None:
    async with AmiClient(pbx.address(md5=True), TIMING) as client:
        await connected(client)
        assert (await client.perform("CoreSettings", {})).headers["AsteriskVersion"].startswith("22.")


async def test_wrong_password(pbx: Pbx, caplog: pytest.LogCaptureFixture) -> None:
    async with AmiClient(pbx.address(password="wrong"), TIMING) as client:
        while "AMI_PASSWORD" not in caplog.text:
            await asyncio.sleep(0.05)
        assert not client.connected


async def test_tls_with_the_certificates_of_asterisks_own_script(
    pbx: Pbx, caplog: pytest.LogCaptureFixture
) -> None:
    address = replace(pbx.address(), port=pbx.tls_port, tls=True, tls_ca_file=pbx.certificates.ca)
    async with AmiClient(replace(address, tls_name=CERTIFIED_NAME), TIMING) as client:
        await connected(client)
        assert (await client.perform("Ping", {})).headers["Ping"] == "Pong"
    async with AmiClient(address, TIMING):
        while "set AMI_TLS_CA_FILE to its authority, and AMI_TLS_NAME to the name in it" not in caplog.text:
            await asyncio.sleep(0.02)


async def test_asterisk_that_is_shutting_down_is_no_matter_of_the_password(
    pbx: Pbx, caplog: pytest.LogCaptureFixture
) -> None:
    timing = replace(TIMING, ping_interval_s=0.1)
    async with call(pbx, "try"), AmiClient(pbx.address(), timing) as client:
        await connected(client)
        stopping = asyncio.create_task(pbx.cli("core stop gracefully"))
        try:
            while "no connection to Asterisk's manager interface" not in caplog.text:
                await asyncio.sleep(0.05)
        finally:
            await pbx.cli("core abort shutdown")
            await stopping
        await connected(client)
    assert "shutting down" in caplog.text
    assert "AMI_PASSWORD" not in caplog.text


async def test_permission_denied(pbx: Pbx) -> None:
    async with pbx.control("powerless") as control, call(pbx, "try") as (line, _):
        for attempt in (
            control.locate(line.uuid),
            control.extension_exists("ami", "600"),
            control.originate("Local/target@ami", "ami", "target"),
        ):
            with pytest.raises(ControlError, match=r"Permission denied .*manager\.conf needs write="):
                await attempt
        assert not line.ended.is_set()


@pytest.mark.parametrize("way", WAYS)
async def test_call_is_found_by_a_gateway_that_was_restarted(pbx: Pbx, way: str) -> None:
    async with call(pbx, way) as (line, _), pbx.client() as client:
        while client.registry.channel_of(line.uuid) is None:
            await client.wait_for_update()
        channel = await CallControl(client).locate(line.uuid)
        await channel.redirect("ami", "target")
        assert await channel_at(pbx, channel.name) == "target@ami"


async def test_unknown_call(pbx: Pbx) -> None:
    async with pbx.control() as control:
        with pytest.raises(ControlError, match="no channel of Asterisk"):
            await control.locate(UUID(int=1))


async def test_asterisk_restarts(pbx: Pbx, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with pbx.client() as client:
        control = CallControl(client)
        async with call(pbx, "try") as (line, _):
            await control.locate(line.uuid)
            pbx.kill()
            await line.ended.wait()
            while client.connected:
                await client.wait_for_update()
            pbx.start_again()
        await connected(client)
        async with call(pbx, "try") as (line, _):
            channel = await control.locate(line.uuid)
            await channel.redirect("ami", "target")
            assert await channel_at(pbx, channel.name) == "target@ami"
    assert caplog.text.count("no connection to Asterisk's manager interface") == 1


# Other people's calls

OTHERS = 100
"""Calls of two channels each."""


async def others_call(operator: AmiClient) -> None:
    """Place other people's calls, and see them through."""
    call = {
        "Channel": "Local/others@ami",
        "Context": "ami",
        "Exten": "others",
        "Priority": "1",
        "Async": "true",
    }
    async with asyncio.TaskGroup() as tasks:
        for number in range(OTHERS):
            tasks.create_task(
                operator.perform("Originate", {"ActionID": f"others-{number}", "Async": "true", **call}, 30)
            )
    await asyncio.sleep(6)


async def bytes_received(pbx: Pbx, user: str) -> int:
    """Return what a client gets to hear of other people's calls."""
    async with pbx.client(user) as client, pbx.client("unfiltered") as operator, pbx.watch():
        sizes: list[int] = []
        take = AmiConnection.data_received

        def count(connection: AmiConnection, data: bytes) -> None:
            if connection is client._connection:
                sizes.append(len(data))
            take(connection, data)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AmiConnection, "data_received", count)
            await others_call(operator)
        return sum(sizes)


@pytest.mark.limit(240)
async def test_other_peoples_calls_cost_nothing(pbx: Pbx) -> None:
    users = ("gateway", "filtered", "own-filters", "unfiltered")
    received = {user: await bytes_received(pbx, user) for user in users}
    print(f"bytes received, {2 * OTHERS} channels of others: {received}")
    assert received["unfiltered"] > 1_000_000
    assert received["own-filters"] < 1_000  # answers to pings
    assert received["filtered"] < 1_000
    assert received["gateway"] < 1_000
