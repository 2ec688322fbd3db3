"""A headless Chromium, driven by Playwright: pages at the widths, schemes and sizes that people have.

Chromium is Debian's package ``chromium``, not a download of Playwright's. A test that opens a tab is marked
``browser``; without Chromium it is skipped, or fails if ``AUDIOSOCKET_GW_REQUIRE_BROWSER=1``.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from tests.harness.waiting import PATIENCE

PHONE, TABLET, DESK = 390, 980, 1280
WIDTHS = (PHONE, TABLET, DESK)
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

PICTURES = Path(__file__).parents[2] / "browser-output"
"""Where `Tab.picture` writes, and where a failed test leaves what its tab showed."""

NO_OTHER_HOST = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE ::1, EXCLUDE localhost"


@dataclass(frozen=True)
class Box:
    """Where an element is, in CSS pixels from the top left corner of the page; ``text`` is what it shows."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box, by: float = 1.0) -> bool:
        """Whether both cover a common area that is more than ``by`` pixels wide and high."""
        return (
            min(self.right, other.right) - max(self.left, other.left) > by
            and min(self.bottom, other.bottom) - max(self.top, other.top) > by
        )


def overlapping(boxes: list[Box]) -> list[tuple[str, str]]:
    """Return the texts of each pair that overlaps."""
    return [(one.text, other.text) for one, other in combinations(boxes, 2) if one.overlaps(other)]


@dataclass(frozen=True)
class Contrast:
    """The contrast of a text to what is behind it, by WCAG 2; ``needed`` is 3 for large text, else 4.5."""

    text: str
    element: str
    ratio: float
    needed: float


@dataclass
class Tab:
    """An open page; ``page`` is Playwright's, with its ``click``, ``fill``, ``keyboard`` and locators.

    ``problems``: errors and warnings of the console, uncaught exceptions, requests that failed or left the
    origin. What a test expects among them it removes: whatever is left at the end fails the test.
    """

    page: Page
    origin: str
    problems: list[str] = field(default_factory=list)

    async def wait_for(self, expression: str, limit_s: float = 30.0) -> Any:
        """Wait until the JavaScript expression is true, and return its value.

        Playwright's own ``wait_for_function`` needs ``unsafe-eval``, which no page of ours allows.
        """
        deadline = time.monotonic() + limit_s * PATIENCE
        while not (seen := await self.page.evaluate(expression)):
            assert time.monotonic() < deadline, (
                f"waited {limit_s:g} s for {expression}; it is {seen!r} in\n{await self.tree()}"
            )
            await asyncio.sleep(0.05)
        return seen

    async def boxes(self, selector: str) -> list[Box]:
        """Return the boxes of the visible elements that match."""
        found = await self.page.evaluate(_BOXES, selector)
        return [Box(**box) for box in found]

    async def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window: 0 where nothing scrolls sideways."""
        return int(
            await self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )

    async def contrasts(self) -> list[Contrast]:
        """Return the contrast of every visible text to the colours behind it (no pictures, no gradients)."""
        return [Contrast(**found) for found in await self.page.evaluate(_CONTRASTS)]

    async def too_faint(self) -> list[Contrast]:
        """Return the texts whose contrast isn't what WCAG 2 AA needs."""
        return [found for found in await self.contrasts() if found.ratio < found.needed]

    async def tree(self, selector: str = "body") -> str:
        """Return what a screen reader gets: roles and accessible names, indented, as YAML."""
        return await self.page.locator(selector).aria_snapshot()

    async def nameless(self) -> list[str]:
        """Return the controls without an accessible name."""
        session = await self.page.context.new_cdp_session(self.page)
        try:
            nodes = (await session.send("Accessibility.getFullAXTree"))["nodes"]
        finally:
            await session.detach()
        return [
            f"{node['role']['value']} {node.get('backendDOMNodeId')}"
            for node in nodes
            if not node.get("ignored")
            and node.get("role", {}).get("value") in _CONTROLS
            and not node.get("name", {}).get("value", "").strip()
        ]

    async def picture(self, name: str, *, whole: bool = False) -> Path:
        """Write what the tab shows, or the ``whole`` page, to ``browser-output/NAME.png``."""
        path = PICTURES / f"{name}.png"
        await self.page.screenshot(path=path, full_page=whole)
        return path

    def expect(self, pattern: str) -> None:
        """Remove the problems that the pattern matches; there must be some."""
        kept = [problem for problem in self.problems if not re.search(pattern, problem)]
        assert len(kept) < len(self.problems), f"no problem matches {pattern!r}: {self.problems}"
        self.problems[:] = kept

    def _watch(self) -> None:
        def printed(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.problems.append(f"console: {message.text}")

        def requested(request: Request) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in ("data", "blob") and f"{parts.scheme}://{parts.netloc}" != self.origin:
                self.problems.append(f"request to another origin: {request.url}")

        def failed(request: Request) -> None:
            if "ERR_ABORTED" not in (request.failure or ""):  # the page itself stopped reading
                self.problems.append(f"request failed: {request.url}: {request.failure}")

        self.page.on("console", printed)
        self.page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        self.page.on("request", requested)
        self.page.on("requestfailed", failed)


def chromium_path() -> str:
    """Return where Chromium is; without it the test is skipped, or fails where it is required."""
    if found := shutil.which("chromium"):
        return found
    missing = "no chromium here: apt install chromium"
    if os.environ.get("CI") == "true" or os.environ.get("AUDIOSOCKET_GW_REQUIRE_BROWSER") == "1":
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run Chromium with a profile of its own, which goes with it. It reaches no other host."""
    path = chromium_path()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path,
            chromium_sandbox=False,  # root has none
            args=[NO_OTHER_HOST, "--force-color-profile=srgb"],
            timeout=PATIENCE * 30_000,
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_tab(
    browser: Browser,
    url: str,
    *,
    width: int = DESK,
    height: int = 844,
    scheme: Scheme = "light",
    reduced_motion: bool = False,
) -> AsyncIterator[Tab]:
    """Open a URL in a tab with cookies and storage of its own. At the end there must be no `Tab.problems`."""
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        reduced_motion="reduce" if reduced_motion else "no-preference",
        has_touch=width <= PHONE,
    )
    context.set_default_timeout(PATIENCE * 10_000)
    try:
        page = await context.new_page()
        parts = urlsplit(url)
        tab = Tab(page, f"{parts.scheme}://{parts.netloc}")
        tab._watch()
        await page.goto(url)
        try:
            yield tab
        except BaseException as error:
            error.add_note(f"the tab's problems: {tab.problems}")
            await _leave_picture(tab)
            raise
        assert not tab.problems, f"the page has problems: {tab.problems}"
    finally:
        await context.close()


@asynccontextmanager
async def open_url(
    url: str,
    *,
    width: int = DESK,
    height: int = 844,
    scheme: Scheme = "light",
    reduced_motion: bool = False,
) -> AsyncIterator[Tab]:
    """Run Chromium for one tab."""
    async with (
        chromium() as browser,
        open_tab(
            browser, url, width=width, height=height, scheme=scheme, reduced_motion=reduced_motion
        ) as tab,
    ):
        yield tab


async def _leave_picture(tab: Tab) -> None:
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0].rpartition("::")[2]
    await tab.picture("failed-" + re.sub(r"[^\w.-]+", "-", test))


_CONTROLS = (
    "button",
    "link",
    "textbox",
    "searchbox",
    "combobox",
    "checkbox",
    "radio",
    "switch",
    "tab",
    "slider",
)

_BOXES = """
selector => [...document.querySelectorAll(selector)].filter(e => e.checkVisibility({
  opacityProperty: true, visibilityProperty: true})).map(element => {
  const box = element.getBoundingClientRect();
  return {text: element.textContent.trim(), left: box.left + scrollX, top: box.top + scrollY,
          right: box.right + scrollX, bottom: box.bottom + scrollY};
}).filter(box => box.right > box.left && box.bottom > box.top)
"""

_CONTRASTS = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const parsed = new Map();
  const parse = colour => {  // any CSS colour, as red, green, blue, alpha of 0 to 1
    if (!parsed.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      parsed.set(colour, [...canvas.getImageData(0, 0, 1, 1).data].map(v => v / 255));
    }
    return parsed.get(colour);
  };
  const over = (top, bottom) => top.slice(0, 3).map((v, i) => v * top[3] + bottom[i] * (1 - top[3]));
  const luminance = rgb => {
    const [r, g, b] = rgb.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const scheme = matchMedia("(prefers-color-scheme: dark)").matches;
  const canvasColour = getComputedStyle(document.documentElement).colorScheme.includes("dark") && scheme
    ? [0.07, 0.07, 0.07] : [1, 1, 1];
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((bottom, top) => over(top, bottom), canvasColour);
  };
  const opacity = element => {
    let all = 1;
    for (let e = element; e; e = e.parentElement) all *= Number(getComputedStyle(e).opacity);
    return all;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), element = walker.currentNode.parentElement;
    if (!text || ["SCRIPT", "STYLE", "TEMPLATE"].includes(element.tagName)) continue;
    if (!element.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
    if (element.closest(":disabled")) continue;
    const box = element.getBoundingClientRect();
    if (box.width <= 1 || box.height <= 1) continue;  // for screen readers
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const background = behind(element), colour = parse(style.color);
    const shown = over([...colour.slice(0, 3), colour[3] * opacity(element)], background);
    const [low, high] = [luminance(shown), luminance(background)].sort((a, b) => a - b);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    found.push({text: text.slice(0, 60), ratio: (high + 0.05) / (low + 0.05), needed: large ? 3 : 4.5,
      element: element.tagName.toLowerCase() + (element.className ? "." + element.className : "")});
  }
  return found;
}
"""
