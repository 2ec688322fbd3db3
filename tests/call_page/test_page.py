"""The document: self-contained, harmless whatever was said, bounded however long the call was."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiosocket_gw import events
from audiosocket_gw.call_page.audio import stereo_wav, wav_of_records
from audiosocket_gw.call_page.figures import TARGETS, Target, Verdict, figures
from audiosocket_gw.call_page.from_flight import model_of_records
from audiosocket_gw.call_page.markup import clock, length, plain, with_code
from audiosocket_gw.call_page.model import MarkKind
from audiosocket_gw.call_page.page import content_security_policy, render
from audiosocket_gw.call_page.strips import MAX_STRIPS, lay_out, strip_seconds
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.flight.format import Event
from audiosocket_gw.ledger.advice import ADVICE
from tests.call_page import calls
from tests.call_page.calls import CALL, UNKIND, call, connected, ended, frames, reply, said
from tests.call_page.html_checker import Checker
from tests.test_readme import PROJECT, rows

MADE_ONCE = {name: render(model_of_records(make())) for name, make in UNKIND.items() if name != "two_hours"}


@pytest.mark.parametrize("name", MADE_ONCE)
def test_a_page_is_whole_fetches_nothing_and_runs_nothing(name: str) -> None:
    page = MADE_ONCE[name]
    checked = Checker(page)
    assert checked.open == []
    assert len(set(checked.ids)) == len(checked.ids)
    assert all(reference.startswith(("data:,", "#")) for reference in checked.references)
    assert {r[1:] for r in checked.references if r.startswith("#")} <= set(checked.ids)
    assert not re.search(rb"https?:|@import|url\(", page)
    assert {"script", "img", "iframe", "object", "form", "base"} & set(checked.tags) == set()
    assert [name for name in checked.attributes if name.startswith("on") or name == "style"] == []


def test_the_policy_allows_its_own_style_and_no_script() -> None:
    page = MADE_ONCE["conversation"]
    found = re.search(rb"<style>(.*?)</style>", page, re.DOTALL)
    assert found
    style = base64.b64encode(hashlib.sha256(found[1]).digest()).decode()
    policy = Checker(page).policy
    assert policy == content_security_policy()
    assert f"style-src 'sha256-{style}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy


def test_with_audio_the_policy_allows_one_script() -> None:
    wav = wav_of_records(calls.conversation())
    page = render(model_of_records(calls.conversation()), wav=wav)
    found = re.search(rb"<script>(.*?)</script>", page, re.DOTALL)
    assert found and wav
    script = base64.b64encode(hashlib.sha256(found[1]).digest()).decode()
    assert f"script-src 'sha256-{script}'" in Checker(page).policy
    assert Checker(page).tags.count("script") == 1
    assert base64.b64encode(wav) in page


def test_the_words_of_others_stay_words() -> None:
    page = MADE_ONCE["hostile"].decode()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\x00" not in page


foreign_texts = st.text(max_size=80) | st.sampled_from(
    [
        *("</style><script>", "]]>", "<!--", '" onload="x', "javascript:x", "${css}", "$$css", "&lt;"),
        calls.HOSTILE,
    ]
)


@settings(max_examples=60)
@given(foreign_texts, foreign_texts, foreign_texts)
def test_no_text_becomes_markup(one: str, two: str, three: str) -> None:
    records = call(
        frames(1),
        *connected(),
        said(0.2, one),
        *reply(0.5, 0.7, two),
        events.ToolCalled(CALL, 0.6, three, one),
        ended(1, EndReason.AGENT_FAILED, two),
    )
    checked = Checker(render(model_of_records(records)))
    assert checked.open == []
    assert {"script", "img"} & set(checked.tags) == set()


def test_numbers_are_masked_wherever_they_were_said() -> None:
    page = MADE_ONCE["conversation"].decode()
    assert "0301234567" not in page
    assert "##########" in page
    assert "+4930123456" not in MADE_ONCE["refused_thrice"].decode()


@pytest.mark.slow
def test_a_call_of_two_hours_has_a_page_of_bounded_size() -> None:
    page = render(model_of_records(calls.two_hours()))
    assert len(page) < 5 * 2**20
    assert Checker(page).open == []


def test_a_flood_of_events_has_a_page_of_bounded_size() -> None:
    def flood() -> Iterator[Event]:
        for at_us in range(1_000_000, 51_000_000, 10_000):
            tool = {"name": "z" * 20_000, "tool_call_id": str(at_us)}
            yield Event(at_us, "CallerSaid", {"text": "x" * 20_000})
            yield Event(at_us, "ReplyStarted", {})
            yield Event(at_us, "AgentSaid", {"text": "y" * 20_000, "corrected": False})
            yield Event(at_us, "Interrupted", {"discarded_ms": 1})
            yield Event(at_us, "ToolCalled", tool)
            yield Event(at_us + 1_000, "ToolAnswered", {**tool, "is_error": True})
            yield Event(at_us, "TurnTaken", {"latency_ms": 10})
            yield Event(at_us, "DigitPressed", {"digit": "1"})

    page = render(model_of_records(call([*frames(60), *flood()], *connected(), ended(60))))
    assert len(page) < 8 * 2**20


@given(st.floats(0, 100_000))
def test_a_call_of_any_length_has_few_strips(duration: float) -> None:
    seconds = strip_seconds(duration)
    assert duration <= seconds * MAX_STRIPS + 0.1
    assert seconds >= 5


def test_a_minute_has_strips_of_five_seconds_and_an_hour_sections_of_a_minute() -> None:
    lengths = (1, 60, 61, 3_600, 7_200, 18 * 3_600)
    assert [strip_seconds(seconds) for seconds in lengths] == [5, 5, 10, 10, 10, 120]
    (section,) = lay_out(model_of_records(calls.conversation()))
    assert [strip.start for strip in section.strips] == [0, 5, 10]
    sections = lay_out(model_of_records(call(frames(200), ended(200))))
    assert [(part.start, part.end) for part in sections] == [(0, 60), (60, 120), (120, 180), (180, 200)]


def test_a_mark_is_in_every_strip_that_it_touches_and_has_one_label() -> None:
    (section,) = lay_out(model_of_records(calls.silent_agent()))
    silent = [[p for p in strip.marks if p.mark.kind is MarkKind.SILENT] for strip in section.strips]
    assert [[placed.label for placed in each] for each in silent] == [["▲ silent agent 14.6 s"], [""], [""]]
    assert (silent[1][0].start, silent[1][0].end) == (0, 300)


def test_marks_without_room_are_counted() -> None:
    (section, *_) = lay_out(model_of_records(calls.turns_in_bursts()))
    assert all(strip.rows <= 6 for strip in section.strips)
    assert any(strip.hidden for strip in section.strips)
    assert "more, in the table" in MADE_ONCE["turns_in_bursts"].decode()
    assert MADE_ONCE["turns_in_bursts"].decode().count("The agent answered 90 ms") >= 150


# Figures and targets


def test_every_figure_has_a_target_and_a_verdict_in_words() -> None:
    for make in (calls.conversation, calls.slow_answers, calls.never_connected, calls.nothing_at_all):
        for figure in figures(model_of_records(make())):
            assert figure.name in TARGETS
            assert figure.verdict in Verdict
            assert figure.target.startswith("target ")
    page = MADE_ONCE["slow_answers"].decode()
    for word in ("good", "over target", "bad", "no figure"):
        assert f"</svg> {word}</span>" in page


def test_a_figure_is_good_up_to_its_target_and_bad_beyond_its_limit() -> None:
    target = Target(1_500, 2_000)
    assert [target.verdict(ms) for ms in (0, 1_500, 1_501, 2_000, 2_001)] == [
        *(Verdict.GOOD, Verdict.GOOD, Verdict.FAIR, Verdict.FAIR, Verdict.BAD)
    ]
    assert str(target) == "target 1.5 s, bad over 2 s"
    assert str(Target(0.1, 1, " %")) == "target 0.1 %, bad over 1 %"


def values(make: Any) -> dict[str, str]:
    return {f.name: f"{f.value} {f.unit}".strip() for f in figures(model_of_records(make()))}


def test_the_figures_are_those_of_the_record() -> None:
    found = values(calls.conversation)
    assert found["Agent connected"] == "400 ms"
    assert found["First audio"] == "500 ms"
    assert found["Answer, median"] == "800 ms"
    assert found["Slowest answer"] == "900 ms"
    assert found["Barge-in to silence"] == "300 ms"
    assert found["Gaps to the caller"] == "0"
    assert values(calls.nothing_at_all)["Answer, median"] == "–"


# Advice


def test_the_advice_is_that_of_the_page_on_end_reasons() -> None:
    def text(cell: str) -> str:
        return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell)

    table = rows(PROJECT / "docs" / "end-reasons.md")[2:]
    assert {row[0].strip("`"): (text(row[1]), text(row[2])) for row in table} == {
        reason.value: (advice.happened, advice.to_do) for reason, advice in ADVICE.items()
    }
    assert set(ADVICE) == set(EndReason)


# Words


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00.0"), (65.25, "1:05.2"), (59.96, "1:00.0"), (3_725, "1:02:05.0"), (7_200, "2:00:00.0")],
)
def test_a_time_is_a_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
    assert clock(seconds, digits=0) == clock(round(seconds), digits=1).removesuffix(".0")


def test_a_length_is_in_words() -> None:
    assert [length(s) for s in (0.5, 18.12, 312, 7_500)] == ["0.5 s", "18.1 s", "5 min 12 s", "2 h 5 min"]


def test_code_is_marked_and_everything_else_escaped() -> None:
    assert with_code("Set `A<B>`, then > wait.") == "Set <code>A&lt;B&gt;</code>, then &gt; wait."
    assert plain("a\x00b\ud800") == "a\ufffdb\ufffd"


def test_a_wav_is_stereo() -> None:
    wav = stereo_wav(b"\x01\x00\x02\x00" * 80, 8_000)
    assert wav[:4] == b"RIFF" and wav[22:24] == b"\x02\x00"


def test_each_target_is_in_the_document_with_the_same_limits() -> None:
    table = {row[0]: row[1:3] for row in rows(PROJECT / "docs" / "call-page.md") if row[0] in TARGETS}

    def shown(value: float, unit: str) -> str:
        if unit != "ms":
            return f"{value:g}{unit if value else ''}"
        return f"{value / 1000:g} s" if value >= 200 else f"{value:g} ms"

    assert table == {
        name: [shown(target.good, target.unit), shown(target.bad, target.unit)]
        for name, target in TARGETS.items()
    }
