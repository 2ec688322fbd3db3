"""The dashboard in a browser, before an HTTP surface whose calls, load and failures the test decides."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import expect

from audiosocket_gw.http_api.dashboard_files import HEADERS, read_dashboard
from tests.harness.browser import PHONE, SCHEMES, WIDTHS, Tab, chromium, open_tab, open_url
from tests.harness.waiting import until
from tests.http_api.fake_api import FakeApi, call, ended, fake_api, load

pytestmark = pytest.mark.browser

SHOWN = "document.body.dataset.view === 'calls'"
ROWS = "document.querySelectorAll('#calls tbody tr').length"
WATCH_ROWS = """
() => {
  window.touched = new Set();
  new MutationObserver(changes => changes.forEach(({target}) => {
    const element = target.nodeType === Node.TEXT_NODE ? target.parentElement : target;
    if (element.closest(".c-age") === null) {  // each second
      touched.add(element.closest("tr")?.querySelector(".caller").textContent ?? "the list");
    }
  })).observe(document.querySelector("#calls tbody"), {
    childList: true, subtree: true, attributes: true, characterData: true,
  });
}
"""
MARKUP = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>\u202egnp.exe'
"""What a caller may be named, or say."""

FAULT = {
    "id": "agent-quota",
    "what": "agent-quota: 97 of 97 ended calls",
    "why": "the quota of <b>this</b> account is used up.",
    "since": "2026-11-25T15:45:44.823Z",
    "last": "2026-11-25T15:48:44.823Z",
    "to_do": "Raise the plan or its limit.",
    "text": "",
}


@asynccontextmanager
async def dashboard(api: FakeApi, **options: Any) -> AsyncIterator[Tab]:
    """Serve the dashboard, and open it once its calls are shown and its events are followed."""
    async with fake_api(api), open_url(api.url, **options) as tab:
        await tab.wait_for(SHOWN)
        await until(lambda: api.streams)
        yield tab


def with_calls(*summaries: Any, **members: Any) -> FakeApi:
    api = FakeApi(**members)
    api.add(*summaries)
    return api


# What it shows


async def test_calls_come_change_and_go_in_place() -> None:
    api = with_calls(call(1, age_s=100), call(2, age_s=50))
    async with dashboard(api) as tab:
        await tab.wait_for(f"{ROWS} === 2")
        await tab.page.evaluate("document.querySelectorAll('#calls tbody tr')[1].marked = true")
        await tab.page.evaluate(
            "document.querySelectorAll('#calls tbody tr')[1].querySelector('.hangup').focus()"
        )
        api.happens("call_started", call(3, age_s=0, state="connecting", agent=""))
        api.happens("reply_started", call(2, age_s=51, speaker="agent"))
        await tab.wait_for(f"{ROWS} === 3")
        row = tab.page.locator("#calls tbody tr")
        await expect(row.nth(1)).to_contain_text("agent speaks")
        await expect(row.nth(2)).to_contain_text("connecting")
        api.happens("call_ended", ended(1, "agent-quota", "the quota is used up", is_bad=True))
        await tab.wait_for(f"{ROWS} === 2")
        assert await tab.page.evaluate("document.querySelectorAll('#calls tbody tr')[0].marked")
        assert await tab.page.evaluate("document.activeElement.ariaLabel") == "Hang up +49########002"
        await expect(tab.page.locator("#endings tbody tr")).to_contain_text("agent-quota")
        await expect(tab.page.locator("#live-count")).to_have_text("2")
        assert await tab.page.title() == "(2) Calls · audiosocket-gw"


async def test_an_event_touches_the_row_of_its_call_alone() -> None:
    api = with_calls(*(call(number) for number in range(300)))
    async with dashboard(api) as tab:
        await tab.wait_for(f"{ROWS} === 300")
        await tab.page.evaluate(WATCH_ROWS)
        api.happens("reply_started", api.calls[call(7)["uuid"]] | {"speaker": "agent"})
        await tab.wait_for("touched.size > 0")
        api.happens("interrupted", api.calls[call(8)["uuid"]] | {"speaker": "caller"}, discarded_ms=900)
        await tab.wait_for("touched.size > 1")
        assert await tab.page.evaluate("[...touched].sort()") == ["+49########007", "+49########008"]


async def test_trouble_is_told_in_words_and_can_be_picked_out() -> None:
    api = with_calls(
        call(1),
        call(2, silent_ms=5_000, first_audio_ms=None, is_bad=True, trouble=["agent silent for over 5 s"]),
        call(
            3,
            trouble=["2 late answers", "tool hours failed"],
            is_bad=True,
            turn_count=4,
            last_turn_ms=3_400,
        ),
    )
    busy = ended(5, "agent-busy", "too many calls at once", is_bad=True, turn_count=2, last_turn_ms=1_200)
    api.history = [ended(4), busy | {"trouble": ["agent-busy", "tool hours failed"]}]
    async with dashboard(api) as tab:
        await expect(tab.page.locator("#trouble-count")).to_have_text("2")
        await expect(tab.page.locator("#bad-endings")).to_have_text("1 bad")
        await tab.page.get_by_label("With trouble only").check()
        await tab.wait_for(f"{ROWS} === 2")
        for words in ("agent silent for over 5 s", "2 late answers", "tool hours failed", "3.40 s"):
            await expect(tab.page.locator("#calls")).to_contain_text(words)
        await expect(tab.page.locator("#endings tbody tr")).to_have_count(1)
        await tab.page.get_by_role("searchbox").fill("agent-busy")
        await expect(tab.page.locator("#calls-empty")).to_have_text("No live call passes the filter.")
        for words in ("tool hours failed · too many calls at once", "slowest 1.20 s of 2"):
            await expect(tab.page.locator("#endings")).to_contain_text(words)


async def test_a_caller_that_cant_be_decoded_is_trouble_at_once() -> None:
    api = with_calls(call(1))
    async with dashboard(api) as tab:
        await tab.wait_for(f"{ROWS} === 1")
        wrong = {"trouble": ["agent hears nothing (wrong codec?)"], "is_bad": True}
        api.happens("caller_undecodable", api.calls[call(1)["uuid"]], codec="g722", **wrong)
        await expect(tab.page.locator("#calls")).to_contain_text("agent hears nothing (wrong codec?)")
        await expect(tab.page.locator("#trouble-count")).to_have_text("1")


async def test_what_is_wrong_now_comes_first_and_nothing_is_in_the_way_otherwise() -> None:
    now = datetime.now(UTC)
    fault = FAULT | {"since": (now - timedelta(minutes=8)).isoformat(), "last": now.isoformat()}
    api = with_calls(call(1))
    async with dashboard(api) as tab:
        place = tab.page.get_by_role("status", name="Wrong now")
        await tab.wait_for(f"{ROWS} === 1")
        await expect(place).to_be_empty()
        api.load["wrong_now"] = [fault]
        await expect(place).to_contain_text("agent-quota: 97 of 97 ended calls since")
        await expect(place).to_contain_text("the quota of <b>this</b> account is used up. Raise the plan")
        api.load["wrong_now"] = [fault | {"last": (now - timedelta(minutes=5)).isoformat()}]
        await expect(place).to_contain_text("97 of 97 ended calls from")
        api.load["wrong_now"] = []
        await expect(place).to_be_empty()


async def test_calls_are_sorted_by_what_is_asked_for() -> None:
    api = with_calls(
        call(1, age_s=10, agent="b", turn_count=1, last_turn_ms=500),
        call(2, age_s=30, agent="a"),
        call(3, age_s=20, agent="c", turn_count=1, last_turn_ms=900),
    )
    last = "[...document.querySelectorAll('#calls .caller')].map(each => each.textContent.at(-1)).join('')"
    async with dashboard(api) as tab:
        await tab.wait_for(f"{last} === '231'")
        headers = tab.page.locator("#calls thead")
        for header, order, direction in (
            ("Agent", "213", "ascending"),
            ("Agent", "312", "descending"),
            ("Last answer", "312", "descending"),
            ("Caller", "123", "ascending"),
        ):
            await headers.get_by_role("button", name=header).click()
            await tab.wait_for(f"{last} === '{order}'")
            assert await headers.locator(f"[aria-sort={direction}]").inner_text() == header
        await tab.page.set_viewport_size({"width": PHONE, "height": 844})
        await tab.page.get_by_label("Sort by").select_option("age")
        await tab.wait_for(f"{last} === '231'")


async def test_the_gateway_is_shown_with_what_it_lacks() -> None:
    api = with_calls(*(call(number) for number in range(10)))
    api.load = load(
        calls=10,
        max_calls=10,
        ready=False,
        reasons=["full: MAX_CALLS calls are in progress"],
        off=["recording", "DTMF actions"],
        ami=[{"pbx": "pbx-1", "connected": True}, {"pbx": "pbx-2", "connected": False}],
        load={"bottleneck": "core", "admission": "reject", "busy": 0.95, "stolen": 0.3, "late": 0.2},
    )
    async with dashboard(api) as tab:
        gauges = tab.page.locator("#gauges")
        for words in ("10 of 10", "others keep it from running", "95 % busy", "30 % taken", "20 % late"):
            await expect(gauges).to_contain_text(words)
        await expect(gauges).to_contain_text("no connection to pbx-2")
        await expect(tab.page.locator("#off")).to_have_text("Off: recording · DTMF actions")
        await expect(tab.page.locator("#readiness")).to_have_text(
            "Not ready: full: MAX_CALLS calls are in progress"
        )
        assert "AMI : trouble" in await tab.tree("#gauges")
        api.load = load()
        await expect(tab.page.locator("#readiness")).to_have_text("Ready")


async def test_the_transcript_comes_as_it_is_spoken() -> None:
    api = with_calls(call(1))
    reply = "We are open from nine to five."
    async with dashboard(api, height=1000) as tab:
        api.happens("agent_said", call(1), text="Good morning!", corrected=False)
        api.happens("caller_said", call(1), text="When are you open?")
        await tab.page.get_by_role("button", name="Details of +49########001").click()
        lines = tab.page.get_by_role("log", name="Transcript").locator("li")
        await expect(lines).to_have_count(2)
        api.happens("agent_said", call(1), text=reply, corrected=False)
        api.happens("tool_called", call(1), name="hours", tool_call_id="t")
        api.happens("tool_answered", call(1), name="hours", tool_call_id="t", is_error=True)
        await expect(lines).to_have_text(
            [
                re.compile("Agent ?Good morning!"),
                re.compile("Caller ?When are you open?"),
                re.compile(reply),
                re.compile("The agent calls the tool hours."),
                re.compile("The tool hours failed."),
            ]
        )
        heard = {
            "reply": 2,
            "text": reply,
            "heard": "We are open",
            "heard_ms": 1,
            "length_ms": 2,
            "interrupted": True,
        }
        api.happens("reply_heard", call(1), **heard)
        await expect(lines.nth(2).locator("del")).to_have_text("from nine to five.")
        api.happens("agent_said", call(1), text="We are open", corrected=True)
        await expect(lines.nth(2).locator("del")).to_have_count(0)
        await expect(lines).to_have_count(5)
        api.happens("call_ended", ended(1, "transferred", "put through to sales"))
        await expect(tab.page.locator("#call .states")).to_have_text("ended: transferred")
        await expect(lines).to_have_count(5)
        await expect(tab.page.locator("#call .hangup")).to_be_hidden()


async def test_no_text_of_others_becomes_markup() -> None:
    texts = ("caller_number", "caller_name", "dialled_number", "agent", "pbx", "channel")
    hostile: dict[str, Any] = dict.fromkeys(texts, MARKUP)
    api = with_calls(call(1, **hostile, conversation_id=MARKUP))
    api.history = [ended(2, "agent-quota", MARKUP, is_bad=True, **hostile)]
    api.load = load(destinations=[MARKUP], version=MARKUP, ami=[{"pbx": MARKUP, "connected": False}])
    async with dashboard(api, height=1200) as tab:
        await tab.page.locator("#calls button.caller").click()
        transfer = {"name": MARKUP, "destination": MARKUP, "outcome": "failed", "detail": MARKUP}
        api.happens("caller_said", call(1, **hostile), text=MARKUP)
        api.happens("tool_called", call(1, **hostile), name=MARKUP, tool_call_id=MARKUP)
        api.happens("transfer_decided", call(1, **hostile, last_transfer=transfer), **transfer)
        await expect(tab.page.locator("#call .lines li")).to_have_count(3)
        await tab.page.locator("#call .transfer").click()
        await expect(tab.page.locator("#destinations label")).to_contain_text("<img src=x")
        assert (
            await tab.page.evaluate("document.querySelectorAll('img, main script, dialog script').length")
            == 0
        )
        assert await tab.page.evaluate("window.broken") is None
        shown = await tab.page.locator("body").inner_text()
        assert "<img src=x onerror=" in shown
        assert "\u202e" not in shown
        assert await tab.overflow() == 0


async def test_its_policy_stops_what_should_never_be_there() -> None:
    async with dashboard(FakeApi()) as tab:
        for attempt in (
            "document.body.insertAdjacentHTML('beforeend', '<b>x</b>')",
            "document.createElement('div').innerHTML = '<b>x</b>'",
        ):
            with pytest.raises(Exception, match="TrustedHTML"):
                await tab.page.evaluate(attempt)
        await tab.page.evaluate("document.body.setAttribute('style', 'color: red')")
        await tab.wait_for("true")
        tab.expect("TrustedHTML|Trusted|inline style")


# What it does


async def test_a_hang_up_is_confirmed_and_ends_that_call() -> None:
    api = with_calls(call(1, age_s=30), call(2, age_s=20, caller_name="Ann"), call(3, age_s=10))
    target = call(2)["uuid"]
    async with dashboard(api) as tab:
        button = tab.page.get_by_role("button", name="Hang up +49########002")
        await button.click()
        dialog = tab.page.get_by_role("dialog", name="Hang up?")
        await expect(dialog).to_contain_text(
            "The call of +49########002 (Ann) to 5001, with agent reception, up for 0:2"
        )
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(dialog).to_be_hidden()
        await expect(button).to_be_focused()
        assert api.actions == []
        await button.click()
        await dialog.get_by_role("button", name="Hang up").click()
        await expect(dialog).to_be_hidden()
        assert api.actions == [(f"/calls/{target}/hangup", None)]


async def test_a_transfer_goes_where_it_was_told_to() -> None:
    api = with_calls(call(1))
    async with dashboard(api) as tab:
        await tab.page.get_by_role("button", name="Transfer +49########001").click()
        dialog = tab.page.get_by_role("dialog", name="Transfer?")
        await dialog.get_by_role("button", name="Transfer").click()
        assert api.actions == [], "nothing was chosen"
        await dialog.get_by_label("sales").check()
        api.refusal = (422, "sales: the extension doesn't exist")
        await dialog.get_by_role("button", name="Transfer").click()
        await expect(dialog.get_by_role("alert")).to_have_text("sales: the extension doesn't exist")
        tab.expect("422")
        api.refusal = None
        await dialog.get_by_role("button", name="Transfer").click()
        await expect(dialog).to_be_hidden()
        assert api.actions[-1] == (f"/calls/{call(1)['uuid']}/transfer", {"destination": "sales"})
        await expect(tab.page.locator("#announcements")).to_have_text("Transferring +49########001 to sales.")


async def test_without_destinations_nothing_offers_a_transfer() -> None:
    api = with_calls(call(1))
    api.load = load(destinations=[])
    async with dashboard(api) as tab:
        await expect(tab.page.get_by_role("button", name="Hang up +49########001")).to_be_visible()
        await expect(tab.page.get_by_role("button", name="Transfer +49########001")).to_be_hidden()


async def test_a_call_that_ends_while_the_question_is_open_is_not_hung_up() -> None:
    api = with_calls(call(1))
    async with dashboard(api) as tab:
        await tab.page.get_by_role("button", name="Hang up +49########001").click()
        dialog = tab.page.get_by_role("dialog", name="Hang up?")
        api.happens("call_ended", ended(1))
        await expect(dialog.get_by_role("alert")).to_have_text("The call has ended.")
        await expect(dialog.get_by_role("button", name="Hang up")).to_be_disabled()


async def test_everything_can_be_done_by_keyboard() -> None:
    api = with_calls(call(1))
    focused = "(document.activeElement.ariaLabel ?? document.activeElement.id)"
    name = f"{focused} || document.activeElement.textContent"
    async with dashboard(api) as tab:
        press = tab.page.keyboard.press
        await tab.wait_for(f"{ROWS} === 1")
        await press("Tab")
        assert await tab.page.evaluate("document.activeElement.textContent") == "Skip to the live calls"
        await press("Enter")
        await press("/")
        assert await tab.page.evaluate(focused) == "filter"
        order = []
        for _ in range(9):
            await press("Tab")
            order.append(await tab.page.evaluate(name))
        call_by_call = ["Details of +49########001", "Transfer +49########001", "Hang up +49########001"]
        assert order == ["only-trouble", "Caller", "Agent", "Age", "Now", "Last answer", *call_by_call]
        await tab.page.get_by_role("button", name="Details of").focus()
        await press("Enter")
        await expect(tab.page.get_by_role("dialog")).to_be_visible()
        assert await tab.page.evaluate("document.activeElement.textContent") == "Close"
        await press("Tab")
        await press("Tab")
        await press("Enter")
        question = tab.page.get_by_role("dialog", name="Hang up?")
        await expect(question).to_be_visible()
        assert await tab.page.evaluate(focused) == "confirm-no"
        await press("Escape")
        await expect(question).to_be_hidden()
        await expect(tab.page.locator("#call .hangup")).to_be_focused()
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await tab.page.evaluate(outline) == "solid"
        await press("Escape")
        await expect(tab.page.locator("#call")).to_be_hidden()
        assert await tab.page.evaluate(focused) == "Details of +49########001"


@pytest.mark.parametrize("token", ["", "open sesame"])
async def test_the_page_of_a_call_opens_in_a_tab_of_its_own(token: str) -> None:
    api = FakeApi(token=token, history=[ended(1)])
    async with fake_api(api), open_url(api.url) as tab:
        if token:
            await tab.page.get_by_role("textbox", name="Token").fill(token)
            await tab.page.keyboard.press("Enter")
        link = tab.page.get_by_role("link", name="Call page of +49########001")
        await expect(link).to_be_visible()
        async with tab.page.context.expect_page() as opening:
            await link.click()
        page = await opening.value
        await expect(page).to_have_title(f"Call {ended(1)['uuid']}")
        assert token not in page.url or not token
        assert await page.evaluate("window.opener") is None
        if token:
            tab.expect("401")
            api.refusal = (404, "nothing is known of it")
            await link.click()
            await expect(tab.page.locator("#toast")).to_have_text("No call page: nothing is known of it")
            tab.expect("404")


# The token and the connection


async def test_the_token_is_asked_for_once_and_sent_as_a_header() -> None:
    api = with_calls(call(1), token="open sesame")
    async with fake_api(api), open_url(api.url) as tab:
        field = tab.page.get_by_role("textbox", name="Token")
        await expect(field).to_be_focused()
        await field.fill("wrong")
        await field.press("Enter")
        await expect(tab.page.locator("#token-error")).to_contain_text("send the header")
        await field.fill("open sesame")
        await field.press("Enter")
        await tab.wait_for(f"{ROWS} === 1")
        tab.expect("401")
        assert "sesame" not in tab.page.url
        assert await tab.page.evaluate("JSON.stringify(localStorage) + document.cookie") == "{}"
        await tab.page.reload()
        await tab.wait_for(f"{ROWS} === 1")
        await tab.page.get_by_role("button", name="Forget the token").click()
        await expect(field).to_be_focused()
        assert await tab.page.evaluate("sessionStorage.length") == 0
        tab.expect("401")


async def test_a_lost_gateway_is_said_and_found_again() -> None:
    api = with_calls(call(1), call(2))
    async with chromium() as browser:
        async with fake_api(api):
            opening = open_tab(browser, api.url)
            tab = await opening.__aenter__()
            await tab.wait_for(f"{ROWS} === 2")
        banner = tab.page.get_by_role("alert")
        await expect(banner).to_contain_text("No connection to the gateway")
        await expect(banner).to_contain_text("What you see is as of")
        await expect(tab.page.locator("#readiness")).to_have_text("Disconnected")
        assert await tab.page.title() == "Disconnected · audiosocket-gw"
        await expect(tab.page.locator("#calls .hangup").first).to_be_hidden()
        assert await tab.too_faint() == []
        api.calls.clear()
        api.add(call(3))
        async with fake_api(api, api.port):
            await tab.wait_for(f"{ROWS} === 1", 40)
            await expect(banner).to_be_hidden()
            await expect(tab.page.locator("#calls .caller")).to_have_text("+49########003")
            tab.problems.clear()  # the requests that failed meanwhile
            await opening.__aexit__(None, None, None)


async def test_a_failing_gateway_is_said() -> None:
    api = FakeApi(fails=503)
    async with fake_api(api), open_url(api.url) as tab:
        await expect(tab.page.get_by_role("alert")).to_contain_text("the test wants it to fail")
        api.fails = 0
        await tab.wait_for(SHOWN)
        tab.expect("503")


async def test_what_was_dropped_is_read_again() -> None:
    api = with_calls(call(1))
    async with dashboard(api) as tab:
        await tab.wait_for(f"{ROWS} === 1")
        api.add(call(2))
        api.lose(3)
        api.happens("reply_started", call(1, speaker="agent"))
        await tab.wait_for(f"{ROWS} === 2")


async def test_only_endings_are_announced() -> None:
    api = with_calls(*(call(number) for number in range(6)))
    async with dashboard(api) as tab:
        said = tab.page.locator("#announcements")
        api.happens("caller_said", call(0), text="Hello")
        api.happens("call_started", call(9))
        api.happens("call_ended", ended(0, "agent-lost", "gone", is_bad=True))
        await expect(said).to_have_text("+49########000 ended: agent-lost, look at it.")
        for number in range(1, 6):
            api.happens("call_ended", ended(number))
        await expect(said).to_have_text("5 calls ended.")


# For everyone

STATES = {
    "none": FakeApi(),
    "few": with_calls(
        call(1, silent_ms=5_000, first_audio_ms=None, is_bad=True, trouble=["agent silent for over 5 s"]),
        call(
            2, agent="a-name-of-an-agent-that-is-far-too-long-for-its-column", caller_name="Dr " + "Long" * 20
        ),
        call(3, speaker="agent", trouble=["tool hours failed 2 times"], turn_count=3, last_turn_ms=12_400),
        call(4, speaker="caller"),
        call(5, state="connecting", agent="", caller_number="", pbx=""),
        load=load(
            wrong_now=[FAULT, FAULT | {"id": "other", "what": "no connection to the manager interface"}]
        ),
        history=[ended(6), ended(7, "agent-unreachable", "no answer " * 20, is_bad=True)],
    ),
    "many": with_calls(*(call(number, age_s=number * 40) for number in range(500))),
}


@pytest.mark.limit(240)
@pytest.mark.parametrize("state", STATES)
async def test_it_can_be_read_by_everyone(state: str) -> None:
    async with fake_api(STATES[state]) as api, chromium() as browser:
        for width in WIDTHS:
            for scheme in SCHEMES:
                async with open_tab(browser, api.url, width=width, scheme=scheme) as tab:
                    await tab.wait_for(f"{SHOWN} && {ROWS} === {len(api.calls)}")
                    assert await tab.overflow() == 0, (width, scheme)
                    assert await tab.too_faint() == [], (width, scheme)
                    assert await tab.nameless() == [], (width, scheme)
                    if width == PHONE and api.calls:
                        buttons = [*await tab.boxes("#calls .act"), *await tab.boxes("#filter")]
                        assert min(box.bottom - box.top for box in buttons) >= 44
                    if state == "few":
                        await tab.page.locator("#calls button.caller").first.click()
                        await expect(tab.page.locator("#call .facts div").first).to_be_visible()
                        assert await tab.overflow() == 0, (width, scheme)
                        assert await tab.too_faint() == [], (width, scheme)


async def test_a_screen_reader_finds_its_way() -> None:
    async with dashboard(STATES["few"]) as tab:
        tree = await tab.tree()
        for words in (
            "banner",
            "main",
            'navigation "Lists"',
            'region "Gateway"',
            'region "Live calls 5"',
            'heading "Live calls 5" [level=2]',
            'table "Live calls 5"',
            'columnheader "Last answer"',
            'rowheader "Details of +49########001',
            'searchbox "Filter the calls"',
        ):
            assert words in tree, f"{words} is not in {tree}"
        await tab.page.set_viewport_size({"width": PHONE, "height": 844})
        tree = await tab.tree()
        assert 'rowheader "Details of +49########001' in tree


async def test_nothing_moves_where_that_is_not_wanted() -> None:
    moving = """
      document.getAnimations().length + [...document.querySelectorAll("*")].filter(
        each => getComputedStyle(each).transitionDuration !== "0s").length
    """
    async with dashboard(STATES["few"], reduced_motion=True) as tab:
        assert await tab.page.evaluate(moving) == 0


def test_the_page_has_no_data_and_no_code_of_its_own() -> None:
    pages = {file.path: file for file in read_dashboard()}
    markup = pages["/"].content.decode()
    assert re.findall(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|javascript:", markup) == []
    linked = set(re.findall(r'(?:src|href)="(dashboard/[^"]+)"', markup))
    imported = {
        f"dashboard/{name}"
        for file in pages.values()
        for name in re.findall(r'from "\./([\w.]+)"', file.content.decode())
    }
    assert {f"/{path}" for path in linked | imported} == pages.keys() - {"/"}
    assert "'unsafe" not in HEADERS["Content-Security-Policy"]


def test_no_script_writes_markup() -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.setHTML"
    for file in read_dashboard():
        assert re.findall(forbidden, file.content.decode()) == [], file.path
