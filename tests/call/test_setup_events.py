"""What is reported of a call's set-up, and of its frames: over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from audiosocket_gw import events
from audiosocket_gw.events import SetupStep
from tests.harness.call import CHANNEL, arrive, call_up, controlled, pbx
from tests.harness.gateway import GatewayHarness, running_gateway
from tests.harness.waiting import until


def steps(harness: GatewayHarness) -> dict[SetupStep, events.SetupStepDone]:
    done = harness.of(events.SetupStepDone)
    assert len({event.step for event in done}) == len(done), "each step once"
    return {event.step: event for event in done}


@asynccontextmanager
async def agent_url(body: str) -> AsyncIterator[str]:
    """Answer each request with ``body``."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/agent?token=secret"


async def test_the_steps_of_a_public_agent() -> None:
    async with call_up() as call:
        done = await until(lambda: steps(call.harness), lambda done: SetupStep.METADATA in done)
        assert list(done) == [SetupStep.CONNECT, SetupStep.METADATA]
        assert {event.agent for event in done.values()} == {"agent"}
        assert all(event.ms > 0 for event in done.values())


async def test_the_steps_of_a_private_agent_that_an_url_names() -> None:
    async with (
        agent_url('{"system": "agent_of_the_url"}') as url,
        running_gateway(
            api_key="key",
            elevenlabs_api_key="key",
            elevenlabs_agent_id=None,
            elevenlabs_agent_url=url,
        ) as harness,
    ):
        line, _ = await harness.call()
        async with line:
            done = await until(lambda: steps(harness), lambda done: SetupStep.METADATA in done)
    assert list(done) == [
        SetupStep.AGENT_URL,
        SetupStep.SIGNED_URL,
        SetupStep.CONNECT,
        SetupStep.METADATA,
    ]
    assert {event.agent for event in done.values()} == {"agent_of_the_url"}


async def test_a_step_that_fails_is_not_done() -> None:
    async with running_gateway(elevenlabs_base_url="http://127.0.0.1:9") as harness:
        line = await harness.line()
        line.identify()
        async with line:
            await harness.wait_for(events.CallEnded)
    assert steps(harness) == {}


async def test_the_caller_is_identified() -> None:
    async with controlled() as call:
        (caller,) = call.harness.of(events.CallerIdentified)
        assert (caller.pbx, caller.caller_number) == ("127.0.0.1", "+49 30")
        assert (caller.caller_name, caller.dialled_number) == ("Ada Lovelace", "5001")
        assert caller.channel == CHANNEL
        assert SetupStep.CALLER_DATA in steps(call.harness)


async def test_a_caller_whom_asterisk_names_too_late_is_identified_too() -> None:
    async with pbx(caller_data_timeout=0.05) as (fake, harness):
        fake.slow["Status"] = 0.3
        async with await arrive(fake, harness) as line:
            done = await until(lambda: steps(harness), lambda done: SetupStep.CALLER_DATA in done)
            assert harness.of(events.CallerIdentified) == []
            assert done[SetupStep.CALLER_DATA].ms >= 50
            caller = await harness.wait_for(events.CallerIdentified, line.uuid)
    assert caller.caller_number == "+49 30"


async def test_frames_that_do_not_come_from_the_caller_are_missing() -> None:
    async with call_up() as call:
        await asyncio.sleep(0.5)
    await call.ended()
    (figures,) = call.harness.of(events.FrameFigures)
    kinds = [type(event) for event in call.harness.events]
    assert kinds.index(events.FrameFigures) < kinds.index(events.CallEnded)
    assert figures.missing >= 20
