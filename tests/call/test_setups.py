"""Calls that wait for their set-up, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import AsyncExitStack
from unittest.mock import patch

import pytest

from audiosocket_gw import events
from audiosocket_gw.call.setup_queue import SETUPS_AT_ONCE, STEP_S
from audiosocket_gw.elevenlabs.agent import AgentLocator
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.protocol.audiosocket import Audio, encode_identity
from audiosocket_gw.runtime.load_figures import Admission
from tests.harness.asterisk_peer import AsteriskPeer
from tests.harness.audio import ramp
from tests.harness.busy_process import BusyProcess
from tests.harness.gateway import GatewayHarness, running_gateway
from tests.harness.waiting import until


class Located:
    """Counts the agents that are located, all and at once."""

    def __init__(self) -> None:
        self.count = self.now = self.most = 0


@pytest.fixture
def located() -> Iterator[Located]:
    seen, locate = Located(), AgentLocator.locate

    async def counting(*args: object) -> object:
        seen.count += 1
        seen.now += 1
        seen.most = max(seen.most, seen.now)
        try:
            return await locate(*args)  # type: ignore[arg-type]
        finally:
            seen.now -= 1

    with patch.object(AgentLocator, "locate", counting):
        yield seen


def hold(harness: GatewayHarness) -> BusyProcess:
    """Have the gateway find no room for one more call, though it isn't overloaded yet."""
    process = BusyProcess(harness.load)
    while harness.load.has_room:
        process.windows(1, busy=1.0)
    assert harness.load.figures().admission is Admission.HOLD
    return process


async def waiting_line(harness: GatewayHarness) -> AsteriskPeer:
    line = await harness.line()
    line.identify()
    await harness.wait_for(events.CallStarted, line.uuid)
    await until(lambda: harness.load.waiting, lambda waiting: waiting == 1)
    return line


async def one_call(harness: GatewayHarness, stack: AsyncExitStack) -> None:
    """Keep the clock running: without a call there is no load."""
    line, _ = await harness.call()
    await stack.enter_async_context(line)


async def test_a_caller_who_resets_at_once_costs_no_request(located: Located) -> None:
    async with running_gateway() as harness:
        for _ in range(50):
            line = await harness.line()
            with socket.create_connection(harness.gateway.address) as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raw.sendall(encode_identity(line.uuid))
            await line.__aexit__()
        await until(lambda: len(harness.of(events.CallEnded)), lambda ended: ended == 50)
        await harness.wait_for_calls(0)
        assert located.count == 0
        assert harness.load.waiting == harness.load.on_clock == 0


async def test_a_call_without_room_hears_silence_and_goes_on_when_there_is(located: Located) -> None:
    async with running_gateway(refuse_overload=True) as harness, AsyncExitStack() as stack:
        await one_call(harness, stack)
        process = hold(harness)
        line = await stack.enter_async_context(await waiting_line(harness))
        line.say(audio := ramp(100))
        await until(lambda: line.heard, lambda heard: len(heard) >= 10 * 320)
        assert not any(line.heard)
        assert located.count == 1
        process.windows(20, busy=0.1)
        await harness.wait_for(events.AgentConnected, line.uuid)
        agent = await harness.simulator.wait_for_conversation(2)
        await until(lambda: agent.log.received_audio, lambda heard: audio in heard)


async def test_a_call_without_room_is_rejected_when_the_gateway_is_overloaded(located: Located) -> None:
    async with running_gateway(refuse_overload=True) as harness, AsyncExitStack() as stack:
        await one_call(harness, stack)
        process = hold(harness)
        line = await stack.enter_async_context(await waiting_line(harness))
        process.windows(5, busy=1.0)
        assert harness.load.overloaded
        await line.ended.wait()
        assert line.hung_up
        assert not line.reset
        assert all(isinstance(frame, Audio) for frame in line.frames[:-1])
        ended = await harness.wait_for(events.CallEnded, line.uuid)
        assert ended.reason is EndReason.OVERLOADED
        assert located.count == 1
        assert harness.load.waiting == 0


async def test_a_caller_who_leaves_while_waiting_leaves_nothing(located: Located) -> None:
    async with running_gateway(refuse_overload=True) as harness, AsyncExitStack() as stack:
        await one_call(harness, stack)
        hold(harness)
        async with await waiting_line(harness) as line:
            pass
        ended = await harness.wait_for(events.CallEnded, line.uuid)
        assert ended.reason is EndReason.CALLER_HANGUP
        assert located.count == 1
        assert harness.load.waiting == 0


async def test_many_callers_at_once_are_set_up_a_few_at_a_time(located: Located) -> None:
    many = 2 * SETUPS_AT_ONCE
    async with running_gateway(agent_connect_timeout=60) as harness, AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(await harness.line()) for _ in range(many)]
        for line in lines:
            line.identify()
        await until(
            lambda: len(harness.of(events.AgentConnected)),
            lambda connected: connected == many,
            show=lambda connected: f"{connected} of {many}; {harness.load.figures()}",
        )
        assert located.most <= SETUPS_AT_ONCE
        await asyncio.sleep(2 * STEP_S)
        figures = harness.load.figures()
        assert (figures.calls, figures.setups, figures.waiting) == (many, 0, 0)


async def test_a_stopping_gateway_ends_calls_that_wait(located: Located) -> None:
    async with running_gateway(refuse_overload=True) as harness, AsyncExitStack() as stack:
        await one_call(harness, stack)
        hold(harness)
        line = await stack.enter_async_context(await waiting_line(harness))
        await harness.gateway.__aexit__(None, None, None)
        ended = await harness.wait_for(events.CallEnded, line.uuid)
        assert ended.reason is EndReason.DRAINED
        assert located.count == 1
