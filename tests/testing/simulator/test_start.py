from __future__ import annotations

import json
from dataclasses import replace

import pytest

from audiosocket_gw.testing.simulator import Close, Simulator
from audiosocket_gw.testing.simulator.scenario import Metadata, Mode
from audiosocket_gw.testing.simulator.turn import ErrorEvent
from tests.testing.simulator.client import INITIATION, MANUAL, SPEECH, connected, conversing

METADATA = "conversation_initiation_metadata"


async def test_the_metadata_comes_on_the_initiation_and_names_the_formats() -> None:
    scenario = replace(MANUAL, input_format="ulaw_8000", output_format="pcm_16000", metadata_wait_s=3_600)
    async with conversing(scenario) as (simulator, client):
        message = await client.receive()
        conversation = await simulator.wait_for_conversation()
    assert message["type"] == METADATA
    assert message[f"{METADATA}_event"] == {
        "conversation_id": conversation.conversation_id,
        "agent_output_audio_format": "pcm_16000",
        "user_input_audio_format": "ulaw_8000",
    }
    assert conversation.log.initiation == INITIATION
    assert conversation.log.sent[0][1] == message
    assert conversation.log.received[0][1] == INITIATION


async def test_any_first_message_brings_the_metadata() -> None:
    async with (
        Simulator(replace(MANUAL, metadata_wait_s=3_600)) as simulator,
        connected(simulator) as client,
    ):
        await client.send_audio(SPEECH)
        assert (await client.receive())["type"] == METADATA
        conversation = await simulator.wait_for_conversation()
        assert conversation.log.initiation is None
        assert conversation.log.received_audio == SPEECH


@pytest.mark.parametrize(
    "scenario", [replace(MANUAL, metadata=Metadata.AT_ONCE), replace(MANUAL, metadata_wait_s=0.02)]
)
async def test_the_metadata_can_come_without_a_message(scenario: object) -> None:
    assert isinstance(scenario, type(MANUAL))
    async with Simulator(scenario) as simulator, connected(simulator) as client:
        assert (await client.receive())["type"] == METADATA
        await client.send(INITIATION)
        await client.until("ping")


async def test_the_metadata_can_stay_away() -> None:
    async with conversing(replace(MANUAL, metadata=Metadata.NEVER)) as (simulator, client):
        await client.send({"type": "user_activity"})
        conversation = await simulator.wait_for_conversation()
        await conversation.connection.close(1000)
        assert await client.until_closed() == (1000, "")
    assert client.messages == []
    assert not conversation.announced.is_set()


async def test_the_metadata_can_be_malformed() -> None:
    async with conversing(replace(MANUAL, metadata=Metadata.MALFORMED)) as (_, client):
        assert await client.receive() == {"type": METADATA}


async def test_the_metadata_can_be_no_json() -> None:
    async with conversing(replace(MANUAL, metadata=Metadata.NOT_JSON)) as (_, client):
        with pytest.raises(json.JSONDecodeError):
            await client.receive()


async def test_early_audio_can_be_forbidden() -> None:
    scenario = replace(MANUAL, early_audio=False)
    async with Simulator(scenario) as simulator, connected(simulator) as client:
        await client.send_audio(SPEECH)
        assert await client.until_closed() == (1008, "Invalid message received")
        assert "audio before the metadata" in simulator.conversations[0].log.violations[0]


def initiation(**fields: object) -> dict[str, object]:
    return INITIATION | fields


LLM = initiation(conversation_config_override={"agent": {"prompt": {"llm": "x"}, "language": "en"}})


@pytest.mark.parametrize("metadata", [Metadata.ON_INIT, Metadata.AT_ONCE])
async def test_an_override_that_is_not_allowed_ends_it_after_the_metadata(metadata: Metadata) -> None:
    async with conversing(replace(MANUAL, metadata=metadata, overrides=("agent.language",)), LLM) as (
        _,
        client,
    ):
        assert await client.until_closed() == (1008, "Override for field 'llm' is not allowed by config.")
    assert client.types() == [METADATA, "error"]
    assert client.messages[-1]["error_event"]["error_type"] == "override_error"


async def test_an_override_that_is_allowed_does_not() -> None:
    async with conversing(replace(MANUAL, overrides=("agent.language", "agent.prompt.llm")), LLM) as (
        _,
        client,
    ):
        await client.until("ping")
    assert client.types() == [METADATA]


@pytest.mark.parametrize("form", list(ErrorEvent))
async def test_a_missing_variable_ends_it(form: ErrorEvent) -> None:
    scenario = replace(MANUAL, variables=("caller_id", "department"), error_events=form)
    async with conversing(scenario, initiation(dynamic_variables={"caller_id": "100"})) as (_, client):
        reason = "Missing required dynamic variables: department"
        assert await client.until_closed() == (1008, reason)
    error = client.messages[-1]
    if form == ErrorEvent.NESTED:
        assert error["error_event"]["error_type"] == "missing_dynamic_variable"
    elif form == ErrorEvent.FLAT:
        assert error == {"type": "error", "message": reason}
    else:
        assert "error" not in client.types()


async def test_variables_are_missing_without_any_initiation() -> None:
    scenario = replace(MANUAL, variables=("caller_id",), metadata_wait_s=0.02)
    async with Simulator(scenario) as simulator, connected(simulator) as client:
        assert (await client.until_closed())[0] == 1008


async def test_the_queue_lets_in_and_discards_until_then() -> None:
    scenario = replace(MANUAL, mode=Mode.ECHO, queue=("waiting", "admitted"), queue_wait_s=0.5)
    async with conversing(scenario) as (_, client):
        await client.until("queue_status")
        await client.send_audio(b"lost")
        await client.until("queue_status")
        await client.send_audio(b"kept")
        await client.until("audio")
    assert client.audio == b"kept"
    assert client.types() == [METADATA, "queue_status", "queue_status"]


async def test_the_queue_can_time_out() -> None:
    close = Close(4300, "The agent is at capacity")
    scenario = replace(MANUAL, queue=("waiting", "timed_out"), queue_wait_s=0.01, close_at_start=close)
    async with conversing(scenario) as (_, client):
        assert await client.until_closed() == (4300, "The agent is at capacity")
    statuses = [
        message["queue_status_event"]["status"]
        for message in client.messages
        if "queue_status_event" in message
    ]
    assert statuses == ["waiting", "timed_out"]
