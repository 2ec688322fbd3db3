"""The browser of the tests finds what is wrong with a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.browser import DESK, PHONE, Box, chromium, open_tab, open_url, overlapping

pytestmark = pytest.mark.browser

PAGE = """<!doctype html>
<html lang="en"><title>page</title><meta name="viewport" content="width=device-width">
<style>
  :root { color-scheme: light dark; background: #fff; color: #222 }
  @media (prefers-color-scheme: dark) { :root { background: #111; color: #eee } }
  b { position: absolute; width: 50px; height: 20px; top: 100px }
  #two { left: 40px } #three { left: 200px } #four { left: 200px; display: none }
  .faint { color: oklch(0.7 0 0) }
  .wide { width: 500px }
</style>
<main><h1>Calls</h1><p class="faint">pale</p><button id="named">Hang up</button><div class="wide">wide</div>
<b id="one">one</b><b id="two">two</b><b id="three">three</b><b id="four">four</b>
BODY</main>
"""


def page_with(folder: Path, body: str = "", head: str = "") -> str:
    path = folder / "page.html"
    path.write_text(PAGE.replace("BODY", body).replace("<title>", f"{head}<title>"))
    return path.as_uri()


async def test_a_tab_shows_where_things_are_and_what_they_are(tmp_path: Path) -> None:
    async with open_url(page_with(tmp_path, '<button id="x"></button>'), width=PHONE) as tab:
        boxes = await tab.boxes("b")
        assert [box.text for box in boxes] == ["one", "two", "three"]
        assert overlapping(boxes) == [("one", "two")]
        assert await tab.overflow() > 100
        assert 'heading "Calls" [level=1]' in await tab.tree()
        assert len(await tab.nameless()) == 1
        assert [found.text for found in await tab.too_faint()] == ["pale"]


async def test_the_scheme_is_dark_where_it_should_be(tmp_path: Path) -> None:
    async with chromium() as browser:
        url = page_with(tmp_path)
        async with open_tab(browser, url, scheme="light") as light:
            async with open_tab(browser, url, scheme="dark", reduced_motion=True) as dark:
                assert {found.text for found in await light.too_faint()} == {"pale"}
                assert await dark.too_faint() == []
                assert await dark.page.evaluate("matchMedia('(prefers-reduced-motion: reduce)').matches")
            assert await light.page.evaluate("innerWidth") == DESK


async def test_a_tab_waits_also_under_a_strict_policy(tmp_path: Path) -> None:
    policy = '<meta http-equiv="Content-Security-Policy" content="script-src \'self\'">'
    async with open_url(page_with(tmp_path, head=policy)) as tab:
        assert await tab.wait_for("document.querySelector('h1').textContent") == "Calls"
        with pytest.raises(AssertionError, match=r"waited 0\.1 s for window\.never"):
            await tab.wait_for("window.never", limit_s=0.1)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<script>console.error('broken')</script>", "console: broken"),
        ("<script>setTimeout(() => { throw new Error('thrown') })</script>", "thrown"),
        ("<img src='http://192.0.2.1/x.png' alt=''>", "another origin: http://192.0.2.1/x.png"),
        ("<img src='missing.png' alt=''>", "request failed"),
    ],
)
async def test_a_problem_of_the_page_fails_the_test(body: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=problem):
        async with open_url(page_with(tmp_path, body)) as tab:
            while not any(problem in found for found in tab.problems):
                await tab.page.wait_for_timeout(20)


async def test_what_is_expected_is_no_problem(tmp_path: Path) -> None:
    async with open_url(page_with(tmp_path, "<script>console.error('broken')</script>")) as tab:
        tab.expect("broken")
        with pytest.raises(AssertionError, match="no problem matches 'broken'"):
            tab.expect("broken")


async def test_a_picture_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.harness.browser.PICTURES", tmp_path)
    async with open_url(page_with(tmp_path)) as tab:
        path = await tab.picture("calls", whole=True)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_boxes_that_touch_do_not_overlap() -> None:
    assert not Box("", 0, 0, 10, 10).overlaps(Box("", 10, 0, 20, 10))
    assert Box("", 0, 0, 10, 10).overlaps(Box("", 5, 5, 20, 20))
