from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from audiosocket_gw.testing.simulator import Close, Simulator, Turn, load_scenario
from audiosocket_gw.testing.simulator.scenario import Scenario
from audiosocket_gw.testing.simulator.turn import CloseAt, Disconnect, ErrorEvent
from audiosocket_gw.testing.simulator.websocket import EndedBy
from tests.testing.simulator.client import MANUAL, QUIET, SILENCE, SPEECH, beep, connected, conversing


def greeting_with(close: Close, folder: Path, ms: int = 100) -> Scenario:
    return replace(QUIET, greeting=Turn(say=beep(folder, ms), close=close))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1002, "This request exceeds your quota limit."),
        (1011, "Internal error"),
        (3000, "quota_exceeded"),
        (3008, "too many concurrent connections"),
    ],
)
async def test_any_code_closes_after_the_reply_is_sent(tmp_path: Path, code: int, reason: str) -> None:
    async with conversing(greeting_with(Close(code, reason), tmp_path, ms=3_000)) as (simulator, client):
        assert await client.until_closed() == (code, reason)
        conversation = simulator.conversations[0]
    assert (conversation.connection.close_code, conversation.connection.close_reason) == (code, reason)
    assert conversation.connection.ended_by is EndedBy.SIMULATOR
    assert len(client.audio) == 48_000
    assert conversation.playing_until > conversation.now()


async def test_it_closes_in_the_middle_of_a_reply(tmp_path: Path) -> None:
    async with conversing(greeting_with(Close(1000, at=CloseAt.MID_REPLY), tmp_path)) as (_, client):
        assert await client.until_closed() == (1000, "")
    assert 0 < len(client.audio) < 1_600
    assert len(client.audio_events) == 1


async def test_it_closes_when_the_reply_has_been_heard(tmp_path: Path) -> None:
    async with conversing(greeting_with(Close(1000, at=CloseAt.AFTER_PLAYBACK), tmp_path)) as (
        simulator,
        client,
    ):
        assert await client.until_closed() == (1000, "")
        conversation = simulator.conversations[0]
        assert conversation.now() >= conversation.log.sent_audio_sizes[0][0] + 0.1


async def test_who_interrupts_the_goodbye_is_not_cut_off(tmp_path: Path) -> None:
    scenario = greeting_with(Close(1000, at=CloseAt.AFTER_PLAYBACK), tmp_path, ms=2_000)
    async with conversing(scenario) as (_, client):
        await client.until("agent_response")
        await client.send_audio(SPEECH, SILENCE)
        await client.until("interruption")
        await client.until("user_transcript")


@pytest.mark.parametrize("how", [Disconnect.DROP, Disconnect.GARBAGE])
async def test_the_connection_can_break(tmp_path: Path, how: Disconnect) -> None:
    async with conversing(greeting_with(Close(how=how, at=CloseAt.MID_REPLY), tmp_path)) as (
        simulator,
        client,
    ):
        assert (await client.until_closed())[0] == 1006
        conversation = simulator.conversations[0]
        assert conversation.connection.close_code == 1006
        assert conversation.connection.ended_by is EndedBy.SIMULATOR


async def test_an_error_can_come_before_the_close(tmp_path: Path) -> None:
    close = Close(1002, "Model failed", error=ErrorEvent.NESTED, error_type="llm_timeout")
    async with conversing(greeting_with(close, tmp_path)) as (_, client):
        assert await client.until_closed() == (1002, "Model failed")
    error = client.messages[-1]["error_event"]
    assert (error["code"], error["message"], error["error_type"]) == (1002, "Model failed", "llm_timeout")


async def test_end_call_leaves_its_trace() -> None:
    scenario = replace(load_scenario("end-call"), greeting=Turn(), silence_ms=40, think_s=0)
    async with conversing(scenario) as (_, client):
        await client.until("ping")
        await client.say_something()
        assert (await client.until_closed())[0] == 1000
    trace = client.messages[-1]["agent_tool_response"]
    assert (trace["tool_name"], trace["tool_type"], trace["is_error"]) == ("end_call", "system", False)


async def test_the_quota_scenario_closes_with_a_flat_error() -> None:
    async with conversing(load_scenario("quota")) as (_, client):
        assert await client.until_closed() == (1002, "This request exceeds your quota limit.")
    assert client.messages[-1] == {"type": "error", "message": "This request exceeds your quota limit."}


async def test_a_long_reason_is_cut_to_what_a_close_frame_holds() -> None:
    async with conversing(MANUAL) as (simulator, client):
        conversation = await simulator.wait_for_conversation()
        await conversation.connection.close(1008, "ä" * 100)
        assert await client.until_closed() == (1008, "ä" * 61)


async def test_the_client_may_vanish() -> None:
    async with conversing(MANUAL) as (simulator, client):
        await client.until("ping")
        client.websocket.transport.abort()
        conversation = await simulator.wait_for_conversation()
        await conversation.connection.ended.wait()
        assert (conversation.connection.close_code, conversation.connection.ended_by) == (
            1006,
            EndedBy.CLIENT,
        )


async def test_nothing_happens_after_the_end() -> None:
    async with conversing(MANUAL) as (simulator, client):
        conversation = await simulator.wait_for_conversation()
        await conversation.connection.close(1000, "Bye")
        before = len(conversation.log.sent)
        await conversation.send({"type": "ping"})
        await conversation.send_audio(b"\x00\x00")
        await conversation.call_tool("too_late", {})
        await conversation.connection.close(1011)
        await conversation.connection.drop()
        assert (conversation.connection.close_code, conversation.connection.close_reason) == (1000, "Bye")
        assert len(conversation.log.sent) == before
        assert conversation.log.sent_audio == b""
        await client.until_closed()


async def test_leaving_ends_what_is_still_going_on() -> None:
    async with AsyncExitStack() as clients:
        async with Simulator(MANUAL) as simulator:
            client = await clients.enter_async_context(connected(simulator))
            conversation = await simulator.wait_for_conversation()
        assert await client.until_closed() == (1012, "")
    assert (conversation.connection.close_code, conversation.connection.ended_by) == (1012, EndedBy.SIMULATOR)


async def test_leaving_does_not_wait_for_clients_that_do_not_read() -> None:
    async with AsyncExitStack() as clients:
        async with Simulator(MANUAL) as simulator:
            client = await clients.enter_async_context(connected(simulator))
            client.websocket.transport.pause_reading()
            conversation = await simulator.wait_for_conversation()
            flood = asyncio.gather(*(conversation.send_audio(bytes(2_000_000)) for _ in range(8)))
            await asyncio.sleep(0.1)
            assert not flood.done()
        await flood
        client.websocket.transport.abort()
