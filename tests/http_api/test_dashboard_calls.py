"""The dashboard in a browser, before a real gateway whose calls are really up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from playwright.async_api import Locator, expect
from pydantic import SecretStr

from audiosocket_gw import events
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.testing.simulator import Scenario
from tests.harness.agent_messages import agent_response, user_transcript
from tests.harness.audio import ramp
from tests.harness.browser import PHONE, Tab, open_url
from tests.harness.call import CHANNEL, controlled
from tests.harness.gateway import MANUAL, GatewayHarness, running_gateway
from tests.harness.waiting import until
from tests.http_api.served import url_of

pytestmark = pytest.mark.browser

TOKEN = "a-token-of-the-test-long-enough"
HOSTILE = "<img src=x onerror='window.broken=1'>"


@asynccontextmanager
async def watched(
    scenario: Scenario = MANUAL, width: int = 1280, **settings: Any
) -> AsyncIterator[tuple[GatewayHarness, Tab]]:
    """Run a gateway and open its dashboard, which follows its calls."""
    async with (
        running_gateway(scenario, **({"http_port": 0, "http_transcripts": True} | settings)) as harness,
        open_url(url_of(harness.gateway), width=width) as tab,
    ):
        if "http_token" not in settings:
            await shows_calls(tab)
        yield harness, tab


async def shows_calls(tab: Tab) -> None:
    await expect(tab.page.locator("#readiness")).to_have_text("Ready", timeout=30_000)


def row_of(tab: Tab, uuid: UUID) -> Locator:
    """Return the row of a call: the caller is unknown, and the row has the beginning of the UUID."""
    return tab.page.locator("#calls tbody tr", has_text=f"call {str(uuid)[:8]}")


async def test_a_call_appears_speaks_and_ends() -> None:
    async with watched() as (harness, tab):
        await expect(tab.page.locator("#calls-empty")).to_contain_text("No call is up")
        line, agent = await harness.call()
        row = row_of(tab, line.uuid)
        await expect(row).to_contain_text("no word yet")
        await agent.send_audio(ramp(60_000))
        await expect(row).to_contain_text("agent speaks")
        await agent.interrupt()
        await expect(row).to_contain_text("caller speaks")
        await line.__aexit__()
        await expect(row).to_have_count(0)
        ending = tab.page.locator("#endings tbody tr")
        await expect(ending).to_contain_text("caller-hangup")
        await expect(ending.locator(".badge")).to_have_attribute("data-kind", "ok")
        await expect(tab.page.locator("#announcements")).to_contain_text("ended: caller-hangup.")


async def test_what_is_said_is_shown_and_is_never_markup() -> None:
    async with watched() as (harness, tab):
        line, agent = await harness.call()
        await row_of(tab, line.uuid).locator("button.caller").click()
        await agent.send(user_transcript(f"My name is {HOSTILE}", 1))
        await agent.send(agent_response("Good morning", 2))
        lines = tab.page.get_by_role("log", name="Transcript").locator("li")
        await expect(lines).to_have_count(2)
        await expect(lines.first).to_contain_text(f"My name is {HOSTILE}")
        assert await tab.page.evaluate("window.broken") is None
        assert await tab.page.locator("img").count() == 0
        await line.__aexit__()


async def test_a_gateway_that_keeps_transcripts_to_itself_says_so() -> None:
    async with watched(http_transcripts=False) as (harness, tab):
        line, agent = await harness.call()
        await row_of(tab, line.uuid).locator("button.caller").click()
        await agent.send(user_transcript("my secret", 1))
        await expect(tab.page.locator("#call .empty")).to_contain_text("HTTP_TRANSCRIPTS=true")
        assert "my secret" not in await tab.page.content()
        await line.__aexit__()


async def test_a_hang_up_ends_that_call_and_no_other() -> None:
    async with watched(http_token=SecretStr(TOKEN)) as (harness, tab):
        await tab.page.get_by_role("textbox", name="Token").fill(TOKEN)
        await tab.page.keyboard.press("Enter")
        await shows_calls(tab)
        tab.expect("401")
        calls = [await harness.call() for _ in range(3)]
        chosen = calls[1][0]
        await expect(tab.page.locator("#calls tbody tr")).to_have_count(3)
        await row_of(tab, chosen.uuid).get_by_role("button", name="Hang up").click()
        dialog = tab.page.get_by_role("dialog", name="Hang up?")
        await expect(dialog).to_contain_text(f"call {str(chosen.uuid)[:8]}")
        await dialog.get_by_role("button", name="Hang up").click()
        await chosen.ended.wait()
        assert chosen.hung_up
        await chosen.__aexit__()
        ended = await harness.wait_for(events.CallEnded)
        assert (ended.uuid, ended.reason) == (chosen.uuid, EndReason.OPERATOR_HANGUP)
        await expect(tab.page.locator("#calls tbody tr")).to_have_count(2)
        await expect(tab.page.locator("#endings")).to_contain_text("operator-hangup")
        assert harness.gateway.calls == 2
        for line, _ in calls:
            await line.__aexit__()


async def test_a_transfer_reaches_the_callers_channel() -> None:
    settings = {"http_port": 0, "transfer_destinations": "sales=600@transfer-targets"}
    async with controlled(**settings) as call, open_url(url_of(call.harness.gateway)) as tab:
        await shows_calls(tab)
        await tab.page.locator("#calls .transfer").click()
        dialog = tab.page.get_by_role("dialog", name="Transfer?")
        await dialog.get_by_label("sales").check()
        await dialog.get_by_role("button", name="Transfer").click()
        order = await call.pbx.came("Redirect")
        assert (order["Channel"], order["Exten"], order["Context"]) == (CHANNEL, "600", "transfer-targets")
        await expect(tab.page.locator("#calls td.c-state")).to_contain_text("to sales")
        call.lands()
        call.lets_go()
        assert (await call.ended()).reason is EndReason.TRANSFERRED
        await expect(tab.page.locator("#endings")).to_contain_text("transferred")


async def test_a_page_that_is_opened_amid_calls_agrees_with_the_gateway() -> None:
    async with running_gateway(http_port=0) as harness:
        calls = [await harness.call() for _ in range(5)]
        await calls[0][1].send_audio(ramp(60_000))
        await harness.wait_for(events.ReplyStarted)
        await calls[4][0].__aexit__()
        await harness.wait_for(events.CallEnded)
        async with open_url(url_of(harness.gateway), width=PHONE) as tab:
            await expect(tab.page.locator("#calls tbody tr")).to_have_count(4)
            await expect(row_of(tab, calls[0][0].uuid)).to_contain_text("agent speaks")
            await expect(tab.page.locator("#endings tbody tr")).to_have_count(1)
            assert await tab.overflow() == 0
        for line, _ in calls:
            await line.__aexit__()


async def test_the_page_of_a_call_that_has_ended() -> None:
    async with watched(http_token=SecretStr(TOKEN)) as (harness, tab):
        await tab.page.get_by_role("textbox", name="Token").fill(TOKEN)
        await tab.page.keyboard.press("Enter")
        await shows_calls(tab)
        tab.expect("401")
        line, agent = await harness.call()
        await agent.send(user_transcript("Good morning", 1))
        await harness.wait_for(events.CallerSaid)
        await line.__aexit__()
        ending = tab.page.locator("#endings tbody tr")
        await ending.locator("button.caller").click()
        panel = tab.page.locator("#call")
        await expect(panel.get_by_role("log", name="Transcript")).to_contain_text("Good morning")
        await expect(panel).to_contain_text("ended: caller-hangup")
        async with tab.page.context.expect_page() as opening:
            await ending.get_by_role("link").click()
        page = await opening.value
        await expect(page.locator("h1")).to_be_visible(timeout=60_000)
        await expect(page.locator("main")).to_contain_text(str(line.uuid))
        again = await page.reload()
        assert again is not None
        assert again.status == 401, "a ticket is good once"


async def test_the_page_survives_a_gateway_that_stops() -> None:
    async with running_gateway(http_port=0) as harness:
        opening = open_url(url_of(harness.gateway))
        tab = await opening.__aenter__()
        await shows_calls(tab)
    await expect(tab.page.get_by_role("alert")).to_contain_text("No connection to the gateway")
    tab.problems.clear()
    await opening.__aexit__(None, None, None)


async def test_the_files_need_no_token_and_hold_nothing() -> None:
    async with (
        running_gateway(http_port=0, http_token=SecretStr(TOKEN)) as harness,
        httpx.AsyncClient(base_url=url_of(harness.gateway), trust_env=False) as client,
    ):
        for path in ("/", "/dashboard/app.js", "/dashboard/dashboard.css", "/dashboard/icon.svg"):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert (await client.get("/calls")).status_code == 401
        assert (await client.get("/dashboard/")).status_code in (401, 404)
        await until(lambda: harness.gateway.calls == 0)
