"""Server-sent events: of one call and of all."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest

from audiosocket_gw import events
from audiosocket_gw.http_api import event_stream
from audiosocket_gw.http_api.call_summary import summary
from audiosocket_gw.http_api.event_json import EventView
from audiosocket_gw.ledger.settings import CallerNumbers
from tests.harness.audio import ramp
from tests.harness.waiting import until
from tests.http_api.served import EventReader, served
from tests.ledger.calls import WHOLE_CALL, record_of

SAID = {"type": "user_transcript", "user_transcription_event": {"user_transcript": "My number is 0301234567"}}


async def test_the_events_of_a_call_until_it_ends() -> None:
    async with served() as (harness, client):
        line, agent = await harness.call()
        other, _ = await harness.call()
        async with client.stream("GET", f"/calls/{line.uuid}/events") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            reader = EventReader(response)
            await agent.send_audio(ramp(200))
            started = await reader.until("reply_started")
            assert (started["uuid"], started["speaker"]) == (str(line.uuid), "agent")
            assert started["at_ms"] >= 0
            await other.__aexit__()
            await line.__aexit__()
            kinds = await reader.rest()
            assert kinds[-1] == "call_ended"
        assert (await client.get(f"/calls/{line.uuid}/events")).status_code == 404


def test_what_may_be_trouble_comes_with_what_is_wrong_with_the_call() -> None:
    view = EventView(CallerNumbers.MASKED, transcripts=False)
    record = record_of()
    answered = next(event for event in WHOLE_CALL if isinstance(event, events.ToolAnswered))
    shown = view.show(answered, record, 1)
    assert shown["is_bad"] is True
    assert "agent hears nothing (wrong codec?)" in shown["trouble"]
    assert "transfer to ##########@out refused: ##########@out isn't allowed" in shown["trouble"]
    assert shown["trouble"] == summary(record, CallerNumbers.MASKED)["trouble"]
    assert "trouble" not in view.show(events.DigitPressed(record.uuid, 1.0, "1"), record, 1)


async def test_the_events_of_all_calls_are_numbered() -> None:
    async with served() as (harness, client), client.stream("GET", "/events") as response:
        reader = EventReader(response)
        line, _ = await harness.call()
        number, first = await reader.next()
        assert (number, first["type"]) == (1, "call_started")
        assert first["call"]["uuid"] == str(line.uuid)
        await line.__aexit__()
        ended = await reader.until("call_ended")
        assert ended["call"]["end"]["reason"] == "caller-hangup"
        assert ended["at_ms"] == ended["call"]["duration_ms"]


async def test_what_is_said_is_shown_only_where_the_operator_allows_it_and_masked() -> None:
    for transcripts in (False, True):
        async with (
            served(http_transcripts=transcripts) as (harness, client),
            client.stream("GET", "/events") as response,
        ):
            line, agent = await harness.call()
            await agent.send(SAID)
            said = await EventReader(response).until("caller_said")
            assert said.get("text") == ("My number is ##########" if transcripts else None)
            await line.__aexit__()


async def test_many_streams_at_once_are_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MAX_STREAMS", 3)
    async with served() as (_, client), AsyncExitStack() as stack:
        opened = await asyncio.gather(
            *(stack.enter_async_context(client.stream("GET", "/events")) for _ in range(12))
        )
        assert sorted(response.status_code for response in opened) == [200] * 3 + [503] * 9
        await stack.aclose()
        while (await status_of_stream(client)) != 200:  # they have ended, and left room
            await asyncio.sleep(0.01)


async def status_of_stream(client: httpx.AsyncClient) -> int:
    async with client.stream("GET", "/events") as response:
        return response.status_code


async def test_a_stream_ends_with_the_gateway() -> None:
    async with served() as (harness, client), client.stream("GET", "/events") as response:
        reader = EventReader(response)
        await harness.gateway.__aexit__(None, None, None)
        assert await reader.rest() == []


async def test_a_reader_that_leaves_is_forgotten() -> None:
    async with served() as (harness, client):
        before = len(asyncio.all_tasks())
        async with client.stream("GET", "/events") as response:
            await anext(response.aiter_bytes())
            assert len(harness.gateway.ledger._subscriptions) == 1
        await until(lambda: harness.gateway.ledger._subscriptions, lambda found: not found)
        await until(lambda: len(asyncio.all_tasks()), lambda count: count <= before)


async def test_a_reader_that_stops_loses_events_and_is_told_so_by_the_numbers() -> None:
    async with served() as (harness, client), client.stream("GET", "/events") as response:
        reader = EventReader(response)
        line, _ = await harness.call()
        await reader.next()
        # What a stalled reader has missed: more than wait for it.
        ledger = harness.gateway.ledger
        now = asyncio.get_running_loop().time()
        for number in range(1_000):
            ledger.observe(events.DigitPressed(line.uuid, now, str(number % 10)))
        last = 0
        while last < 900:
            last, event = await reader.next()
            assert "digit" not in event
        await line.__aexit__()
