"""What the agent and the caller's keys do to a call: over real sockets, with a PBX and without."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.protocol.audiosocket import Hangup, encode_dtmf
from tests.harness.audio import ramp
from tests.harness.call import CHANNEL, TARGET, CallHarness, arrive, call_up, channel, controlled, pbx
from tests.harness.fake_asterisk import DENIED, FakeAsterisk
from tests.harness.gateway import running_gateway
from tests.harness.waiting import until

pytestmark = pytest.mark.virtual_time

TOOLS = '''
import asyncio
from pathlib import Path
from audiosocket_gw.tools import ToolContext, ToolError, tool
from tests.harness.waiting import until

async def greet(context: ToolContext, name: str) -> str:
    """Greet somebody.

    Args:
        name: Who.
    """
    return f"Hello {name}, call {context.uuid}, number {context.caller['caller_number']}"

async def wait_for_file(name: str) -> str:
    """Wait for a file.

    Args:
        name: Its name.
    """
    while not Path(name).exists():
        await asyncio.sleep(0.01)
    return name

async def crash() -> str:
    """Fail."""
    raise RuntimeError("inner workings")

@tool(timeout_s=0.1)
async def dawdle() -> str:
    """Take too long."""
    await asyncio.sleep(600)

async def never_end() -> str:
    """Wait for ever, and leave a trace when stopped."""
    Path("began").touch()
    try:
        await asyncio.sleep(600)
    finally:
        Path("stopped").touch()

async def clean_up_slowly() -> str:
    """Take a long time to stop."""
    try:
        await asyncio.sleep(600)
    finally:
        await asyncio.sleep(3)
'''


@pytest.fixture
def tools_dir(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(TOOLS)
    return tmp_path


def touch(name: str) -> None:
    Path(name).touch()


def exists(name: str) -> bool:
    return Path(name).exists()


# Tools


async def test_tool_of_the_users_own_knows_its_call(tools_dir: Path) -> None:
    async with call_up(tools_dir=tools_dir) as call:
        result = await call.use("greet", name="Ada")
        assert (result.result, result.is_error) == (
            f"Hello Ada, call {call.line.uuid}, number unknown",
            False,
        )
        answered = await call.harness.wait_for(events.ToolAnswered)
        assert (answered.name, answered.is_error) == ("greet", False)


@pytest.mark.parametrize(
    ("tool", "parameters", "words"),
    [
        ("crash", {}, "technical reason"),
        ("dawdle", {}, "longer than 0.1 seconds"),
        ("make_coffee", {}, "no tool named 'make_coffee'"),
        ("greet", {}, "name: is missing"),
        ("greet", {"name": ["x"]}, "name:"),
        ("avr_transfer", {}, "transfer_extension: is missing"),
        ("avr_transfer", {"transfer_extension": "6" * 41}, "transfer_extension:"),
        ("avr_hangup", {"now": True}, "no such parameter"),
    ],
)
async def test_tool_that_can_not_answers_with_a_sentence(
    tools_dir: Path, tool: str, parameters: Mapping[str, Any], words: str
) -> None:
    async with call_up(tools_dir=tools_dir) as call:
        result = await call.use(tool, **parameters)
        assert result.is_error
        assert words in result.result
        assert "inner workings" not in result.result
        await call.still_talks()


async def test_parallel_tools_are_answered_once_each_as_they_finish(tools_dir: Path) -> None:
    async with call_up(tools_dir=tools_dir) as call:
        names = ["first", "second", "third"]
        running = [await call.agent.call_tool("wait_for_file", {"name": name}) for name in names]
        for name, tool in reversed(list(zip(names, running, strict=True))):
            touch(name)
            await tool.answered.wait()
        assert [result.result for result in call.agent.log.tool_results] == names[::-1]


async def test_more_than_eight_at_once_are_refused_and_the_eight_go_on(tools_dir: Path) -> None:
    async with call_up(tools_dir=tools_dir) as call:
        running = [await call.agent.call_tool("wait_for_file", {"name": "go"}) for _ in range(8)]
        result = await call.use("wait_for_file", name="go")
        assert result.is_error
        assert "Wait" in result.result
        touch("go")
        for tool in running:
            await tool.answered.wait()
        assert not (await call.use("wait_for_file", name="go")).is_error


@pytest.mark.parametrize("tool", ["wait_for_file", "greet"])
async def test_tool_call_that_comes_twice_is_answered_once(tools_dir: Path, tool: str) -> None:
    """While it runs, and when it has been answered."""
    async with call_up(tools_dir=tools_dir) as call:
        await call.agent.call_tool(tool, {"name": "go"})
        message = call.agent.log.sent[-1][1]
        if tool == "greet":
            await call.harness.wait_for(events.ToolAnswered)
        await call.agent.send(message)
        touch("go")
        await call.use("greet", name="Ada")
        ids = [result.tool_call_id for result in call.agent.log.tool_results]
        assert len(ids) == len(set(ids)) == 2


async def test_tool_that_runs_when_the_call_ends_is_stopped(tools_dir: Path) -> None:
    async with call_up(tools_dir=tools_dir) as call:
        await call.agent.call_tool("never_end", {})
        await until(lambda: exists("began"))
        call.line.writer.close()
        await call.harness.wait_for_calls(0)
        assert exists("stopped")
        assert not call.agent.log.tool_results


async def test_caller_does_not_wait_for_a_tool_that_is_slow_to_stop(tools_dir: Path) -> None:
    async with call_up(tools_dir=tools_dir) as call:
        await call.agent.call_tool("clean_up_slowly", {})
        await call.harness.wait_for(events.ToolCalled)
        await call.agent.connection.close(1000)
        await call.line.ended.wait()
        assert call.harness.gateway.calls == 1, "the tool was over before the caller was hung up"
        await call.harness.wait_for_calls(0)


async def test_tool_call_in_the_moment_of_the_end_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with call_up() as call:
        call.line.writer.close()
        for _ in range(100):
            await call.agent.call_tool("make_coffee", {})
        await call.ended()
    assert "internal error" not in caplog.text


# Hang-up


async def test_hang_up_plays_the_goodbye_to_its_last_frame() -> None:
    async with call_up() as call:
        await call.agent.send_audio(ramp(1_000))
        result = await call.use("avr_hangup")
        assert not result.is_error
        await call.line.ended.wait()
        assert ramp(1_000) in call.line.heard
        assert call.line.hung_up
        assert (await call.ended()).reason is EndReason.AGENT_HANGUP
        await call.agent.connection.ended.wait()
        assert call.agent.connection.close_code == 1000


async def test_caller_who_cuts_in_during_the_goodbye_stays() -> None:
    async with call_up() as call:
        await call.agent.send_audio(bytes(range(1, 255)) * 300)
        await call.use("avr_hangup")
        await call.agent.interrupt()
        assert "interrupted" in await call.told("The caller interrupted")
        await call.still_talks()
        assert not (await call.use("avr_hangup")).is_error  # it can be tried again
        await call.line.ended.wait()


async def test_hang_up_twice_says_so() -> None:
    async with call_up() as call:
        await call.agent.send_audio(ramp(500))
        await call.use("avr_hangup")
        result = await call.use("avr_hangup")
        assert result.is_error
        assert "already" in result.result


async def test_transfer_without_a_manager_interface_is_refused() -> None:
    async with call_up() as call:
        result = await call.use("avr_transfer", transfer_extension="600")
        assert result.is_error
        assert "not available" in result.result
        await call.still_talks()


# Keys


async def test_number_ends_with_the_hash_key_or_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with call_up(dtmf_timeout=0.2) as call:
        for digit in "4711#98":
            call.line.send(encode_dtmf(digit))
        await call.told("4 7 1 1)")
        await call.told("9 8)")
        assert len(call.notes) == 2
        call.line.send(encode_dtmf("#"))
        await call.told(" #)")
    assert "key pressed" in caplog.text
    assert not any(digits in caplog.text for digits in ("4 7 1 1", "4711", "9 8"))


async def test_key_hangs_up_without_the_agent() -> None:
    async with call_up(dtmf_actions="*=hangup") as call:
        await call.agent.send_audio(bytes(range(1, 255)) * 600)
        await call.harness.wait_for(events.ReplyStarted)
        call.line.send(encode_dtmf("*"))
        await call.line.ended.wait()
        assert call.line.hung_up
        assert call.notes == []
        assert (await call.ended()).heard_ms < 5_000, "the caller had to hear the agent out"


async def test_key_whose_transfer_fails_tells_the_agent() -> None:
    async with call_up(dtmf_actions="0=transfer:600") as call:
        await call.agent.send_audio(bytes(range(1, 255)) * 300)
        call.line.send(encode_dtmf("0"))
        assert "not available" in await call.told("")
        await call.still_talks()


async def test_keys_at_the_end_of_a_call_harm_no_one() -> None:
    async with call_up(dtmf_actions="0=hangup") as call:
        await call.agent.connection.close(1000)
        while not call.line.ended.is_set():
            call.line.send(encode_dtmf("0") + encode_dtmf("1"))
            await asyncio.sleep(0.001)
        assert call.line.hung_up


async def test_keys_pressed_before_the_agent_is_there_are_kept() -> None:
    async with running_gateway(dtmf_timeout=0.01) as harness, await harness.line() as line:
        line.identify()
        await harness.wait_for(events.CallStarted)
        line.send(encode_dtmf("7") + encode_dtmf("#"))
        agent = await harness.simulator.wait_for_conversation(1)
        await CallHarness(harness, line, agent).told(" 7)")


# With a manager interface


def audited(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "audiosocket_gw.audit"]


@pytest.fixture(autouse=True)
def audit_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audiosocket_gw.audit")


async def test_transfer_after_the_last_word(caplog: pytest.LogCaptureFixture) -> None:
    async with controlled() as call:
        await call.agent.send_audio(ramp(800))
        result = await call.use("avr_transfer", transfer_extension="600")
        assert (result.is_error, result.result[:9]) == (False, "Accepted.")
        order = await call.pbx.came("Redirect")
        assert ramp(800) in call.line.heard
        assert (order["Channel"], order["Exten"], order["Context"]) == (CHANNEL, "600", "transfer-targets")
        assert call.results == ["transferred"]
        frames = len(call.line.frames)
        while len(call.line.frames) < frames + 10:  # silence, until Asterisk closes
            await asyncio.sleep(0.02)
        call.lands()
        call.lets_go()
        ended = await call.ended()
        assert ended.reason is EndReason.TRANSFERRED
        await call.agent.connection.ended.wait()
        assert call.agent.connection.close_code == 1000
    assert audited(caplog) == [f"call {call.line.uuid}: transfer done: {TARGET}"]


async def test_transfer_is_audited_though_asterisk_closes_before_the_landing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with controlled() as call:
        await call.use("avr_transfer", transfer_extension="600")
        await call.pbx.came("Redirect")
        call.lets_go()
        await call.line.ended.wait()
        await asyncio.sleep(0.2)
        call.lands()
        assert (await call.ended()).reason is EndReason.TRANSFERRED
    assert audited(caplog) == [f"call {call.line.uuid}: transfer done: {TARGET}"]


async def test_transfer_that_lost_the_caller_is_not_called_done(caplog: pytest.LogCaptureFixture) -> None:
    async with controlled() as call:
        await call.use("avr_transfer", transfer_extension="600")
        await call.pbx.came("Redirect")
        call.pbx.channels.clear()
        call.lets_go()
        assert (await call.ended()).reason is EndReason.CALLER_HANGUP
    (line,) = audited(caplog)
    assert "transfer failed" in line


async def test_transfer_goes_on_when_the_agent_leaves() -> None:
    async with controlled() as call:
        await call.agent.send_audio(ramp(1_000))
        await call.use("avr_transfer", transfer_extension="600")
        await call.agent.connection.close(1000)
        await call.pbx.came("Redirect")
        assert ramp(1_000) in call.line.heard
        call.lands()
        call.lets_go()
        assert (await call.ended()).reason is EndReason.TRANSFERRED
        assert call.results == ["transferred"]


async def test_caller_who_cuts_in_is_not_transferred(caplog: pytest.LogCaptureFixture) -> None:
    async with controlled() as call:
        await call.agent.send_audio(bytes(range(1, 255)) * 300)
        await call.use("avr_transfer", transfer_extension="600")
        await call.agent.interrupt()
        await call.told("transfer was not made")
        await call.still_talks()
        assert not call.pbx.actions("Redirect")
        assert call.results == []
    assert len(audited(caplog)) == 1


async def test_caller_who_hangs_up_during_the_announcement(caplog: pytest.LogCaptureFixture) -> None:
    async with controlled() as call:
        await call.agent.send_audio(bytes(range(1, 255)) * 300)
        await call.use("avr_transfer", transfer_extension="600")
        call.lets_go()
        assert (await call.ended()).reason is EndReason.CALLER_HANGUP
        assert not call.pbx.actions("Redirect")
    assert len(audited(caplog)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"transfer_extension": "600\r\nAction: Originate"},
        {"transfer_extension": "${SHELL(reboot)}"},
        {"transfer_extension": "004930123456"},
        {"transfer_extension": "600", "transfer_context": "from-internal"},
        {"transfer_extension": "600", "transfer_context": "transfer-targets,600,1)\r\n"},
        {"transfer_extension": "600", "transfer_priority": "1\r\nX: y"},
        {"transfer_extension": "６００"},
        {"transfer_extension": "h"},
    ],
)
async def test_forbidden_destination_never_reaches_asterisk(
    arguments: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async with controlled() as call:
        result = await call.use("avr_transfer", **arguments)
        assert result.is_error
        assert not [asked for asked in call.pbx.actions("Getvar") if "DIALPLAN_EXISTS" in asked["Variable"]]
        assert not call.pbx.actions("Redirect")
        await call.still_talks()
    (line,) = audited(caplog)
    assert "refused" in line
    assert line.isprintable()


async def test_any_extension_is_allowed_and_still_none_but_extensions_pass() -> None:
    async with controlled(transfer_extensions=".*") as call:
        result = await call.use("avr_transfer", transfer_extension="${SHELL(reboot)}")
        assert result.is_error
        assert "not allowed" in result.result


async def test_extension_that_does_not_exist() -> None:
    async with controlled() as call:
        call.pbx.replies["Getvar"] = "Response: Success\nValue: 0"
        result = await call.use("avr_transfer", transfer_extension="699")
        assert result.is_error
        assert "no extension 699" in result.result
        await call.still_talks()


async def test_second_transfer_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with controlled() as call:
        await call.agent.send_audio(ramp(500))
        await call.use("avr_transfer", transfer_extension="600")
        result = await call.use("avr_transfer", transfer_extension="601")
        assert result.is_error
        await call.pbx.came("Redirect")
        assert len(call.pbx.actions("Redirect")) == 1
        assert ["refused" in line for line in audited(caplog)] == [True]


# Manager interface in trouble, in the moment of a transfer


async def test_manager_interface_is_gone() -> None:
    async with controlled() as call:
        await call.pbx.stop()
        result = await call.use("avr_transfer", transfer_extension="600")
        assert result.is_error
        assert "at the moment" in result.result
        await call.still_talks()
        received = len(call.pbx.received)
        await call.pbx.start()
        await call.pbx.came("CoreShowChannels", 2)
        names = {action["Action"] for action in call.pbx.received[received:]}
        questions = {"Getvar", "CoreSettings", "CoreShowChannels"}
        assert names <= {"Login", "Filter", "Events"} | questions, "something was replayed"
        assert not (await call.use("avr_transfer", transfer_extension="600")).is_error


@pytest.mark.parametrize("trouble", ["unanswered", "cut", "refused"])
async def test_question_whether_it_exists_fails(trouble: str) -> None:
    async with controlled() as call:
        _spoil(call.pbx, "Getvar", trouble)
        result = await call.use("avr_transfer", transfer_extension="600")
        assert result.is_error
        assert "can't transfer at the moment" in result.result
        await call.still_talks()


@pytest.mark.parametrize("trouble", ["unanswered", "cut", "refused"])
@pytest.mark.parametrize("action", ["Setvar", "Redirect"])
async def test_transfer_fails_after_it_was_accepted(
    action: str, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with controlled() as call:
        _spoil(call.pbx, action, trouble)
        assert not (await call.use("avr_transfer", transfer_extension="600")).is_error
        await call.told("transfer failed")
        if action == "Setvar":
            assert call.results == ["transferred"]
        else:
            assert len(call.pbx.actions(action)) == 1
        await call.still_talks()
        call.lets_go()
        assert (await call.ended()).reason is EndReason.CALLER_HANGUP
    (line,) = audited(caplog)
    assert "transfer failed" in line


def _spoil(pbx: FakeAsterisk, action: str, trouble: str) -> None:
    if trouble == "unanswered":
        pbx.unanswered = {action}
    elif trouble == "cut":
        pbx.cut_at = {action}
    else:
        pbx.replies[action] = DENIED


async def test_hang_up_by_the_manager_interface_after_the_last_frame() -> None:
    async with controlled() as call:
        await call.agent.send_audio(ramp(500))
        await call.use("avr_hangup")
        await call.pbx.came("Hangup")
        assert ramp(500) in call.line.heard
        assert call.results == ["completed"]
        call.lets_go()
        assert (await call.ended()).reason is EndReason.AGENT_HANGUP


@pytest.mark.parametrize("trouble", ["unanswered", "cut", "refused"])
async def test_hang_up_without_the_manager_interfaces_help(trouble: str) -> None:
    async with controlled() as call:
        _spoil(call.pbx, "Hangup", trouble)
        await call.use("avr_hangup")
        await call.line.ended.wait()
        assert call.line.hung_up
        assert (await call.ended()).reason is EndReason.AGENT_HANGUP


# AVR_RESULT


@pytest.mark.parametrize(
    ("code", "reason", "result"),
    [
        (1000, "", "completed"),
        (1011, "", "agent-unavailable"),
        (3000, "quota_exceeded", "quota"),
        (3008, "too many concurrent connections", "busy"),
    ],
)
async def test_dialplan_is_told_before_the_hang_up(
    code: int, reason: str, result: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with controlled() as call:
        await call.pbx.came("Setvar", 2)
        call.pbx.unanswered = {"Setvar"}
        await call.agent.connection.close(code, reason)
        await call.pbx.came("Setvar", 4)
        assert Hangup() not in call.line.frames
        assert call.results == [result]
        await call.line.ended.wait()  # though the manager interface is slow
        assert call.line.hung_up
    assert "AVR_RESULT could not be set: no answer in 1 s" in caplog.text


async def test_dialplan_of_a_refused_call_is_told_that_the_gateway_is_full() -> None:
    async with pbx(max_calls=1) as (fake, harness):
        first, _ = await harness.call()
        async with first, await arrive(fake, harness) as line:
            await line.ended.wait()
            assert line.frames == [Hangup()]
            set_to = {a["Variable"]: a["Value"] for a in fake.actions("Setvar")}
            assert set_to == {"AVR_RESULT": "busy", "AVR_REASON": "gateway-full"}


async def test_dialplan_of_a_refused_call_is_told_that_the_gateway_is_overloaded() -> None:
    async with pbx(refuse_overload=True) as (fake, harness):
        first, _ = await harness.call()
        harness.overload()
        async with first, await arrive(fake, harness) as line:
            await line.ended.wait()
            set_to = {a["Variable"]: a["Value"] for a in fake.actions("Setvar")}
            assert set_to == {"AVR_RESULT": "busy", "AVR_REASON": "overloaded"}


@pytest.mark.parametrize("trouble", ["unanswered", "cut", "refused"])
async def test_full_gateway_refuses_though_the_manager_interface_fails(trouble: str) -> None:
    async with pbx(max_calls=1) as (fake, harness):
        first, _ = await harness.call()
        _spoil(fake, "Status", trouble)
        async with first, await arrive(fake, harness) as line:
            await line.ended.wait()
            assert line.frames == [Hangup()]
            assert harness.gateway.calls == 1


async def test_draining_gateway_tells_the_dialplan() -> None:
    async with pbx() as (fake, harness):
        line = await arrive(fake, harness)
        await harness.wait_for(events.AgentConnected)
    assert fake.set_on == {(CHANNEL, "AVR_RESULT"): "draining", (CHANNEL, "AVR_REASON"): "drained"}
    await line.ended.wait()
    await line.__aexit__()


# Keys, with a manager interface


async def test_key_transfers_without_the_agent() -> None:
    settings = {"dtmf_actions": "0=transfer:operator", "transfer_destinations": "operator=610@desk"}
    async with controlled(**settings) as call:
        await call.agent.send_audio(bytes(range(1, 255)) * 300)
        call.line.send(encode_dtmf("0"))
        order = await call.pbx.came("Redirect")
        assert (order["Exten"], order["Context"]) == ("610", "desk")
        call.lands()
        call.lets_go()
        assert (await call.ended()).reason is EndReason.TRANSFERRED


async def test_key_during_the_goodbye_asks_for_a_person_and_is_heard() -> None:
    async with controlled(dtmf_actions="0=transfer:600") as call:
        await call.agent.send_audio(bytes(range(1, 255)) * 300)
        await call.use("avr_hangup")
        call.line.send(encode_dtmf("0"))
        await call.pbx.came("Redirect")
        assert not call.pbx.actions("Hangup")


# Caller data


async def test_agent_is_told_who_calls() -> None:
    async with controlled(call_variables="TIER=none,LANG") as call:
        assert call.agent.log.initiation is not None
        assert call.agent.log.initiation["dynamic_variables"] == {
            "call_uuid": str(call.line.uuid),
            "caller_number": "+49 30",
            "caller_name": "Ada Lovelace",
            "dialled_number": "5001",
            "context": "phones",
            "channel": CHANNEL,
            "unique_id": "1.1",
            "linked_id": "1.0",
            "TIER": "none",
            "LANG": "unknown",
        }


@pytest.mark.parametrize("trouble", ["unanswered", "cut", "refused"])
async def test_call_does_not_wait_for_a_manager_interface_that_fails(
    trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with pbx(caller_data_timeout=0.3) as (fake, harness):
        _spoil(fake, "Status", trouble)
        async with await arrive(fake, harness):
            await harness.wait_for(events.AgentConnected)
            initiation = harness.simulator.conversations[0].log.initiation
            assert initiation is not None
            assert initiation["dynamic_variables"]["caller_number"] == "unknown"
    assert re.search("no caller data: .", caplog.text)
    assert ("CALLER_DATA_TIMEOUT" in caplog.text) is (trouble == "unanswered")


@asynccontextmanager
async def agent_url(answer: Mapping[str, Any]) -> AsyncIterator[tuple[str, list[str]]]:
    """A service that names the agent; yields its URL, and the lines of the requests that come."""
    lines: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.extend((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n"))
        body = json.dumps(answer).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", lines
    finally:
        server.close()
        await server.wait_closed()


async def test_agent_url_gets_the_caller_as_headers_and_adds_to_the_initiation() -> None:
    added = {
        "system": "agent_7",
        "dynamic_variables": {"plan": "gold", "caller_name": "Countess"},
        "conversation_config_override": {},
    }
    async with agent_url(added) as (url, lines), controlled(elevenlabs_agent_url=url) as call:
        assert {"X-AVR-Caller-Number: +49 30", f"X-AVR-UUID: {call.line.uuid}"} <= set(lines)
        assert call.agent.agent_id == "agent_7"
        assert call.agent.log.initiation is not None
        variables = call.agent.log.initiation["dynamic_variables"]
        assert (variables["plan"], variables["caller_name"]) == ("gold", "Countess")
        assert variables["dialled_number"] == "5001"


@pytest.mark.parametrize("name", [" Ada ", "Ada\tL", "Zoë", "\u202e", "a: b", "\x7f", " "])
async def test_no_callers_name_stops_the_call(name: str) -> None:
    async with agent_url({"system": "a"}) as (url, lines), pbx(elevenlabs_agent_url=url) as (fake, harness):
        line = await harness.line()
        fake.channels[CHANNEL] = channel(line.uuid) | {"CallerIDName": name, "Variable": f"TIER={name}"}
        line.identify()
        async with line:
            await harness.wait_for(events.AgentConnected)
            assert any(header.startswith("X-AVR-Caller-Name:") for header in lines)
