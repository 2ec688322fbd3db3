"""The layout of a time line: strips of a few seconds, side by side as the page has room, like staves. Pure.

A strip is `WIDTH` pixels wide on every screen, so what is where in it doesn't depend on the screen; how many
are side by side does. Strips of about a minute are a section.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from audiosocket_gw.audio.level import SILENCE_DBFS
from audiosocket_gw.call_page.direction import Direction, Floats, Span
from audiosocket_gw.call_page.labels import Item, Place, place
from audiosocket_gw.call_page.model import CallModel, Mark, MarkKind, Speaker, Words

WIDTH = 300
"""Pixels of a strip: one on a telephone, three at 980 pixels, four at 1280."""

SCALES_S = (5, 10, 20, 60, 120, 300, 600, 1_800, 3_600, 7_200)
"""Seconds of a strip: the fewest with which the call has at most `MAX_STRIPS`, and 12 at the finest."""

MAX_STRIPS = 750
MAX_FINE = 12
"""Strips of the finest scale: one minute."""

PER_SECTION = 6
MAX_IN_ONE = 18
"""A call of up to that many strips has one section."""

BINS = 100
"""Levels of a strip."""

TAIL_S = 0.05
"""A last frame needs no strip of its own."""

MAX_ROWS = 6
"""Rows of marks."""

LEAST_WORDS = 36
"""Pixels below which words aren't shown in the picture."""

FAULT = "▲"
"""The sign before the label of a fault."""

GOOD_WORDS = 100
"""Pixels that words should have: two or three of them."""

QUIETEST_DBFS, LOUDEST_DBFS = -60.0, 0.0


@dataclass(frozen=True, slots=True)
class PlacedMark:
    """A part of a mark within a strip, in pixels; ``label`` is empty where the mark only goes on."""

    mark: Mark
    start: float
    end: float
    label: str
    place: Place


@dataclass(frozen=True, slots=True)
class PlacedWords:
    words: Words
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Strip:
    """``seconds`` of the call from ``start`` on; positions are in pixels from its left edge.

    ``end``: where the call ends, `WIDTH` if it doesn't end here. ``caller``, ``agent``: levels from 0 to 1;
    ``lateness``: milliseconds; each is empty if it isn't known. ``hidden``: marks without a place.
    """

    start: float
    seconds: float
    end: float
    caller: tuple[float, ...]
    agent: tuple[float, ...]
    caller_speech: tuple[Span, ...]
    agent_speech: tuple[Span, ...]
    lateness: tuple[float, ...]
    marks: tuple[PlacedMark, ...]
    words: tuple[PlacedWords, ...]
    cuts: tuple[float, ...]
    hidden: int

    @property
    def rows(self) -> int:
        return max((mark.place.row + 1 for mark in self.marks), default=0) + bool(self.hidden)


@dataclass(frozen=True, slots=True)
class Section:
    """Strips that follow each other, with the marks and words that begin in them."""

    start: float
    end: float
    strips: tuple[Strip, ...]
    marks: tuple[Mark, ...]
    words: tuple[Words, ...]

    @property
    def rows(self) -> int:
        """Rows of marks: as many in each strip, so that lanes are level across strips."""
        return max(strip.rows for strip in self.strips)

    @property
    def faults(self) -> int:
        return sum(mark.is_fault for mark in self.marks)


def lay_out(model: CallModel) -> tuple[Section, ...]:
    """Return the sections of a call, at least one."""
    seconds = strip_seconds(model.duration)
    count = max(1, ceil((model.duration - TAIL_S) / seconds))
    lateness = model.agent.lateness() if model.agent else None
    marks = _by_strip(model.marks, seconds, count)
    words = _words_by_strip(model.words, seconds, count)
    strips = [
        _strip(model, number * seconds, seconds, lateness, marks[number], words[number])
        for number in range(count)
    ]
    step = count if count <= MAX_IN_ONE else PER_SECTION
    return tuple(_section(model, strips[first : first + step]) for first in range(0, count, step))


def strip_seconds(duration: float) -> int:
    """Return the seconds of a strip, for a call of this length."""
    duration -= TAIL_S
    if duration <= SCALES_S[0] * MAX_FINE:
        return SCALES_S[0]
    fits = (seconds for seconds in SCALES_S[1:] if duration <= seconds * MAX_STRIPS)
    return next(fits, -(-int(duration) // MAX_STRIPS) + 1)


def _section(model: CallModel, strips: Sequence[Strip]) -> Section:
    start, end = strips[0].start, strips[-1].start + strips[-1].seconds
    is_last = end >= model.duration

    def begins_here(at: float) -> bool:
        return start <= at and (at < end or is_last)

    return Section(
        start=start,
        end=min(end, max(model.duration, start)),
        strips=tuple(strips),
        marks=tuple(mark for mark in model.marks if begins_here(mark.start)),
        words=tuple(words for words in model.words if begins_here(words.at)),
    )


def _strip(
    model: CallModel,
    start: float,
    seconds: float,
    lateness: Floats | None,
    here: Sequence[Mark],
    words: Sequence[Words],
) -> Strip:
    stop = start + seconds
    scale = WIDTH / seconds
    marks, hidden = _placed_marks(here, start, seconds)
    cuts = [mark.end for mark in here if mark.kind is MarkKind.BARGE_IN and start <= mark.end < stop]
    return Strip(
        start=start,
        seconds=seconds,
        end=min(WIDTH, (model.duration - start) * scale),
        caller=_levels(model.caller, start, stop),
        agent=_levels(model.agent, start, stop),
        caller_speech=_within(model.caller_speech, start, seconds),
        agent_speech=_within(model.agent_speech, start, seconds),
        lateness=_lateness(model.agent, lateness, start, stop),
        marks=marks,
        words=_placed_words(words, start, seconds),
        cuts=tuple((at - start) * scale for at in cuts),
        hidden=hidden,
    )


def _levels(direction: Direction | None, start: float, stop: float) -> tuple[float, ...]:
    if direction is None:
        return ()
    levels = np.array(direction.levels(start, stop, BINS))
    if levels.max() <= SILENCE_DBFS:
        return ()
    heights = (levels - QUIETEST_DBFS) / (LOUDEST_DBFS - QUIETEST_DBFS)
    return tuple(np.clip(heights, 0, 1).tolist())


def _lateness(
    direction: Direction | None, lateness: Floats | None, start: float, stop: float
) -> tuple[float, ...]:
    """Return the latest frame of each bin, in milliseconds."""
    if direction is None or direction.arrivals is None or lateness is None:
        return ()
    first, last = np.searchsorted(direction.arrivals, (start, stop))
    found = np.zeros(BINS)
    places = ((direction.arrivals[first:last] - start) / (stop - start) * BINS).astype(int)
    np.maximum.at(found, np.clip(places, 0, BINS - 1), lateness[first:last])
    return tuple(found.tolist())


def _within(spans: Sequence[Span], start: float, seconds: float) -> tuple[Span, ...]:
    """Return the parts of spans within a strip, in pixels; spans are in order and don't overlap."""
    scale = WIDTH / seconds
    first = bisect_right(spans, start, key=lambda span: span.end)
    last = bisect_left(spans, start + seconds, key=lambda span: span.start)
    return tuple(
        Span(max(0.0, (span.start - start) * scale), min(WIDTH, (span.end - start) * scale))
        for span in spans[first:last]
    )


def _by_strip(marks: Sequence[Mark], seconds: float, count: int) -> list[list[Mark]]:
    """Return the marks of each strip; a mark without length is in one strip."""
    found: list[list[Mark]] = [[] for _ in range(count)]
    for mark in marks:
        first = min(count - 1, int(mark.start / seconds))
        last = min(count - 1, max(first, ceil(mark.end / seconds) - 1))
        for number in range(first, last + 1):
            found[number].append(mark)
    return found


def _placed_marks(here: Sequence[Mark], start: float, seconds: float) -> tuple[tuple[PlacedMark, ...], int]:
    """Return the marks of a strip with their places, and how many have none."""
    items = [_item(mark, start, seconds) for mark in here]
    places = place(items, WIDTH, MAX_ROWS)
    if None in places:  # the last row is for the note on those that are hidden
        places = place(items, WIDTH, MAX_ROWS - 1)
    placed = [
        PlacedMark(mark, item.start, item.end, item.text, where)
        for mark, item, where in zip(here, items, places, strict=True)
        if where is not None
    ]
    return tuple(placed), len(here) - len(placed)


def _item(mark: Mark, start: float, seconds: float) -> Item:
    """Return the part of a mark that is in a strip; its label is where it begins."""
    scale = WIDTH / seconds
    left, right = (mark.start - start) * scale, (mark.end - start) * scale
    label = f"{FAULT} {mark.label}" if mark.is_fault else mark.label
    return Item(min(WIDTH, max(0.0, left)), min(WIDTH, right), "" if left < 0 else label, mark.is_fault)


def _words_by_strip(words: Sequence[Words], seconds: float, count: int) -> list[list[Words]]:
    """Return the words of each strip; those with little room at the end of one are in the next, if they fit
    there before the speaker's next words.
    """
    scale = WIDTH / seconds
    found: list[list[Words]] = [[] for _ in range(count)]
    for speaker in Speaker:
        spoken = [said for said in words if said.speaker is speaker]
        for order, said in enumerate(spoken):
            number = min(count - 1, int(said.at / seconds))
            end = (number + 1) * seconds
            next_at = spoken[order + 1].at if order + 1 < len(spoken) else count * seconds
            is_short = (end - said.at) * scale < GOOD_WORDS
            if is_short and (next_at - end) * scale > LEAST_WORDS and number + 1 < count:
                number += 1
            found[number].append(said)
    return found


def _placed_words(here: Sequence[Words], start: float, seconds: float) -> tuple[PlacedWords, ...]:
    """Return the words of a strip, each up to the next words of the same speaker."""
    scale = WIDTH / seconds
    found: list[PlacedWords] = []
    for speaker in Speaker:
        spoken = [said for said in here if said.speaker is speaker]
        lefts = [max(0.0, (said.at - start) * scale) for said in spoken]
        for said, left, right in zip(spoken, lefts, [*lefts[1:], WIDTH], strict=False):
            if right - left >= LEAST_WORDS:
                found.append(PlacedWords(said, left, right - left - 2))
    return tuple(found)
