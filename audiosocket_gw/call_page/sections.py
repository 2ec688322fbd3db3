"""The sections of a call page: strips of the time line, and beside them the same as a table. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audiosocket_gw.audio.level import SILENCE_DBFS
from audiosocket_gw.call_page.markup import clock, number, plain
from audiosocket_gw.call_page.model import CallModel, Mark, MarkKind, Speaker, Words
from audiosocket_gw.call_page.strips import FAULT, LOUDEST_DBFS, QUIETEST_DBFS, Section
from audiosocket_gw.call_page.svg import lanes, strip_svg
from audiosocket_gw.ledger.trouble import counted

MAX_OPEN = 10
"""Sections that are open from the start: those with faults; without any, the first and the last."""

OVERVIEW_BINS = 600


def sections(model: CallModel, laid_out: Sequence[Section], *, has_audio: bool) -> str:
    """Return the time line. A long call has a part for each minute that can be opened."""
    if len(laid_out) == 1:
        return f'<div class="card part">{_content(model, laid_out[0], 0, has_audio)}</div>'
    opened = _opened(laid_out)
    return _overview(model) + "".join(
        f'<details class="card part"{" open" if place in opened else ""}>'
        f"<summary>{_summary(section)}</summary>{_content(model, section, place, has_audio)}</details>"
        for place, section in enumerate(laid_out)
    )


def section_of(laid_out: Sequence[Section], at: float) -> str:
    """Return the id of the section that has this time."""
    place = sum(section.start <= at for section in laid_out) - 1
    return f"part-{max(0, place)}"


def _opened(laid_out: Sequence[Section]) -> set[int]:
    faulty = [place for place, section in enumerate(laid_out) if section.faults]
    return set(faulty[:MAX_OPEN] or (0, len(laid_out) - 1))


def _summary(section: Section) -> str:
    start, end = clock(section.start, digits=0), clock(section.end, digits=0)
    parts = [f"<b>{start} to {end}</b>"]
    answers = [mark for mark in section.marks if mark.kind is MarkKind.ANSWER]
    if answers:
        slowest = max(mark.end - mark.start for mark in answers)
        parts.append(f"{counted(len(answers), 'answer')}, slowest {slowest * 1000:,.0f} ms")
    barge_ins = sum(mark.kind is MarkKind.BARGE_IN for mark in section.marks)
    if barge_ins:
        parts.append(counted(barge_ins, "barge-in"))
    if section.faults:
        parts.append(f'<strong class="fault">{FAULT} {counted(section.faults, "fault")}</strong>')
    if not section.marks and not section.words:
        parts.append("nothing happened")
    return " <span>·</span> ".join(parts)


def _content(model: CallModel, section: Section, place: int, has_audio: bool) -> str:
    rows = lanes(model, section.rows)
    strips = "".join(strip_svg(strip, rows) for strip in section.strips)
    return f'<div class="strips" id="part-{place}">{strips}</div>{_table(section, has_audio)}'


# The table


def _table(section: Section, has_audio: bool) -> str:
    rows = sorted(_rows(section), key=lambda row: row[0])
    if not rows:
        return '<p class="nothing">Nothing happened here.</p>'
    body = "".join(
        f'<tr class="{kind}"><td class="at">{_time(at, has_audio)}</td>'
        f'<th scope="row">{what}</th><td>{text}</td></tr>'
        for at, kind, what, text in rows
    )
    start, end = clock(section.start, digits=0), clock(section.end, digits=0)
    return (
        f'<table class="story"><caption>What happened from {start} to {end}</caption><thead><tr>'
        f'<th scope="col">Time</th><th scope="col">What</th><th scope="col">In words</th></tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


Row = tuple[float, str, str, str]
"""A time, a class, what it is and the text, as HTML."""


def _rows(section: Section) -> Iterator[Row]:
    for words in section.words:
        yield words.at, f"said {words.speaker.lower()}", words.speaker, _said(words)
    for mark in section.marks:
        sign = f"{FAULT} " if mark.is_fault else ""
        yield mark.start, "fault" if mark.is_fault else "", f"{sign}{plain(mark.kind)}", _described(mark)


def _said(words: Words) -> str:
    unheard = f" <del>{plain(words.unheard)}</del> <i>(not heard)</i>" if words.unheard else ""
    return f'<p dir="auto">{plain(words.text)}{unheard}</p>'


def _described(mark: Mark) -> str:
    return f"<bdi>{plain(mark.text)}</bdi>"


def _time(at: float, has_audio: bool) -> str:
    shown = clock(at)
    return f'<button type="button" data-at="{number(at)}">{shown}</button>' if has_audio else shown


# The overview of a long call


def _overview(model: CallModel) -> str:
    """Return the whole call as one narrow picture; it has no text, so it may be stretched."""
    width = OVERVIEW_BINS
    scale = width / model.duration if model.duration else 0
    parts = []
    for direction, middle, kind in ((model.caller, 16, "caller"), (model.agent, 48, "agent")):
        if direction is not None:
            levels = direction.levels(0.0, model.duration, OVERVIEW_BINS)
            parts.append(f'<path class="wave {kind}" d="{_outline(levels, middle)}"/>')
    parts += [
        f'<path class="cutline" d="M{number(mark.start * scale)} 0V64"/>'
        for mark in model.marks
        if mark.is_fault
    ]
    faults = sum(mark.is_fault for mark in model.marks)
    said = sum(words.speaker is Speaker.CALLER for words in model.words)
    alternative = f"The whole call: {counted(faults, 'fault')}, the caller spoke {counted(said, 'time')}."
    return (
        f'<figure class="card overview"><svg viewBox="0 0 {width} 64" preserveAspectRatio="none" role="img"'
        f' aria-label="{alternative}">{"".join(parts)}</svg>'
        f"<figcaption>0:00 <span>the whole call: caller above, agent below; a line is a fault</span>"
        f" {clock(model.duration, digits=0)}</figcaption></figure>"
    )


def _outline(levels: Sequence[float], middle: int) -> str:
    bars = []
    for x, level in enumerate(levels):
        half = 14 * (max(level, QUIETEST_DBFS) - QUIETEST_DBFS) / (LOUDEST_DBFS - QUIETEST_DBFS)
        if level > SILENCE_DBFS and half >= 0.5:
            bars.append(f"M{x + 0.5} {number(middle - half)}v{number(2 * half)}")
    return "".join(bars)
