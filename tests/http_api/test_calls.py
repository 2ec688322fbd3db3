"""The calls and what an operator does to them, over HTTP: a real gateway, real calls."""

from __future__ import annotations

from uuid import uuid4

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from tests.harness.audio import ramp
from tests.http_api.served import served


async def test_the_list_and_the_record_of_a_call() -> None:
    async with served() as (harness, client):
        assert (await client.get("/calls")).json() == {"calls": []}
        line, agent = await harness.call()
        await agent.send_audio(ramp(200))
        await harness.wait_for(events.ReplyStarted)
        record = (await client.get(f"/calls/{line.uuid}")).json()
        assert record["uuid"] == str(line.uuid)
        assert record["state"] == "talking"
        assert record["speaker"] == "agent"
        assert record["duration_ms"] > 0
        await line.__aexit__()


async def test_a_call_that_has_ended_is_history() -> None:
    async with served() as (harness, client):
        line, _ = await harness.call()
        await line.__aexit__()
        await harness.wait_for(events.CallEnded)
        ended = (await client.get("/history")).json()["calls"]
        assert [call["end"]["reason"] for call in ended] == ["caller-hangup"]
        assert (await client.get("/history?bad=true")).json() == {"calls": [], "before": None}
        assert (await client.get(f"/calls/{line.uuid}")).json()["end"]["reason"] == "caller-hangup"


async def test_an_operator_hangs_up_at_once_whatever_the_agent_says() -> None:
    async with served() as (harness, client):
        line, agent = await harness.call()
        await agent.send_audio(ramp(20_000))
        await harness.wait_for(events.ReplyStarted)
        answer = await client.post(f"/calls/{line.uuid}/hangup")
        assert (answer.status_code, answer.json()) == (202, {"accepted": "hangup"})
        again = await client.post(f"/calls/{line.uuid}/hangup")
        assert again.status_code == 409
        await line.ended.wait()
        assert line.hung_up
        await line.__aexit__()
        ended = await harness.wait_for(events.CallEnded)
        assert ended.reason is EndReason.OPERATOR_HANGUP
        assert ended.heard_ms < 5_000


async def test_an_unknown_call() -> None:
    async with served() as (_, client):
        for answer in (
            await client.post(f"/calls/{uuid4()}/hangup"),
            await client.post(f"/calls/{uuid4()}/transfer", json={"destination": "sales"}),
            await client.get(f"/calls/{uuid4()}"),
            await client.get("/calls/nonsense"),
        ):
            assert answer.status_code == 404
            assert "GET /calls" in answer.json()["error"]
