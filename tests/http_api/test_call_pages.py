"""``GET /calls/{uuid}/page``: a page of each call that is known, from the best there is on it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from uuid import UUID

import pytest

from audiosocket_gw import events
from audiosocket_gw.call_page.page import content_security_policy
from audiosocket_gw.http_api import call_pages
from tests.call_page.calls import CALL, conversation
from tests.call_page.test_files import write_flight, write_recording
from tests.http_api.served import served


async def test_a_call_of_which_there_is_a_recording_has_a_page(tmp_path: Path) -> None:
    flights, recordings = tmp_path / "flights", tmp_path / "recordings"
    flights.mkdir()
    recordings.mkdir()
    async with served(flight_dir=flights, record_dir=recordings) as (_, client):
        assert (await client.get(f"/calls/{CALL}/page")).status_code == 404
        write_recording(recordings)
        answer = await client.get(f"/calls/{CALL}/page")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"].startswith(content_security_policy())
        assert "its recording (RECORD_DIR)" in answer.text
        assert "Thank you" not in answer.text
        assert "HTTP_TRANSCRIPTS shows it" in answer.text
        write_flight(flights, conversation())
        assert "its flight recording" in (await client.get(f"/calls/{CALL}/page")).text


async def test_words_are_shown_where_the_setting_allows_it(tmp_path: Path) -> None:
    write_recording(tmp_path)
    async with served(record_dir=tmp_path, http_transcripts=True) as (_, client):
        text = (await client.get(f"/calls/{CALL}/page")).text
        assert "Thank you" in text
        assert "0301234567" not in text


async def test_a_call_that_is_up_and_one_that_has_ended_have_a_page() -> None:
    async with served() as (harness, client):
        line, _ = await harness.call()
        assert "Still up" in (await client.get(f"/calls/{line.uuid}/page")).text
        await line.__aexit__()
        await harness.wait_for(events.CallEnded, line.uuid)
        text = (await client.get(f"/calls/{line.uuid}/page")).text
        assert "caller-hangup" in text
        assert "its call record alone" in text


async def test_what_is_no_call_is_an_error(tmp_path: Path) -> None:
    (tmp_path / f"20260301T123000.000Z-{CALL}.flight").write_bytes(b"nonsense")
    async with served(flight_dir=tmp_path) as (_, client):
        assert (await client.get("/calls/nonsense/page")).status_code == 404
        assert (await client.get(f"/calls/{UUID(int=5)}/page")).status_code == 404
        answer = await client.get(f"/calls/{CALL}/page")
        assert answer.status_code == 500
        assert "not a flight recording" in answer.json()["error"]


async def test_pages_are_made_one_at_a_time_and_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = 0
    most = 0
    may_end = threading.Event()

    def slow(_: object) -> bytes:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        may_end.wait(30)
        at_once -= 1
        return b"<!DOCTYPE html>"

    monkeypatch.setattr(call_pages, "make_page_apart", slow)
    async with served() as (_, client):
        asked = [asyncio.create_task(client.get(f"/calls/{CALL}/page")) for _ in range(6)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result().status_code for task in done} == {503}
        may_end.set()
        answers = sorted([answer.status_code for answer in await asyncio.gather(*asked)])
        assert answers == [200, 200, 200, 200, 503, 503]
        assert most == 1
