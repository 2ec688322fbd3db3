"""The page in a real browser: no label hides another at any width; all can read it, hear it and print it."""

from __future__ import annotations

from pathlib import Path

import pytest

from audiosocket_gw.call_page.audio import wav_of_records
from audiosocket_gw.call_page.from_flight import model_of_records
from audiosocket_gw.call_page.page import render
from tests.call_page.calls import UNKIND, conversation
from tests.harness.browser import DESK, PHONE, SCHEMES, WIDTHS, chromium, open_tab, open_url, overlapping

pytestmark = pytest.mark.browser

TEXTS = (
    ".label, .words, .strip text, .figure dt, .value, .verdict, .figure small, td, th, summary, dd, h1, li"
)
"""Whatever has text, except what contains another of these."""

INNERMOST = ", ".join(f"{each}:not(:has({TEXTS}))" for each in TEXTS.split(", "))


def page_of(folder: Path, name: str) -> str:
    path = folder / f"{name}.html"
    path.write_bytes(render(model_of_records(UNKIND[name]())))
    return path.as_uri()


@pytest.mark.slow
@pytest.mark.limit(300)
@pytest.mark.parametrize("name", UNKIND)
async def test_no_label_hides_another_and_nothing_is_wider_than_the_window(name: str, tmp_path: Path) -> None:
    url = page_of(tmp_path, name)
    async with chromium() as browser:
        for width in WIDTHS:
            async with open_tab(browser, url, width=width) as tab:
                boxes = await tab.boxes(INNERMOST)
                assert len(boxes) > 20
                assert overlapping(boxes) == [], width
                assert await tab.overflow() == 0, width


@pytest.mark.parametrize("name", ["conversation", "slow_answers", "turns_in_bursts", "refused_thrice"])
async def test_a_figure_on_the_time_line_is_never_cut(name: str, tmp_path: Path) -> None:
    async with open_url(page_of(tmp_path, name)) as tab:
        cut = "[...document.querySelectorAll('.label')].filter(e => e.scrollWidth > e.clientWidth).length"
        assert await tab.page.evaluate("document.querySelectorAll('.label').length") >= 4
        assert await tab.page.evaluate(cut) == 0


@pytest.mark.parametrize("name", ["conversation", "slow_answers", "never_connected", "other_scripts"])
async def test_every_text_can_be_read_in_light_and_in_dark(name: str, tmp_path: Path) -> None:
    url = page_of(tmp_path, name)
    async with chromium() as browser:
        for scheme in SCHEMES:
            async with open_tab(browser, url, scheme=scheme) as tab:
                assert await tab.too_faint() == []
                assert await tab.nameless() == []


async def test_a_screen_reader_gets_the_time_line_as_a_table(tmp_path: Path) -> None:
    async with open_url(page_of(tmp_path, "slow_answers")) as tab:
        tree = await tab.tree()
    assert 'heading "Look at this call: caller-hangup" [level=1]' in tree
    assert 'table "What happened from 0:00 to 0:20"' in tree
    assert "The agent answered 4,200 ms after the caller stopped speaking, late." in tree
    assert "bad" in tree


@pytest.mark.slow
@pytest.mark.limit(300)
async def test_a_long_call_opens_at_what_the_head_points_to(tmp_path: Path) -> None:
    async with open_url(page_of(tmp_path, "two_hours"), width=PHONE) as tab:
        closed = "[...document.querySelectorAll('details:not([open])')].length"
        before = await tab.page.evaluate(closed)
        assert before > 50
        await tab.page.focus("summary")
        await tab.page.keyboard.press("Enter")
        assert abs(await tab.page.evaluate(closed) - before) == 1
        await tab.page.evaluate("document.querySelectorAll('details').forEach(e => e.open = false)")
        await tab.page.click("header li a")
        assert await tab.wait_for(f"{closed} === document.querySelectorAll('details').length - 1")


async def test_a_hostile_text_runs_nothing(tmp_path: Path) -> None:
    async with open_url(page_of(tmp_path, "hostile")) as tab:
        assert await tab.page.evaluate("document.scripts.length") == 0
        assert await tab.page.evaluate("document.images.length") == 0
        assert "<script>alert(1)</script>" in await tab.page.inner_text("main")


async def test_the_audio_plays_from_where_one_clicks(tmp_path: Path) -> None:
    path = tmp_path / "played.html"
    path.write_bytes(render(model_of_records(conversation()), wav=wav_of_records(conversation())))
    async with open_url(path.as_uri(), width=DESK) as tab:
        await tab.wait_for("document.getElementById('audio').duration > 11.9")
        assert await tab.nameless() == []
        await tab.page.click(".strip >> nth=1", position={"x": 150, "y": 60})
        at = await tab.wait_for("document.getElementById('audio').currentTime")
        assert at >= 7.5
        await tab.page.focus("tr.said button >> nth=0")
        await tab.page.keyboard.press("Enter")
        await tab.wait_for("document.getElementById('audio').currentTime < 7")
        await tab.wait_for("document.querySelector('tr.now') !== null")


@pytest.mark.slow
@pytest.mark.limit(300)
@pytest.mark.parametrize("name", ["conversation", "two_hours"])
async def test_it_prints_with_all_of_its_parts(name: str, tmp_path: Path) -> None:
    async with open_url(page_of(tmp_path, name), width=DESK) as tab:
        await tab.page.emulate_media(media="print")
        tables = "[...document.querySelectorAll('.story')]"
        shown = f"{tables}.filter(e => e.getBoundingClientRect().height > 0).length"
        assert await tab.page.evaluate(shown) == await tab.page.evaluate(f"{tables}.length")
