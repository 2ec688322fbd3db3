"""What a call asks of its PBX: answered by a manager interface that can be made to fail in every way."""

from __future__ import annotations

import asyncio
import logging
import operator
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest
from pydantic import SecretStr

from audiosocket_gw.ami.address import AmiAddress
from audiosocket_gw.ami.call_control import CallControl, CallerData
from audiosocket_gw.ami.caller_channel import CallerChannel
from audiosocket_gw.ami.client import AmiClient, AmiTiming
from audiosocket_gw.ami.dialplan import DialplanLine
from audiosocket_gw.ami.pbx_pool import PbxPool
from audiosocket_gw.ami.registry import Channel
from audiosocket_gw.errors import ControlError
from tests.ami.recorded import CALL
from tests.harness.fake_asterisk import DENIED, TIMING, FakeAsterisk, fake_asterisk
from tests.harness.waiting import until

pytestmark = pytest.mark.virtual_time

IN_CALL = {
    "Channel": "PJSIP/1-1",
    "Uniqueid": "1.1",
    "Linkedid": "1.0",
    "CallerIDNum": "100",
    "CallerIDName": "Ada",
    "DNID": "5001",
    "Context": "phones",
    "Exten": "s",
    "Priority": "2",
    "Application": "AudioSocket",
    "ApplicationData": f"{CALL},127.0.0.1:5001",
}
LANDED = {**IN_CALL, "Context": "queues", "Exten": "600", "Application": "Queue", "ApplicationData": "sales"}

NO_SUCH_CHANNEL = "Response: Error\nMessage: No such channel"


async def connected(client: AmiClient) -> None:
    while not client.connected:
        await client.wait_for_update()


@asynccontextmanager
async def call(timing: AmiTiming = TIMING) -> AsyncIterator[tuple[FakeAsterisk, CallControl]]:
    """A PBX with one channel, which is in the call."""
    async with fake_asterisk() as fake:
        fake.channels = {"PJSIP/1-1": IN_CALL}
        async with AmiClient(fake.address, timing) as client:
            await connected(client)
            await fake.came("CoreShowChannels")
            yield fake, CallControl(client)


async def test_caller_is_described_in_two_round_trips() -> None:
    async with call() as (fake, control):
        await control.locate(CALL)
        fake.received.clear()
        fake.variables = {"TIER": "gold", "A": "b=c"}
        described = await control.describe(CALL, ["TIER", "NOTSET", "A", "CHANNEL(language)"])
        assert described == CallerData(
            Channel(
                name="PJSIP/1-1",
                uniqueid="1.1",
                linkedid="1.0",
                caller_number="100",
                caller_name="Ada",
                dialled_number="5001",
                context="phones",
                exten="s",
            ),
            {"TIER": "gold", "NOTSET": "", "A": "b=c", "CHANNEL(language)": ""},
            DialplanLine("phones", "s", "2", "AudioSocket", f"{CALL},127.0.0.1:5001"),
            codec="slin",
        )
        assert [action["Action"] for action in fake.received] == ["Status", "Status"]
        assert "Variables" not in fake.received[0]
        assert fake.received[1]["Variables"] == "TIER,NOTSET,A,CHANNEL(language)"


# Values of channel variables

NAMES = ["FIRST", "NOTE", "LAST"]
CLAIMS = "Channel: PJSIP/9-9\r\nCallerIDNum: 911\r\nUniqueid: 9.9\r\nApplication: Dial"


@asynccontextmanager
async def described(note: str, *, functions: bool) -> AsyncIterator[tuple[FakeAsterisk, CallerData]]:
    """Yield what is known of a caller in whose variable NOTE something stands."""
    async with fake_asterisk() as fake:
        fake.has_functions = functions
        fake.channels = {"PJSIP/1-1": IN_CALL}
        fake.variables = {"FIRST": "1", "NOTE": note, "LAST": "2"}
        async with AmiClient(fake.address, TIMING) as client:
            await connected(client)
            yield fake, await CallControl(client).describe(CALL, NAMES)


def is_himself(caller: CallerData) -> bool:
    channel = caller.channel
    return (channel.name, channel.caller_number, channel.uniqueid) == ("PJSIP/1-1", "100", "1.1")


NOTES = [
    "one line",
    "two\nlines",
    f"{CLAIMS}\nand more",
    f"x\r\n{CLAIMS}",
    f"x\r\n{CLAIMS.lower()}",
    f"x\r\n{CLAIMS.upper()}\r\nactionid: 1\r\nACTIONID: 1\r\nEVENT: x\r\nresponse: Error",
    f"x\r\n{CLAIMS}\r\n\r\nEvent: Hangup\r\nUniqueid: 1.1",
    "x\r\nVariable: LAST=forged\r\nVariable: FIRST=forged",
    "x\r\nActionID: audiosocket-gw-1\r\n\r\nResponse: Error\r\nActionID: audiosocket-gw-1",
    "\r\n\r\n",
    "a\rb",
    "\\r \\ ,\\\\ (r)",
]


@pytest.mark.parametrize("note", NOTES)
async def test_line_breaks_in_a_variable_change_nothing_else(note: str) -> None:
    async with described(note, functions=True) as (_, caller):
        assert is_himself(caller)
        assert caller.variables == {"FIRST": "1", "NOTE": note.replace("\r", ""), "LAST": "2"}


@pytest.mark.parametrize("note", NOTES)
async def test_line_breaks_change_no_one_without_the_function_either(
    note: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with described(note, functions=False) as (_, caller):
        assert is_himself(caller)
        assert {caller.variables["FIRST"], caller.variables["LAST"]} <= {"", "1", "2"}
        if "\r\n" not in note:
            assert caller.variables == {"FIRST": "1", "NOTE": note, "LAST": "2"}
        assert ("load func_strings.so" in caplog.text) is ("\r\n\r\n" in note)


async def test_a_long_value_is_cut_between_two_characters() -> None:
    async with described("\u20ac" * 1_000, functions=True) as (_, caller):
        assert is_himself(caller)
        assert caller.variables == {"FIRST": "1", "NOTE": "\u20ac" * (511 // 3), "LAST": "2"}


async def test_many_variables_are_asked_for_in_portions() -> None:
    async with fake_asterisk() as fake:
        fake.has_functions = True
        fake.channels = {"PJSIP/1-1": IN_CALL}
        fake.variables = {f"VARIABLE_NUMBER_{number}": str(number) for number in range(100)}
        async with AmiClient(fake.address, TIMING) as client:
            await connected(client)
            caller = await CallControl(client).describe(CALL, list(fake.variables))
    assert caller.variables == fake.variables


# Who calls


@pytest.mark.parametrize("presentation", ["prohib_passed_screen", "prohib", "unavailable"])
async def test_a_number_that_the_caller_withholds(presentation: str) -> None:
    async with call() as (fake, control):
        control._client.functions = frozenset({"CALLERID"})
        fake.variables = {"CALLERID(num-pres)": presentation, "CALLERID(name-pres)": "allowed"}
        channel = (await control.describe(CALL)).channel
        assert (channel.caller_number, channel.caller_name) == ("", "Ada")
        fake.variables = {"CALLERID(num-pres)": "allowed_not_screened", "CALLERID(name-pres)": presentation}
        channel = (await control.describe(CALL)).channel
        assert (channel.caller_number, channel.caller_name) == ("100", "")


DRIVER = f"AudioSocket/gw:5001-{CALL}"
DIALS = {**IN_CALL, "Exten": "5002", "Priority": "4", "Application": "Dial"}


@pytest.mark.parametrize(
    ("data", "native", "codec"),
    [
        (f"AudioSocket/gw:5001/{CALL}/c(slin16),,g", "(ulaw)", "slin16"),
        (f"AudioSocket/gw:5001/{CALL},,g", "(ulaw)", "ulaw"),
        (f"AudioSocket/gw:5001/{CALL}", "(alaw)", "alaw"),
        (f"AudioSocket/gw:5001/{CALL}", "(g722|ulaw)", "g722"),
        (f"PJSIP/7&AudioSocket/gw:5001/{CALL}/c()&Local/8,,g", "(alaw)", "alaw"),
    ],
)
async def test_the_codec_that_asterisk_sends(data: str, native: str, codec: str) -> None:
    async with call() as (fake, control):
        fake.channels["PJSIP/1-1"] = {**DIALS, "ApplicationData": data}
        fake.channels[DRIVER] = {"Channel": DRIVER, "Nativeformats": native}
        assert (await control.describe(CALL)).codec == codec


@pytest.mark.parametrize(
    ("data", "corrected"),
    [
        (f"AudioSocket/gw:5001/{CALL},,g", f"AudioSocket/gw:5001/{CALL}/c(slin),,g"),
        (f"AudioSocket/gw:5001/{CALL}/c(ulaw)", f"AudioSocket/gw:5001/{CALL}/c(slin)"),
        (f"PJSIP/7&AudioSocket/gw:5001/{CALL}&X/8", f"PJSIP/7&AudioSocket/gw:5001/{CALL}/c(slin)&X/8"),
    ],
)
async def test_the_line_of_the_dialplan_and_how_to_correct_it(data: str, corrected: str) -> None:
    async with call() as (fake, control):
        fake.channels["PJSIP/1-1"] = {**DIALS, "ApplicationData": data}
        line = (await control.describe(CALL)).line
        assert line is not None
        assert (line.place, str(line)) == ("5002@phones:4", f"Dial({data})")
        assert str(line.with_codec(CALL, "slin")) == f"Dial({corrected})"


@pytest.mark.parametrize("refusal", [NO_SUCH_CHANNEL, DENIED])
async def test_a_codec_that_asterisk_does_not_tell_is_no_failure(
    refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with call() as (fake, control):
        fake.channels["PJSIP/1-1"] = {**DIALS, "ApplicationData": f"AudioSocket/gw:5001/{CALL},,g"}
        reply = fake._reply
        monkeypatch.setattr(
            fake, "_reply", lambda name, action: refusal if DRIVER in action.values() else reply(name, action)
        )
        described = await control.describe(CALL)
        assert described.channel.name == "PJSIP/1-1"
        assert described.codec == ""


async def test_call_that_was_not_told_of_is_looked_for_once() -> None:
    async with call(replace(TIMING, registry_wait_s=0.01)) as (fake, control):
        fake.received.clear()
        unknown = uuid4()
        with pytest.raises(ControlError, match=f"no channel .* is in the call {unknown}"):
            await control.locate(unknown)
        assert len(fake.actions("CoreShowChannels")) == 1


async def test_channel_that_left_the_call_is_not_touched() -> None:
    """The registry's channel is up, but with somebody else; the call is on another one."""
    async with call() as (fake, control):
        await control.locate(CALL)
        fake.channels["PJSIP/1-1"] = {**IN_CALL, "Application": "Dial", "ApplicationData": "PJSIP/2"}
        fake.channels["Local/x;2"] = {**IN_CALL, "Channel": "Local/x;2", "Uniqueid": "1.2"}
        await (await control.locate(CALL)).hang_up()
        assert [action["Channel"] for action in fake.actions("Hangup")] == ["Local/x;2"]


async def test_channel_that_was_optimised_out_is_found_by_its_bridge() -> None:
    async with call() as (fake, control):
        agent = {"Channel": f"AudioSocket/gw:5001-{CALL}", "Uniqueid": "1.3", "BridgeId": "b"}
        caller = {"Channel": "PJSIP/9-9", "Uniqueid": "1.4", "BridgeId": "b", "Application": "Dial"}
        fake.channels = {"AudioSocket": agent, "PJSIP/9-9": caller}
        assert (await control.locate(CALL)).name == "PJSIP/9-9"
        described = await control.describe(CALL)
        assert (described.line, described.codec) == (None, "")


async def test_call_that_hung_up_meanwhile() -> None:
    async with call() as (fake, control):
        fake.replies["Status"] = NO_SUCH_CHANNEL
        with pytest.raises(ControlError, match="has just hung up"):
            await (await control.locate(CALL)).hang_up()
        assert not fake.actions("Hangup")


async def test_waits_for_asterisk_to_tell_of_the_call() -> None:
    async with call() as (fake, control):
        control.forget(CALL)
        fake.received.clear()
        asked = asyncio.ensure_future(control.locate(CALL))
        await asyncio.sleep(0.05)
        fake.say(
            "Event: Newexten\nChannel: PJSIP/1-1\nUniqueid: 1.1\nApplication: AudioSocket\n"
            f"AppData: {CALL},127.0.0.1:5001"
        )
        assert (await asked).name == "PJSIP/1-1"
        assert not fake.actions("CoreShowChannels")


@pytest.mark.parametrize(("value", "exists"), [("1", True), ("0", False)])
async def test_extension_exists(value: str, exists: bool) -> None:
    async with call() as (fake, control):
        fake.replies["Getvar"] = f"Response: Success\nValue: {value}"
        assert await control.extension_exists("queues", "600") is exists
        assert fake.actions("Getvar")[-1]["Variable"] == "DIALPLAN_EXISTS(queues,600,1)"


async def test_asterisk_without_func_dialplan() -> None:
    async with call() as (fake, control):
        fake.replies["Getvar"] = "Response: Success\nValue: "
        with pytest.raises(ControlError, match=r"func_dialplan\.so"):
            await control.extension_exists("queues", "600")


async def test_variables_are_set() -> None:
    async with call() as (fake, control):
        await (await control.locate(CALL)).set_variables(
            {"AVR_RESULT": "transferred", "__NOTE": "50 % (really), ${x}"}
        )
        assert [(action["Variable"], action["Value"]) for action in fake.actions("Setvar")] == [
            ("AVR_RESULT", "transferred"),
            ("__NOTE", "50 % (really), ${x}"),
        ]


async def test_hang_up() -> None:
    async with call() as (fake, control):
        await (await control.locate(CALL)).hang_up()
        assert fake.actions("Hangup")[0]["Channel"] == "PJSIP/1-1"
        assert fake.actions("Hangup")[0]["Cause"] == "16"


# Redirect, and its proof


async def test_redirect_returns_when_the_caller_is_there() -> None:
    async with call() as (fake, control):
        redirect = asyncio.ensure_future((await control.locate(CALL)).redirect("queues", "600"))
        order = await fake.came("Redirect")
        assert (order["Channel"], order["Context"], order["Exten"], order["Priority"]) == (
            "PJSIP/1-1",
            "queues",
            "600",
            "1",
        )
        # Asterisk names the new place at once, while the channel is still in the call.
        fake.channels["PJSIP/1-1"] = {**IN_CALL, "Context": "queues", "Exten": "600"}
        await fake.came("Status", 3)
        fake.channels["PJSIP/1-1"] = {**IN_CALL, "Application": "(null)", "ApplicationData": "(null)"}
        await fake.came("Status", 5)
        data = f"AudioSocket({CALL},127.0.0.1:5001)"
        fake.channels["PJSIP/1-1"] = {**LANDED, "Application": "TryExec", "ApplicationData": data}
        await fake.came("Status", 7)
        assert not redirect.done()
        fake.channels["PJSIP/1-1"] = LANDED
        await redirect


async def test_channel_is_asked_for_once_per_transfer() -> None:
    async with call() as (fake, control):
        fake.received.clear()
        channel = await control.locate(CALL)
        await channel.set_variables({"AVR_RESULT": "transferred", "AVR_REASON": "transferred"})
        redirect = asyncio.ensure_future(channel.redirect("queues", "600"))
        await fake.came("Redirect")
        fake.channels["PJSIP/1-1"] = LANDED
        await redirect
        names = [action["Action"] for action in fake.received]
        assert names[: names.index("Redirect")] == ["Status", "Setvar", "Setvar"]
        assert {*names[names.index("Redirect") + 1 :]} == {"Status"}, "the proof"


async def test_redirect_to_nothing_is_noticed() -> None:
    async with call() as (fake, control):
        redirect = asyncio.ensure_future((await control.locate(CALL)).redirect("queues", "600"))
        await fake.came("Redirect")
        fake.channels = {}
        with pytest.raises(ControlError, match="hung up on the way to 600@queues"):
            await redirect


async def test_redirect_that_ends_at_the_invalid_extension() -> None:
    async with call() as (fake, control):
        redirect = asyncio.ensure_future((await control.locate(CALL)).redirect("queues", "600"))
        await fake.came("Redirect")
        fake.channels["PJSIP/1-1"] = {**LANDED, "Exten": "i"}
        with pytest.raises(ControlError, match="600@queues is invalid"):
            await redirect


async def test_redirect_that_moves_no_one() -> None:
    async with call(replace(TIMING, landing_s=0.2)) as (_, control):
        with pytest.raises(ControlError, match=r"the caller did not reach 600@queues within 0\.2 s"):
            await (await control.locate(CALL)).redirect("queues", "600")


# What is refused


Attempt = Callable[[CallControl], Awaitable[object]]


async def on_channel(control: CallControl, act: Callable[[CallerChannel], Awaitable[None]]) -> None:
    await act(await control.locate(CALL))


ATTEMPTS: dict[str, Attempt] = {
    "Status": lambda control: control.describe(CALL),
    "Getvar": lambda control: control.extension_exists("queues", "600"),
    "Setvar": lambda control: on_channel(control, lambda channel: channel.set_variables({"A": "b"})),
    "Redirect": lambda control: on_channel(control, lambda channel: channel.redirect("queues", "600")),
    "Hangup": lambda control: on_channel(control, CallerChannel.hang_up),
    "Originate": lambda control: control.originate("PJSIP/100", "phones", "5001"),
}


@pytest.mark.parametrize("action", ATTEMPTS)
async def test_permission_denied(action: str) -> None:
    async with call() as (fake, control):
        fake.replies[action] = DENIED
        with pytest.raises(ControlError, match=f"rejected {action}: Permission denied .*write="):
            await ATTEMPTS[action](control)


@pytest.mark.parametrize("action", ATTEMPTS)
async def test_cut_in_mid_action(action: str) -> None:
    async with call() as (fake, control):
        fake.cut_at = {action}
        with pytest.raises(ControlError, match=f"{action}: unanswered"):
            await ATTEMPTS[action](control)


@pytest.mark.parametrize("action", ATTEMPTS)
async def test_slow_answer(action: str) -> None:
    async with call(replace(TIMING, action_s=0.5, originate_grace_s=-29.5)) as (fake, control):
        fake.unanswered = {action}
        with pytest.raises(ControlError, match=f"{action}: no answer"):
            await ATTEMPTS[action](control)


@pytest.mark.parametrize("action", ATTEMPTS)
async def test_not_connected(action: str) -> None:
    async with call() as (fake, control):
        await fake.stop()
        await until(lambda: control.connected, operator.not_)
        with pytest.raises(ControlError, match="not connected"):
            await ATTEMPTS[action](control)
        await fake.start()


@pytest.mark.parametrize(
    ("context", "extension", "priority"),
    [
        ("queues", "600\r\nAction: Originate", 1),
        ("queues", "600\n", 1),
        ("queues", "600,1", 1),
        ("queues", "600)", 1),
        ("queues", "${SHELL(reboot)}", 1),
        ("queues", "600&601", 1),
        ("queues", "_X.", 1),
        ("queues", "", 1),
        ("queues", "6" * 41, 1),
        ("queues", "６００", 1),
        ("que ues", "600", 1),
        ("", "600", 1),
        ("a,600,1)\r\n", "600", 1),
        ("queues", "600", 0),
        ("queues", "600", -1),
        ("queues", "600", "1,x"),
    ],
)
async def test_hostile_destination_goes_nowhere(context: str, extension: str, priority: int | str) -> None:
    async with call() as (fake, control):
        channel = await control.locate(CALL)
        fake.received.clear()
        for attempt in (
            channel.redirect(context, extension, priority),
            control.extension_exists(context, extension, priority),
            control.originate("PJSIP/100", context, extension, priority),
        ):
            with pytest.raises(ControlError, match=r"is no (context|extension|priority)"):
                await attempt
        assert not fake.received


@pytest.mark.parametrize("name", ["SHELL(reboot)", "A=B", "A,B", "", "A B", "A\r\nB"])
async def test_hostile_variable_is_not_set(name: str) -> None:
    async with call() as (fake, control):
        channel = await control.locate(CALL)
        for attempt in (
            channel.set_variables({name: "x"}),
            control.originate("PJSIP/100", "phones", "5001", variables={name: "x"}),
        ):
            with pytest.raises(ControlError, match="is no channel variable"):
                await attempt
        assert not fake.actions("Setvar") + fake.actions("Originate")


async def test_hostile_value_is_not_sent() -> None:
    async with call() as (fake, control):
        with pytest.raises(ControlError, match="CR, LF or NUL"):
            await (await control.locate(CALL)).set_variables({"A": "x\r\nAction: Hangup"})
        with pytest.raises(ControlError, match="is no value"):
            await control.originate("PJSIP/100", "phones", "5001", variables={"A": "x,B=y"})
        with pytest.raises(ControlError, match="is no caller id"):
            await control.originate("PJSIP/100", "phones", "5001", caller_id="x\r\nAsync: no")
        with pytest.raises(ControlError, match="is no channel to dial"):
            await control.originate("PJSIP/100&PJSIP/900", "phones", "5001")
        with pytest.raises(ControlError, match="is no channel variable"):
            await control.describe(CALL, ["A\r\nB"])
        assert not fake.actions("Setvar") + fake.actions("Originate")


# Originate


QUEUED = "Response: Success\nMessage: Originate successfully queued\n\n"
ANSWERED = "Event: OriginateResponse\nResponse: Success\nChannel: PJSIP/100-1\nReason: 4\nUniqueid: 7.1"
BUSY = "Event: OriginateResponse\nResponse: Failure\nChannel: PJSIP/100\nReason: 5\nUniqueid: <unknown>"


async def test_originate_returns_when_answered() -> None:
    async with call() as (fake, control):
        fake.replies["Originate"] = QUEUED + ANSWERED
        placed = await control.originate(
            "PJSIP/100", "phones", "5001", caller_id='"A" <1>', variables={"A": "1", "B": "2"}, ring_s=9.5
        )
        assert placed == "PJSIP/100-1"
        sent = fake.actions("Originate")[0]
        assert (sent["Timeout"], sent["Async"], sent["CallerID"]) == ("9500", "true", '"A" <1>')
        assert sent["Variable"] == "B=2"


async def test_originate_that_is_not_reported_on() -> None:
    async with call() as (fake, control):
        fake.replies["Originate"] = "Response: Success"
        with pytest.raises(ControlError, match="Asterisk did not report on the call to PJSIP/100"):
            await control.originate("PJSIP/100", "phones", "5001")


@pytest.mark.parametrize("reply", [QUEUED + BUSY, BUSY])
async def test_originate_that_fails_says_why(reply: str) -> None:
    async with call() as (fake, control):
        fake.replies["Originate"] = reply
        with pytest.raises(ControlError, match="the call to PJSIP/100 failed: busy"):
            await control.originate("PJSIP/100", "phones", "5001")


# More than one PBX


async def test_call_is_controlled_on_the_pbx_that_it_came_from() -> None:
    async with fake_asterisk() as listed, fake_asterisk() as common:
        address = replace(listed.address, host="localhost")
        async with PbxPool(common.address, [address], TIMING) as pbxs:
            by_name, others = pbxs.find("localhost"), pbxs.find("192.0.2.1")
            assert by_name is not None and by_name is not others
            await until(lambda: pbxs.find("127.0.0.1"), lambda seen: seen is not others)
            found = pbxs.find("::ffff:127.0.0.1")
            assert found is by_name
            assert found.connected
            await listed.stop()
            await until(lambda: by_name.connected, operator.not_)
            assert pbxs.find("127.0.0.1") is pbxs.find("localhost") is by_name
            await listed.start()


async def test_pbx_without_manager_interface(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with PbxPool(None, [AmiAddress("127.0.0.1", "u", SecretStr("x"), port=1)], TIMING) as pbxs:
        assert pbxs.find("192.0.2.1") is None
    assert "PBX at 192.0.2.1: add it to AMI_HOSTS" in caplog.text
