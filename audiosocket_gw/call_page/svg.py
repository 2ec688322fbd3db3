"""A strip of the time line as SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from audiosocket_gw.call_page.figures import TARGETS
from audiosocket_gw.call_page.markup import clock, foreign, number, plain
from audiosocket_gw.call_page.model import CallModel, Speaker
from audiosocket_gw.call_page.strips import BINS, WIDTH, PlacedMark, PlacedWords, Strip

RULER = 20
WORDS = 20
NAME = 14
WAVE = 60
ROW = 21
LATENESS = 34
GAP = 4
"""Heights, in pixels; `ROW` is one of marks, `NAME` the part of a lane above its audio."""

LABEL = 17
"""Height of a label."""

BAD_MS = TARGETS["Frame lateness, p99"].bad

SCALES_MS = (20, 50, 100, 200, 500, 1_000, 5_000)
"""Scales of the lateness; the smallest that has room for the latest frame is used."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """The top of each lane of all strips of a section, in pixels; None: there is no such lane."""

    caller_words: int | None
    caller: int | None
    marks: int
    agent: int | None
    agent_words: int | None
    lateness: int | None
    height: int
    scale_ms: float


def lanes(model: CallModel, rows: int) -> Lanes:
    """Return the lanes for a section with that many rows of marks."""
    y = RULER
    caller_words = caller = agent = agent_words = lateness = None
    if model.words:
        caller_words, y = y, y + WORDS
    if model.caller is not None:
        caller, y = y, y + WAVE
    marks, y = y + GAP, y + rows * ROW + 2 * GAP
    if model.agent is not None:
        agent, y = y, y + WAVE
    if model.words:
        agent_words, y = y, y + WORDS
    late = model.to_caller.max_ms if model.to_caller else 0.0
    if model.to_caller is not None:
        lateness, y = y, y + LATENESS
    scale = next((scale for scale in SCALES_MS if scale >= late), late)
    return Lanes(caller_words, caller, marks, agent, agent_words, lateness, y, scale)


def strip_svg(strip: Strip, rows: Lanes) -> str:
    """Return a strip; what it shows is also in the table of its section."""
    return (
        f'<svg class="strip" width="{WIDTH}" height="{rows.height}" role="img"'
        f' aria-label="{plain(_described(strip))}"'
        f' data-start="{number(strip.start)}" data-seconds="{number(strip.seconds)}">'
        f"{''.join(_parts(strip, rows))}</svg>"
    )


def _described(strip: Strip) -> str:
    stop = clock(strip.start + strip.seconds, digits=0)
    return f"Time line, {clock(strip.start, digits=0)} to {stop}; the table says the same"


def _parts(strip: Strip, rows: Lanes) -> Iterator[str]:
    if strip.end < WIDTH:
        yield _rect("after", strip.end, 0, WIDTH - strip.end, rows.height)
    yield from _ruler(strip, rows)
    if rows.caller is not None:
        yield from _wave("caller", "Caller", strip.caller, rows.caller)
        yield from (_band("caller", span.start, span.end, rows.caller) for span in strip.caller_speech)
    if rows.agent is not None:
        yield from _wave("agent", "Agent", strip.agent, rows.agent)
        yield from (_band("agent", span.start, span.end, rows.agent) for span in strip.agent_speech)
    if rows.lateness is not None:
        yield from _lateness(strip.lateness, rows.lateness, rows.scale_ms)
    top = rows.marks - GAP
    # Across the voices, but not over what was said.
    first = rows.marks - GAP if rows.caller is None else rows.caller
    last = rows.height if rows.agent is None else rows.agent + WAVE
    yield from (f'<path class="cutline" d="M{number(x)} {first}V{last}"/>' for x in strip.cuts)
    yield f'<path class="rule" d="M0 {top}H{WIDTH}"/>'
    yield from (_mark(placed, rows.marks) for placed in strip.marks)
    if strip.hidden:
        y = rows.marks + (strip.rows - 1) * ROW
        yield _label("more", 2, y, WIDTH - 4, f"and {strip.hidden} more, in the table")
    if rows.caller_words is not None and rows.agent_words is not None:
        tops = {Speaker.CALLER: rows.caller_words, Speaker.AGENT: rows.agent_words}
        yield from (_words(placed, tops[placed.words.speaker]) for placed in strip.words)


def _ruler(strip: Strip, rows: Lanes) -> Iterator[str]:
    ticks = 5 if strip.seconds <= 5 else 10
    labels = 5 if strip.seconds <= 5 else 2
    for tick in range(ticks):
        x = WIDTH * tick / ticks
        is_major = tick % (ticks // labels) == 0
        yield f'<path class="{"grid" if is_major else "tick"}" d="M{number(x)} {0 if is_major else 13}V' + (
            f'{rows.height}"/>' if is_major else f'{RULER - 2}"/>'
        )
        if is_major:
            at = strip.start + strip.seconds * tick / ticks
            yield f'<text class="time" x="{number(x + 4)}" y="13">{clock(at, digits=0)}</text>'


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{kind}" x="{number(x)}" y="{number(y)}" width="{number(max(0, width))}"'
        f' height="{number(height)}"/>'
    )


def _band(kind: str, start: float, end: float, top: int) -> str:
    return _rect(f"band {kind}", start, top + NAME, end - start, WAVE - NAME - 2)


def _wave(kind: str, name: str, levels: Sequence[float], top: int) -> Iterator[str]:
    middle, step = top + (NAME + WAVE) / 2, WIDTH / BINS
    yield f'<path class="rule" d="M0 {top}H{WIDTH}"/><path class="base {kind}" d="M0 {middle:g}H{WIDTH}"/>'
    bars = []
    for place, level in enumerate(levels):
        half = level * ((WAVE - NAME) / 2 - 2)
        if half >= 0.5:
            bars.append(f"M{number((place + 0.5) * step)} {number(middle - half)}v{number(2 * half)}")
    if bars:
        yield f'<path class="wave {kind}" d="{"".join(bars)}"/>'
    yield f'<text class="lane {kind}" x="4" y="{top + 12}">{name}</text>'


def _lateness(lateness: Sequence[float], top: int, scale_ms: float) -> Iterator[str]:
    bottom, room, step = top + LATENESS, LATENESS - 14, WIDTH / BINS
    yield f'<path class="rule" d="M0 {top}H{WIDTH}"/>'
    bars = [
        f"M{number((place + 0.5) * step)} {bottom}v-{number(room * late / scale_ms)}"
        for place, late in enumerate(lateness)
        if late * room >= 0.5 * scale_ms
    ]
    if bars:
        yield f'<path class="late" d="{"".join(bars)}"/>'
    if scale_ms > BAD_MS:
        yield f'<path class="limit" d="M0 {number(bottom - room * BAD_MS / scale_ms)}H{WIDTH}"/>'
    yield f'<text class="lane" x="4" y="{top + 11}">Frame lateness, 0 to {scale_ms:.0f} ms</text>'


def _mark(placed: PlacedMark, top: int) -> str:
    mark, y = placed.mark, top + placed.place.row * ROW
    kind = mark.kind.replace(" ", "-") + (" fault" if mark.is_fault else "")
    width = max(2.0, placed.end - placed.start)
    left = min(placed.start, WIDTH - width)
    bar = (
        f'<g class="mark {kind}"><title>{plain(mark.text)}</title>'
        f"{_rect('bar', left, y + 4, width, LABEL - 6)}</g>"
    )
    return bar + (
        _label(f"of {kind}", placed.place.left, y + 1, placed.place.width, placed.label)
        if placed.label
        else ""
    )


def _label(kind: str, x: float, y: float, width: float, text: str) -> str:
    return (
        f'<foreignObject class="box" x="{number(x)}" y="{number(y)}" width="{number(width)}"'
        f' height="{LABEL}"><div class="label {kind}">{foreign(text)}</div></foreignObject>'
    )


def _words(placed: PlacedWords, top: int) -> str:
    words = placed.words
    kind = words.speaker.lower()
    unheard = f" <del>{plain(words.unheard)}</del>" if words.unheard else ""
    return (
        f'<foreignObject class="box" x="{number(placed.left)}" y="{top + 2}" width="{number(placed.width)}"'
        f' height="{WORDS - 3}"><div class="words {kind}" dir="auto">{plain(words.text)}{unheard}</div>'
        "</foreignObject>"
    )
