"""Attacks by tools that hang, block and return too much."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.chaos.attack import Target, attack, together
from tests.chaos.backend import DEAF_PATH, TOOL_PATH
from tests.harness.agent_messages import tool_call
from tests.harness.agent_peer import text

DOOR = "tools"

TOOLS = {"TOOLS_DIR": str(Path(__file__).parents[1] / "tools"), "TOOL_TIMEOUT": "30"}


def request(name: str, number: int = 0, url: str | None = None) -> bytes:
    """Return the message by which an agent calls a tool; each ``number`` is another call."""
    message = tool_call(name, **({"url": url} if url is not None else {}))
    message["client_tool_call"]["tool_call_id"] = f"{name} {number}"
    return text(**message)


async def use(target: Target, name: str, calls: int, url: str | None = None) -> None:
    """Have so many agents use a tool, each eight times at once."""
    for _ in range(calls):
        _, agent = await target.call()
        await agent.send(*(request(name, number, url) for number in range(8)))


@attack(
    DOOR,
    "64 threads that hang, with new good calls",
    before="every new call failed; SIGTERM ignored",
    settings=TOOLS,
)
async def hung_threads(target: Target) -> None:
    await together(use(target, "hang_in_a_thread", 8), target.try_calls(0.25))


@attack(
    DOOR,
    "104 hung HTTP requests to one host, with requests to another",
    before="all tools failed",
    settings=TOOLS,
)
async def hung_requests(target: Target) -> None:
    rest = target.backend.rest_port
    await use(target, "hang_in_a_request", 13, f"http://127.0.0.1:{rest}{DEAF_PATH}")
    _, agent = await target.call()
    for number in range(10):
        await agent.send(request("ask", number, f"http://localhost:{rest}{TOOL_PATH}"))
        await asyncio.sleep(0.2)
    if target.backend.answered < 9:
        target.faults.append(f"only {target.backend.answered} of 10 requests of another tool were sent")


@attack(
    DOOR,
    "64 tools that swallow their cancellation, callers gone",
    before="places lost for ever",
    settings=TOOLS,
)
async def stubborn(target: Target) -> None:
    async def act() -> None:
        line, agent = await target.call()
        await agent.send(*(request("stubborn", number) for number in range(8)))
        await asyncio.sleep(0.5)
        line.close()

    await together(*(act() for _ in range(8)))
    await target.try_calls(0.25)


@attack(DOOR, "a result of 100 MB, every second", before="held up 506 ms", settings=TOOLS)
async def huge_result(target: Target) -> None:
    _, agent = await target.call()
    for number in range(100):
        await agent.send(request("huge", number))
        await asyncio.sleep(1)


@attack(
    DOOR,
    "tools that block and crash, in worker processes",
    before="all calls silent while a tool blocked",
    settings=TOOLS | {"TOOLS_ISOLATION": "process", "TOOLS_WORKERS": "2", "TOOL_TIMEOUT": "2"},
)
async def blocking_workers(target: Target) -> None:
    _, agent = await target.call()
    for number in range(100):
        await agent.send(request("block", number), request("crash", number))
        await asyncio.sleep(1)
