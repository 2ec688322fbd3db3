"""The demonstration: the time line from known frames, the page, the show, and the whole of it once."""

from __future__ import annotations

import base64
import io
import re
import wave
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import FRAME_BYTES
from audiosocket_gw.audio.frame_timing import TimedFrame
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.protocol.audiosocket import Kind
from audiosocket_gw.testing.demo import demo, run_demo
from audiosocket_gw.testing.demo.page import render_page
from audiosocket_gw.testing.demo.show import BARS, Show, meter
from audiosocket_gw.testing.demo.timeline import (
    BargeIn,
    Response,
    Segment,
    Timeline,
    Utterance,
    build_timeline,
    stereo,
)
from audiosocket_gw.testing.simulator.prompts import FOLDER as AGENT_PROMPTS
from audiosocket_gw.testing.softphone import CallRecord, Ending, read_wav

CALL = UUID("11111111-2222-3333-4444-555555555555")
START = 1_000.0
TONE = (16_000 * np.sin(np.arange(160) / 3)).astype("<i2").tobytes()
SILENCE = bytes(FRAME_BYTES)


def near(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


def frames(
    pattern: str, first: float, late: Callable[[int], float] = lambda _: 0.0
) -> tuple[TimedFrame, ...]:
    """A frame each 20 ms from ``first`` on: of tone for each ``#``, of silence for each ``.``."""
    return tuple(
        TimedFrame(START + first + number * 0.02 + late(number), TONE if mark == "#" else SILENCE)
        for number, mark in enumerate(pattern)
    )


def record_of(
    sent: str = "",
    heard: str = "",
    *,
    ended: float = 2.0,
    ending: Ending = Ending.HANGUP_FRAME,
    error: str = "",
    late: Callable[[int], float] = lambda _: 0.0,
) -> CallRecord:
    """The caller's first frame leaves 20 ms after the start; the agent's first arrives after 10 ms."""
    return CallRecord(
        uuid=CALL,
        kind=Kind.SLIN,
        started_at=START,
        connect_ms=0.3,
        ended_at=START + ended,
        ending=ending,
        error=error,
        sent=frames(sent, 0.02),
        heard=frames(heard, 0.01, late),
        keys=(),
    )


# The conversation used below: the agent greets, the caller asks, the agent answers, the caller cuts in.
#                    0.0       0.2       0.4       0.6       0.8       1.0       1.2       1.4       1.6
SENT = "." * 40 + "#" * 10 + "." * 65 + "#" * 25 + "." * 60
HEARD = "#" * 10 + "." * 70 + "#" * 40 + "." * 60 + "#" * 10 + "." * 10
HAPPENED: list[events.CallEvent] = [
    events.CallStarted(CALL, START, "127.0.0.1:4000"),
    events.ReplyStarted(CALL, START + 0.009),
    events.AgentConnected(CALL, START + 0.005, "conv_1", 5.0),
    events.AgentSaid(CALL, START + 0.011, "Hello & welcome.", corrected=False),
    events.CallerSaid(CALL, START + 1.5, "What are <your> hours?"),
    events.AgentSaid(CALL, START + 1.59, "We are open from nine to five.", corrected=False),
    events.ReplyStarted(CALL, START + 1.605),
    events.Interrupted(CALL, START + 2.384, 9_000),
    events.AgentSaid(CALL, START + 2.386, "We are open...", corrected=True),
    events.ReplyFinished(CALL, START + 2.4, 1_000),
    events.CallerSaid(CALL, START + 3.1, "Wait."),
    events.ReplyStarted(CALL, START + 3.6),
    events.AgentSaid(CALL, START + 3.61, "Yes?", corrected=False),
    events.CallEnded(CALL, START + 4.1, CallEnd(EndReason.AGENT_HANGUP, "closed with 1000"), 4_100, 1_200),
]


def conversation() -> Timeline:
    return build_timeline(record_of(SENT, HEARD, ended=4.1), HAPPENED, [START + 2.38])


def rounded(segment: Segment) -> tuple[float, float]:
    return round(segment.start, 6), round(segment.end, 6)


# The time line


def test_speech_is_where_mouth_and_ear_had_it() -> None:
    timeline = conversation()
    # Sent frame 40 leaves at 0.82 s: it was spoken from 0.80 s on. Frames heard audio from their arrival on.
    assert [rounded(s) for s in timeline.caller_speech] == [(0.8, 1.0), (2.3, 2.8)]
    assert [rounded(s) for s in timeline.agent_speech] == [(0.01, 0.21), (1.61, 2.41), (3.61, 3.81)]
    assert timeline.first_speech_ms == near(10)
    assert timeline.setup_ms == 5.0


def test_response_latency_runs_from_the_last_audio_of_the_caller_to_the_first_of_the_agent() -> None:
    latencies = [response.latency_ms for response in conversation().responses]
    assert latencies == [near(610), near(810)]


def test_who_speaks_on_is_not_answered() -> None:
    assert build_timeline(record_of("#" * 5 + "." * 30 + "#" * 5, "." * 10), []).responses == ()
    timeline = build_timeline(record_of("#" * 5 + "." * 30 + "#" * 5, "." * 45 + "#" * 5), [])
    assert timeline.responses == (Response(near(0.8), near(0.91)),)


def test_a_pause_between_words_belongs_to_the_utterance() -> None:
    timeline = build_timeline(record_of("#" * 5 + "." * 19 + "#" * 5), [])
    assert [rounded(s) for s in timeline.caller_speech] == [(0, 0.58)]


def test_barge_in_is_measured_from_the_message_to_the_end_of_the_last_audio() -> None:
    (barge_in,) = conversation().barge_ins
    assert barge_in == BargeIn(near(2.3), near(2.38), near(2.41), 9_000)
    assert barge_in.message_to_silence_ms == near(30)
    assert barge_in.speech_to_silence_ms == near(110)


def test_audio_of_the_old_reply_after_a_silence_counts_against_the_barge_in() -> None:
    heard = "#" * 40 + "." * 20 + "#" + "." * 20
    timeline = build_timeline(
        record_of("." * 90, heard), [events.Interrupted(CALL, START + 0.75, 1_000)], [START + 0.74]
    )
    assert timeline.barge_ins[0].silent_at == near(0.01 + 61 * 0.02)


def test_an_interruption_between_two_sounds_is_silent_at_once() -> None:
    happened = [events.Interrupted(CALL, START + 1.0, 0)]
    (barge_in,) = build_timeline(record_of("." * 90, "#" * 10 + "." * 80), happened).barge_ins
    assert barge_in == BargeIn(1.0, 1.0, 1.0, 0)
    (barge_in,) = build_timeline(record_of(), happened, []).barge_ins
    assert barge_in.message_to_silence_ms == 0


def test_the_transcript_has_its_places_and_what_was_cut_off() -> None:
    transcript = [(u.by_agent, u.text, u.unheard) for u in conversation().transcript]
    assert transcript == [
        (True, "Hello & welcome.", ""),
        (False, "What are <your> hours?", ""),
        (True, "We are open", " from nine to five."),
        (False, "Wait.", ""),
        (True, "Yes?", ""),
    ]
    assert [round(u.at, 3) for u in conversation().transcript] == [0.009, 0.8, 1.605, 2.3, 3.6]


def test_a_correction_that_is_no_beginning_replaces_the_reply() -> None:
    happened = [
        events.CallerSaid(CALL, START + 0.5, "Hm."),
        events.AgentSaid(CALL, START + 0.6, "One two three.", corrected=False),
        events.CallerSaid(CALL, START + 0.7, "Stop."),
        events.AgentSaid(CALL, START + 0.8, "Something else", corrected=True),
    ]
    assert build_timeline(record_of(), happened).transcript == (
        Utterance(near(0.5), by_agent=False, text="Hm."),
        Utterance(near(0.6), by_agent=True, text="Something else"),
        Utterance(near(0.7), by_agent=False, text="Stop."),
    )
    orphan = [events.AgentSaid(CALL, START, "What?", corrected=True)]
    assert build_timeline(record_of(), orphan).transcript == ()


def test_audio_is_laid_out_sample_for_sample() -> None:
    timeline = build_timeline(
        record_of(".##.", "#.#", ended=0.1, late=lambda number: 0.005 if number == 1 else 0.0), []
    )
    assert timeline.duration == 0.1
    expected = np.zeros(800, "<i2")
    expected[160:480] = np.frombuffer(TONE * 2, "<i2")
    assert np.array_equal(timeline.caller_samples, expected)
    expected = np.zeros(800, "<i2")
    expected[80:560] = np.frombuffer(TONE + SILENCE + TONE, "<i2")
    assert np.array_equal(timeline.agent_samples, expected)
    assert [late for _, late in timeline.lateness] == [
        near(0),
        near(5),
        near(0),
    ]
    both = np.frombuffer(stereo(timeline), "<i2").reshape(-1, 2)
    assert np.array_equal(both[:, 0], timeline.caller_samples)
    assert np.array_equal(both[:, 1], timeline.agent_samples)


def test_audio_longer_than_the_call_is_kept() -> None:
    assert build_timeline(record_of("", "##", ended=0.01), []).duration == near(0.05)


# The page


class Checker(HTMLParser):
    """Holds the tags to their nesting, and collects what would be fetched."""

    void = frozenset({"meta", "link", "br", "img", "path"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)
        values = dict(attrs)
        self.references += [value for name in ("src", "href") if (value := values.get(name))]
        self.ids += [value for value in [values.get("id")] if value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(timeline: Timeline, wav: bytes = b"RIFF") -> str:
    return render_page(timeline, wav, title="A <call>", subtitle="4 s & more")


def test_the_page_is_audio_html_and_fetches_nothing() -> None:
    page = page_of(conversation(), b"RIFF....")
    checked = Checker(page)
    assert checked.open == []
    assert len(set(checked.ids)) == len(checked.ids)
    assert all(reference.startswith("data:") for reference in checked.references)
    assert not re.search(r"https?:|@import|url\(", page)
    assert "data:audio/wav;base64," + base64.b64encode(b"RIFF....").decode() in page
    assert "default-src 'none'" in page


def test_the_page_shows_the_figures_and_escapes_the_words() -> None:
    page = page_of(conversation())
    assert "<title>A &lt;call&gt;</title>" in page
    assert "What are &lt;your&gt; hours?" in page
    assert "Hello &amp; welcome." in page
    assert "from nine to five.</del>" in page
    assert "610 ms" in page
    assert "median of 2: 610 · 810" in page
    assert "barge-in: silent after 30 ms" in page
    assert "110 ms from the caller&#x27;s first audio" in page
    assert "Caller speaks: 0.8 to 1.0 s, 2.3 to 2.8 s." in page
    assert "hangup-frame" in page


def test_the_page_survives_a_call_in_which_nothing_happened() -> None:
    page = page_of(build_timeline(record_of(ended=0.0, ending=Ending.ERROR, error="<refused>"), []))
    assert Checker(page).open == []
    assert "Caller never speaks." in page
    assert "the caller never cut in" in page
    assert "error: &lt;refused&gt;" in page


def test_the_lateness_strip_takes_a_scale_that_holds_the_latest_frame() -> None:
    def scale(latest_ms: float) -> str:
        late = record_of("", "." * 10, late=lambda number: latest_ms / 1000 if number == 5 else 0.0)
        found = re.search(r"0 to (\d+) ms", page_of(build_timeline(late, [])))
        assert found
        return found[1]

    assert [scale(ms) for ms in (0, 7, 49, 3_000)] == ["5", "10", "50", "3000"]


# The show


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def draw(show: Show) -> None:
    show.draw(frames("." * 5 + "#" * 10, 0.02), frames("#" * 5 + "." * 7, 0.01))


def test_without_a_terminal_the_show_is_plain_lines() -> None:
    stream = io.StringIO()
    show = Show(stream)
    for event in HAPPENED:
        show.observe(event)
    draw(show)
    show.finish()
    show.summary(conversation())
    output = stream.getvalue()
    assert "\x1b" not in output
    assert "  1.50 s  caller   What are <your> hours?\n" in output
    assert "  2.38 s  cut in   interrupted, 9000 ms discarded\n" in output
    assert "(cut to) We are open..." in output
    assert "agent connected in 5 ms" in output
    assert "median 710 ms (610, 810)" in output
    assert "silence at the caller's end 30 ms after the agent's message" in output


def test_on_a_terminal_the_meters_move_below_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    show = Show(stream)
    assert show.live
    draw(show)
    assert stream.getvalue() == (
        f"  \x1b[36mcaller {18 * BARS[0]}{2 * BARS[-1]}\x1b[0m\n"
        f"  \x1b[35magent  {18 * BARS[0]}{BARS[-1]}{BARS[0]}\x1b[0m    0.2 s\n"
    )
    stream.truncate(stream.seek(0))
    show.observe(HAPPENED[0])
    assert stream.getvalue().startswith("\x1b[2F\x1b[J    0.00 s")
    assert stream.getvalue().endswith(" s\n")
    stream.truncate(stream.seek(0))
    show.observe(events.CallerSaid(CALL, START + 1, "one two three four five six"))
    assert (
        "s  \x1b[36mcaller \x1b[0m  one two three four\n                     five six\n" in stream.getvalue()
    )
    stream.truncate(stream.seek(0))
    show.finish()
    show.headline("done")
    assert stream.getvalue() == "\x1b[2F\x1b[Jdone\n"


def test_no_color_leaves_the_meters_and_a_dumb_terminal_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    show = Show(stream)
    draw(show)
    assert "\x1b" not in stream.getvalue()
    assert BARS[-1] in stream.getvalue()
    monkeypatch.setenv("TERM", "dumb")
    assert not Show(Terminal()).live


def test_the_summary_says_only_what_is_known() -> None:
    stream = io.StringIO()
    Show(stream).summary(build_timeline(record_of(), []))
    (line,) = stream.getvalue().splitlines()[1:]
    assert line.endswith("p50 0.0, p99 0.0, max 0.0 ms over 0 frames; 0 gaps over 60 ms")


def test_a_meter_bar_is_a_tenth_of_a_second() -> None:
    assert meter(frames("." * 5 + "#" * 5 + "#", 0), 4) == BARS[0] * 3 + BARS[-1]
    assert meter((), 3) == BARS[0] * 3
    assert meter(frames("#" * 50, 0), 2) == BARS[-1] * 2


# The whole


@pytest.mark.slow
async def test_the_demo_holds_a_call_that_is_right_to_ear_and_eye(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELEVENLABS_AGENT_URL", "http://127.0.0.1:1/nobody")  # must not matter
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    assert await run_demo(tmp_path / "new" / "out", stream=stream) == 0
    with wave.open(str(tmp_path / "new/out/call.wav"), "rb") as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8_000, 2)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    caller, agent = both[:, 0].tobytes(), both[:, 1].tobytes()
    for prompt in ("opening-hours", "transfer", "interruption", "goodbye"):
        assert read_wav(demo.PROMPTS / f"{prompt}.wav") in caller
    for prompt in ("greeting", "opening-hours", "go-ahead", "goodbye"):
        assert read_wav(AGENT_PROMPTS / f"{prompt}.wav") in agent
    long_answer = read_wav(AGENT_PROMPTS / "long-answer.wav")
    assert long_answer[:16_000] in agent
    assert long_answer[-16_000:] not in agent
    page = (tmp_path / "new/out/call.html").read_text(encoding="utf-8")
    assert Checker(page).open == []
    assert base64.b64encode((tmp_path / "new/out/call.wav").read_bytes()).decode() in page
    assert "median of 4: " in page
    assert page.count("barge-in: silent after") == 1
    assert "hangup-frame" in page
    assert "Thank you, goodbye." in stream.getvalue()
    assert "frame lateness" in stream.getvalue()


async def test_a_call_that_goes_wrong_is_a_failure_and_still_leaves_its_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run_demo(tmp_path, limit_s=0.2) == 1
    assert "The call went wrong: caller-hangup" in capsys.readouterr().out
    assert "caller-hangup" in (tmp_path / "call.html").read_text(encoding="utf-8")


async def test_a_folder_that_can_not_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"--output .*file"):
        await run_demo(tmp_path / "file")


async def test_a_page_that_can_not_be_written_is_said(
    tmp_path: Path,
) -> None:
    (tmp_path / "call.html").mkdir()
    with pytest.raises(ConfigurationError, match=r"call\.html: Is a directory"):
        await run_demo(tmp_path, stream=io.StringIO(), limit_s=0.1)
