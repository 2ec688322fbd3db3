"""``GET /history``: pages of the past, and what is answered while its disk isn't."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from audiosocket_gw import events
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import HistoryError
from audiosocket_gw.ledger.history import History
from tests.harness.gateway import GatewayHarness
from tests.harness.waiting import until
from tests.http_api.served import served


async def end_calls(harness: GatewayHarness, *reasons: EndReason) -> list[str]:
    """Have calls end that never were; return their UUIDs."""
    calls = [uuid4() for _ in reasons]
    for call, reason in zip(calls, reasons, strict=True):
        harness.gateway.ledger.observe(events.CallStarted(call, 1.0, "192.0.2.1:1"))
        harness.gateway.ledger.observe(events.CallEnded(call, 2.0, CallEnd(reason, "why"), 1_000, 500))
    history = harness.gateway.archive.history
    if history is not None:
        await until(lambda: not history._waiting)
    return [str(call) for call in calls]


async def test_the_pages_of_the_history(tmp_path: Path) -> None:
    async with served(history_db=tmp_path / "history.db") as (harness, client):
        calls = await end_calls(harness, *[EndReason.CALLER_HANGUP] * 5)
        seen, before = [], ""
        for _ in range(3):
            page = (await client.get(f"/history?limit=2{before}")).json()
            seen += [call["uuid"] for call in page["calls"]]
            before = f"&before={page['before']}"
        assert (seen, page["before"]) == (calls[::-1], None)


@pytest.mark.parametrize("kept", [True, False])
async def test_what_is_wanted_can_be_narrowed_down(kept: bool, tmp_path: Path) -> None:
    async with served(**{"history_db": tmp_path / "history.db"} if kept else {}) as (harness, client):
        quota, fine = await end_calls(harness, EndReason.AGENT_QUOTA, EndReason.CALLER_HANGUP)
        for query, wanted in (
            ("", [fine, quota]),
            ("?limit=1", [fine]),
            ("?bad=true", [quota]),
            ("?bad=false", [fine]),
            ("?reason=agent-quota", [quota]),
            ("?agent=nobody", []),
            ("?since=2000-01-01T00:00:00Z", [fine, quota]),
            ("?since=2999-01-01T00:00:00", []),
        ):
            answer = await client.get(f"/history{query}")
            assert [call["uuid"] for call in answer.json()["calls"]] == wanted, query


async def test_a_call_of_the_past_by_itself(tmp_path: Path) -> None:
    database = tmp_path / "history.db"
    async with served(history_db=database) as (harness, _):
        (call,) = await end_calls(harness, EndReason.CALLER_HANGUP)
    async with served(history_db=database) as (harness, client):
        answer = await client.get(f"/calls/{call}")
        assert (answer.status_code, answer.json()["end"]["reason"]) == (200, "caller-hangup")
        answer = await client.get(f"/calls/{call}/page")
        assert (answer.status_code, call in answer.text) == (200, True)
        assert (await client.get(f"/calls/{uuid4()}")).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=501", "limit=x", "limit=", "before=-1", "before=99999999999999999999"),
        *("bad=yes", "reason=boredom", "since=yesterday"),
    ],
)
async def test_a_parameter_of_another_form_is_named(query: str) -> None:
    async with served() as (_, client):
        answer = await client.get(f"/history?{query}")
        assert answer.status_code == 422
        assert answer.json()["error"].startswith(query.partition("=")[0])


async def test_while_its_disk_hangs_the_last_calls_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(history: History, question: object) -> None:
        raise HistoryError("its disk hangs")

    async with served(history_db=tmp_path / "history.db") as (harness, client):
        calls = await end_calls(harness, EndReason.CALLER_HANGUP)
        monkeypatch.setattr(History, "find", hang)
        monkeypatch.setattr(History, "get", hang)
        answer = await client.get("/history")
        assert [call["uuid"] for call in answer.json()["calls"]] == calls
        for path in ("/history?before=1", f"/calls/{UUID(int=7)}"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()) == (503, {"error": "its disk hangs"})
