"""Places bars and their labels in rows, so that no label is over another one or another bar. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import east_asian_width

ROOM = 4.0
"""Pixels between two items of a row, and between a bar and its label."""

LATIN_WIDTH = 7.4
WIDE_WIDTH = 12.0
"""Pixels of a character at the size of labels, generously: Latin, and Chinese, Japanese or Korean."""

PADDING = 12.0
"""Pixels of a label around its text."""


@dataclass(frozen=True, slots=True)
class Item:
    """A bar from ``start`` to ``end``, in pixels, and the text of its label, which may be empty.

    ``is_urgent``: it gets its place before the others.
    """

    start: float
    end: float
    text: str
    is_urgent: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item is: its row, and the left edge and the width of its label, in pixels."""

    row: int
    left: float
    width: float


def text_width(text: str) -> float:
    """Return the width of a label with this text, rather too large than too small."""
    wide = sum(east_asian_width(character) in "WF" for character in text)
    return PADDING + wide * WIDE_WIDTH + (len(text) - wide) * LATIN_WIDTH


def place(items: Sequence[Item], width: float, rows: int) -> list[Place | None]:
    """Place items in at most ``rows`` rows of ``width`` pixels; None: there is no room for this one.

    A label is to the right of its bar, to the left if there is no room, or within it, if the bar is wide. It
    never leaves the row.
    """
    found: list[Place | None] = [None] * len(items)
    taken: list[list[tuple[float, float]]] = [[] for _ in range(rows)]
    order = sorted(range(len(items)), key=lambda number: (not items[number].is_urgent, items[number].start))
    for number in order:
        item = items[number]
        label = min(text_width(item.text), width) if item.text else 0.0
        for row, occupied in enumerate(taken):
            left = _left_of_label(item, label, width, occupied)
            if left is not None:
                first = min(item.start, left)
                last = max(item.end, left + label)
                occupied.append((first - ROOM, last + ROOM))
                found[number] = Place(row, left, label)
                break
    return found


def _left_of_label(
    item: Item, label: float, width: float, occupied: Sequence[tuple[float, float]]
) -> float | None:
    """Return the left edge of the label at the first position that is free together with its bar."""
    positions = [item.end + ROOM, item.start - ROOM - label]
    if item.end - item.start >= label + 2 * ROOM:
        positions.insert(0, (item.start + item.end - label) / 2)
    positions.append(min(max(0.0, item.start), width - label))
    for left in positions:
        if left < 0 or left + label > width:
            continue
        first, last = min(item.start, left), max(item.end, left + label)
        if all(last <= start or first >= end for start, end in occupied):
            return left
    return None
