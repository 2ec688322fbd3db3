from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from audiosocket_gw.testing.simulator import Simulator, load_scenario
from audiosocket_gw.testing.simulator.server_messages import Message
from audiosocket_gw.testing.simulator.simulated_agent import SimulatedAgent
from tests.testing.simulator.client import INITIATION, MANUAL, connected, conversing, websocket_url


async def test_conversations_are_kept_in_the_order_of_their_start() -> None:
    async with Simulator(MANUAL) as simulator:
        async with connected(simulator) as first:
            await simulator.wait_for_conversation()
            async with connected(simulator):
                second = await simulator.wait_for_conversation(2)
            await first.send(INITIATION)
            await first.until("conversation_initiation_metadata")
        assert simulator.conversations[1] is second
        assert len({conversation.conversation_id for conversation in simulator.conversations}) == 2
        assert second.log.initiation is None


async def test_nothing_is_kept_without_recording() -> None:
    async with Simulator(load_scenario("echo"), record=False) as simulator:
        async with connected(simulator) as client:
            await client.send(INITIATION)
            await client.until("ping")
            await client.send_audio(b"\x00\x00")
            await client.until("audio")
            conversation = await simulator.wait_for_conversation()
        await conversation.connection.ended.wait()
        while simulator.conversations:
            await asyncio.sleep(0)
    assert not (
        conversation.log.received
        or conversation.log.sent
        or conversation.log.received_audio
        or conversation.log.sent_audio
    )
    assert not (conversation.log.received_audio_sizes or conversation.log.sent_audio_sizes)


async def test_a_fault_in_one_conversation_is_loud_and_spares_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(agent: SimulatedAgent, message: Message) -> None:
        if agent.agent_id == "agent_2":
            raise ZeroDivisionError
        await send(agent, message)

    send = SimulatedAgent.send
    monkeypatch.setattr(SimulatedAgent, "send", fail)
    with pytest.raises(ExceptionGroup, match="conversations of the simulator failed") as raised:
        async with Simulator(MANUAL) as simulator, connected(simulator) as good:
            async with connected(simulator, websocket_url(simulator, "agent_2")) as bad:
                await bad.send(INITIATION)
                assert await bad.until_closed() == (1011, "Internal error")
            await good.send(INITIATION)
            await good.until("conversation_initiation_metadata")
    (failure,) = raised.value.exceptions
    assert isinstance(failure, ExceptionGroup)
    assert failure.subgroup(ZeroDivisionError) is not None
    assert any(record.levelno == logging.ERROR for record in caplog.records)


async def test_a_port_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with Simulator(MANUAL, port=taken.getsockname()[1]):
            pass


def test_the_address_can_be_of_ipv6() -> None:
    assert Simulator(MANUAL, host="::1", port=5002).base_url == "http://[::1]:5002"


async def test_an_error_in_the_body_is_not_hidden() -> None:
    with pytest.raises(KeyError):
        async with Simulator(MANUAL):
            raise KeyError


async def test_sending_by_hand_goes_to_one_conversation_only() -> None:
    async with conversing(MANUAL) as (simulator, first), connected(simulator) as second:
        await second.send(INITIATION)
        conversation = await simulator.wait_for_conversation(2)
        await conversation.announced.wait()
        await conversation.connection.drop()
        assert (await second.until_closed())[0] == 1006
        await first.send({"type": "user_activity"})
        await simulator.conversations[0].connection.close(1000)
        assert await first.until_closed() == (1000, "")
