from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from audiosocket_gw.testing.simulator.scenario import Scenario
from audiosocket_gw.testing.simulator.turn import ErrorEvent
from audiosocket_gw.testing.simulator.websocket import EndedBy
from tests.testing.simulator.client import INITIATION, MANUAL, Client, conversing

INVALID = (1008, "Invalid message received")


async def outcome(
    raw: str | bytes, scenario: Scenario = MANUAL
) -> tuple[tuple[int | None, str | None], Client, str]:
    """Send something after the metadata; return the close, the client, and the simulator's complaint."""
    async with conversing(scenario) as (simulator, client):
        await client.until("conversation_initiation_metadata")
        await client.websocket.send(raw)
        closed = await client.until_closed()
        conversation = simulator.conversations[0]
        await conversation.connection.ended.wait()
        assert (conversation.connection.close_code, conversation.connection.close_reason) == closed
        assert conversation.connection.ended_by is EndedBy.SIMULATOR
    return closed, client, conversation.log.violations[0]


@pytest.mark.parametrize(
    ("raw", "violation"),
    [
        (" ", "not JSON"),
        (b"{}", "a binary WebSocket message"),
        ("[]", "a JSON list"),
        ('{"type": "interrupt"}', "unknown type"),
        ('{"type": "pong", "event_id": 99}', "a pong with event_id 99"),
        (json.dumps(INITIATION), "a second conversation_initiation_client_data"),
        (
            '{"type": "client_tool_result", "tool_call_id": "x", "result": "", "is_error": false}',
            "tool_call_id 'x', which was never called",
        ),
        (
            '{"type": "client_tool_result", "tool_call_id": "x", "result": {}, "is_error": false}',
            "is dict, not str",
        ),
        (json.dumps({"user_audio_chunk": base64.b64encode(b"odd").decode()}), "half a sample"),
    ],
)
async def test_what_a_client_must_not_send(raw: str | bytes, violation: str) -> None:
    closed, client, complaint = await outcome(raw)
    assert closed == INVALID
    assert violation in complaint
    error = client.messages[-1]["error_event"]
    assert (error["code"], error["error_type"], error["debug_message"]) == (
        1008,
        "invalid_message",
        complaint,
    )


async def test_an_odd_number_of_bytes_is_fine_in_mu_law() -> None:
    async with conversing(replace(MANUAL, input_format="ulaw_8000")) as (simulator, client):
        await client.send_audio(b"odd")
        await client.websocket.close()
        conversation = await simulator.wait_for_conversation()
        await conversation.connection.ended.wait()
    assert conversation.log.received_audio == b"odd"
    assert [size for _, size in conversation.log.received_audio_sizes] == [3]


async def test_the_harmless_messages_are_taken() -> None:
    async with conversing(MANUAL) as (simulator, client):
        for message in ({"type": "user_activity"}, {"type": "user_message", "text": "Hi"}):
            await client.send(message)
        await client.websocket.close(1000, "User ended conversation")
        conversation = await simulator.wait_for_conversation()
        await conversation.connection.ended.wait()
    assert [message["type"] for _, message in conversation.log.received][1:] == [
        "user_activity",
        "user_message",
    ]
    assert conversation.log.violations == []
    assert (conversation.connection.close_code, conversation.connection.close_reason) == (
        1000,
        "User ended conversation",
    )
    assert conversation.connection.ended_by is EndedBy.CLIENT


async def test_pings_start_without_a_latency_and_then_carry_it() -> None:
    async with conversing(replace(MANUAL, ping_interval_s=0.05)) as (_, client):
        for event_id in range(3):
            ping = (await client.until("ping"))["ping_event"]
            assert ping["event_id"] == event_id
            assert (ping["ping_ms"] is None) == (event_id == 0)
            await client.send({"type": "pong", "event_id": event_id})


async def test_a_ping_is_answered_once() -> None:
    async with conversing(replace(MANUAL, first_ping_id=5)) as (_, client):
        event_id = (await client.until("ping"))["ping_event"]["event_id"]
        assert event_id == 5
        await client.send({"type": "pong", "event_id": event_id})
        await client.send({"type": "pong", "event_id": event_id})
        assert await client.until_closed() == INVALID


async def test_a_pong_can_have_a_deadline() -> None:
    async with conversing(replace(MANUAL, pong_timeout_s=0.5, ping_interval_s=0.01)) as (_, client):
        await client.until("ping")
        await client.send({"type": "pong", "event_id": 0})
        await client.until("ping")
        assert await client.until_closed() == (1002, "Ping was not answered")


async def test_a_client_that_only_answers_pings_is_disconnected() -> None:
    scenario = replace(MANUAL, input_timeout_s=0.3, ping_interval_s=0.05, error_events=ErrorEvent.NESTED)
    async with conversing(scenario) as (_, client):
        for _ in range(2):
            ping = await client.until("ping")
            await client.send({"type": "pong", "event_id": ping["ping_event"]["event_id"]})
        assert await client.until_closed() == (1002, "No user input for 0.3 seconds")
    assert client.messages[-1]["error_event"]["error_type"] == "transport_receive_timeout"


async def test_input_puts_the_timeout_off() -> None:
    async with conversing(replace(MANUAL, input_timeout_s=0.5, ping_interval_s=0.1)) as (_, client):
        for _ in range(8):
            await client.until("ping")
            await client.send({"type": "user_activity"})
        assert (await client.until_closed())[0] == 1002


async def test_a_conversation_has_a_longest_duration() -> None:
    async with conversing(replace(MANUAL, max_duration_s=0.1)) as (_, client):
        assert await client.until_closed() == (1000, "Conversation has exceeded maximum duration")


async def test_a_broken_websocket_frame_ends_only_this_conversation() -> None:
    async with conversing(MANUAL) as (simulator, client):
        await client.until("conversation_initiation_metadata")
        transport = client.websocket.transport
        transport.write(b"\xff" * 10)
        conversation = await simulator.wait_for_conversation()
        await conversation.connection.ended.wait()
        await conversation.send({"type": "ping"})
        assert conversation.connection.ended_by is EndedBy.CLIENT
        assert conversation.connection.close_code == 1002
