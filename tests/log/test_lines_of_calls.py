"""Every line that is logged during a call names it: real processes, as JSON, one call at a time."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from audiosocket_gw.protocol.audiosocket import Kind, encode_audio
from audiosocket_gw.testing.simulator import Scenario, Simulator, load_scenario
from audiosocket_gw.testing.simulator.scenario_file import scenario_names
from audiosocket_gw.testing.softphone import Softphone
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.gateway import MANUAL
from tests.harness.gateway_process import GatewayProcess, gateway_process

OF_THE_PROCESS = re.compile(
    r"caller audio is now sent to agents in batches|the process was blocked|(no longer )?overloaded"
    r"|RECORD_DIR=|FLIGHT_DIR=|tool \w+ is blocking the gateway, and with it the audio of every call"
    r"|127\.0\.0\.1:\d+: (connected to|no connection to) Asterisk's manager interface"
)
"""Lines that belong to no call, though one is up: they are about all."""

HEARD_FRAMES = 150
"""3 s: most scenarios have had their say by then."""


@asynccontextmanager
async def gateway(scenario: Scenario, **settings: str) -> AsyncIterator[tuple[GatewayProcess, Simulator]]:
    async with Simulator(scenario) as simulator:
        environment = {
            "ELEVENLABS_BASE_URL": simulator.base_url,
            "ELEVENLABS_AGENT_ID": "agent",
            "LOG_FORMAT": "json",
        }
        async with gateway_process(prefix=(), **(environment | settings)) as process:
            yield process, simulator


def lines_of(process: GatewayProcess, call: UUID) -> list[dict[str, Any]]:
    """Return the lines from the call's start to its end; each names it, unless it is of the process."""
    lines = [json.loads(line) for line in process.log.splitlines()]
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)
    its_own = [place for place, line in enumerate(lines) if line.get("call") == str(call)]
    assert lines[its_own[0]]["message"].startswith("started by"), process.log
    assert any("reason" in lines[place] for place in its_own), process.log
    during = lines[its_own[0] : its_own[-1] + 1]
    others = [line for line in during if line.get("call") != str(call)]
    assert [line for line in others if not OF_THE_PROCESS.match(line["message"])] == []
    return [line for line in during if line.get("call") == str(call)]


@pytest.mark.parametrize("name", scenario_names())
async def test_lines_of_a_call_in_every_scenario(name: str) -> None:
    call = uuid4()
    async with gateway(load_scenario(name)) as (process, _):
        async with Softphone(*process.address, uuid=call) as caller:
            caller.press("1")
            while len(caller.heard) < HEARD_FRAMES and not caller.over:
                await asyncio.sleep(0.05)
            caller.hang_up()
            await caller.until_ended()
        await process.logs("ended, reason=")
    assert lines_of(process, call)


TOOLS = '''
import asyncio, logging, sys, threading, warnings

logger = logging.getLogger("their_library")

async def chat() -> str:
    """Print and log in every way there is."""
    loop = asyncio.get_running_loop()
    print("printed in the loop")
    logger.warning("logged in the loop")
    await asyncio.to_thread(print, "printed in a thread")
    await loop.run_in_executor(None, logger.warning, "logged in a thread")
    await asyncio.create_task(_other())
    loop.call_soon(logger.warning, "logged in a callback")
    warnings.warn("a warning", stacklevel=1)
    sys.stderr.write("on standard error\\n")
    task = loop.create_task(_fail())
    await asyncio.sleep(0.05)
    del task
    return "done"

async def _other() -> None:
    logger.warning("logged in a task")

async def _fail() -> None:
    raise ValueError("of a task that no one awaits")

async def defect() -> str:
    """Fail."""
    raise KeyError("defect")
'''

CHATTER = [
    *("printed in the loop", "logged in the loop", "printed in a thread", "logged in a thread"),
    *("logged in a task", "logged in a callback", "a warning", "on standard error"),
    *("of a task that no one awaits", "defect"),
]


@pytest.mark.parametrize("isolation", ["inline", "process"])
async def test_lines_of_a_call_whatever_happens_in_it(tmp_path: Path, isolation: str) -> None:
    tools, records, flights = (tmp_path / name for name in ("tools", "records", "flights"))
    tools.mkdir()
    (tools / "mine.py").write_text(TOOLS)
    settings = {
        "TOOLS_DIR": str(tools),
        "TOOLS_ISOLATION": isolation,
        "TOOLS_WORKERS": "1",
        "RECORD_DIR": str(records),
        "FLIGHT_DIR": str(flights),
        "AMI_HOST": "127.0.0.1:1",
        "AMI_PASSWORD": "secret",
        "DTMF_ACTIONS": "0=transfer:600,*=hangup",
    }
    async with (
        gateway(MANUAL, **settings) as (process, simulator),
        await AsteriskPeer.open(process.address) as line,
    ):
        line.identify()
        agent = await simulator.wait_for_conversation(1)
        await process.logs("agent connected")
        for name in ("chat", "defect", "no_such_tool"):
            call = await agent.call_tool(name, {})
            await call.answered.wait()
        for words in CHATTER:
            await process.logs(words)
        line.send(b"\x42\x00\x02xx")  # of a kind that doesn't exist
        line.send(bytes((Kind.DTMF, 0, 1)) + b"0")
        await process.logs("DTMF action transfer failed")
        line.send(encode_audio(Kind.SLIN, bytes(320)))
        await agent.interrupt()
        async with await AsteriskPeer.open(process.address) as second:
            second.identify(line.uuid)
            await process.logs("its UUID is in use")
        shutil.rmtree(records)
        await agent.connection.close(1011)
        await line.ended.wait()
        await process.logs("ended, reason=")
        await process.logs("its recording was removed")
    during = lines_of(process, line.uuid)
    said = "\n".join(line["message"] + line.get("traceback", "") for line in during)
    assert [words for words in CHATTER if words not in said] == []


async def test_two_calls_do_not_get_each_others_lines(tmp_path: Path) -> None:
    """What calls share was started by one of them: the clock, the timers, a worker."""
    (tmp_path / "mine.py").write_text(TOOLS)
    async with (
        gateway(MANUAL, TOOLS_DIR=str(tmp_path)) as (process, simulator),
        await AsteriskPeer.open(process.address) as first,
        await AsteriskPeer.open(process.address) as second,
    ):
        lines = [first, second]
        first.identify()
        await process.logs("agent connected")
        second.identify()
        await process.logs("agent connected", 2)
        agents = {agent.conversation_id: agent for agent in simulator.conversations}
        for agent in agents.values():
            called = await agent.call_tool("chat", {})
            await called.answered.wait()
        await process.logs("of a task that no one awaits", 2)
        for line in lines:
            line.writer.close()
        await process.logs("ended, reason=", 2)
    said = [json.loads(line) for line in process.log.splitlines()]
    for line in lines:
        its_own = [entry["message"] for entry in said if entry.get("call") == str(line.uuid)]
        assert sum("logged in" in message for message in its_own) == 4
        assert sum("printed in" in message for message in its_own) == 2
