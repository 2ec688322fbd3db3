"""What was said and done in a call, for an operator who looks at it afterwards."""

from __future__ import annotations

from uuid import uuid4

from audiosocket_gw import events
from audiosocket_gw.http_api.event_json import MAX_TEXT
from audiosocket_gw.http_api.transcripts import MAX_LINES
from tests.harness.agent_messages import agent_response, user_transcript
from tests.harness.audio import ramp
from tests.http_api.served import served


async def test_the_transcript_of_a_call_while_it_is_up_and_when_it_has_ended() -> None:
    async with served(http_transcripts=True) as (harness, client):
        line, agent = await harness.call()
        await agent.send(agent_response("Good morning", 1))
        await agent.send(user_transcript("My number is 0301234567", 2))
        await harness.wait_for(events.CallerSaid)
        path = f"/calls/{line.uuid}/transcript"
        answer = (await client.get(path)).json()
        assert answer["texts"]
        said = [(each["type"], each["text"]) for each in answer["lines"]]
        assert said == [("agent_said", "Good morning"), ("caller_said", "My number is ##########")]
        assert all(0 <= each["at_ms"] < 60_000 for each in answer["lines"])
        await agent.send_audio(ramp(60_000))
        await harness.wait_for(events.ReplyStarted)
        await agent.interrupt()
        await harness.wait_for(events.Interrupted)
        await line.__aexit__()
        await harness.wait_for(events.CallEnded)
        lines = (await client.get(path)).json()["lines"]
        assert lines[:2] == answer["lines"]
        assert "interrupted" in [each["type"] for each in lines]


async def test_without_leave_nothing_that_was_said_is_kept() -> None:
    async with served() as (harness, client):
        line, agent = await harness.call()
        await agent.send(user_transcript("my secret", 1))
        await harness.wait_for(events.CallerSaid)
        answer = (await client.get(f"/calls/{line.uuid}/transcript")).json()
        assert not answer["texts"]
        assert [each["type"] for each in answer["lines"]] == ["caller_said"]
        assert "text" not in answer["lines"][0]
        await line.__aexit__()


async def test_a_transcript_has_an_end() -> None:
    async with served(http_transcripts=True) as (harness, client):
        line, _ = await harness.call()
        ledger = harness.gateway.ledger
        for number in range(MAX_LINES + 50):
            ledger.observe(events.CallerSaid(line.uuid, 0.0, f"{number}.".ljust(2 * MAX_TEXT, "x")))
        lines = (await client.get(f"/calls/{line.uuid}/transcript")).json()["lines"]
        assert len(lines) == MAX_LINES
        assert lines[0]["text"].startswith("50.")
        assert {len(each["text"]) for each in lines} == {MAX_TEXT}
        await line.__aexit__()


async def test_an_unknown_call_has_none() -> None:
    async with served() as (_, client):
        answer = await client.get(f"/calls/{uuid4()}/transcript")
        assert answer.status_code == 404
        assert "live and of recent calls" in answer.json()["error"]
