"""The demonstration: the time line from known frames, the page, the show, and the whole of it once."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from audiosocket_gw import events
from audiosocket_gw.audio import FRAME_BYTES
from audiosocket_gw.audio.frame_timing import TimedFrame
from audiosocket_gw.call_page.direction import Span
from audiosocket_gw.call_page.model import Answer, BargeIn, CallModel
from audiosocket_gw.call_page.page import render
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.errors import ConfigurationError
from audiosocket_gw.protocol.audiosocket import Kind
from audiosocket_gw.testing.demo import demo, run_demo
from audiosocket_gw.testing.demo.callers_end import model_at_callers_end, stereo
from audiosocket_gw.testing.demo.show import BARS, Show, meter
from audiosocket_gw.testing.simulator.prompts import FOLDER as AGENT_PROMPTS
from audiosocket_gw.testing.softphone import CallRecord, Ending, read_wav
from tests.call_page.html_checker import Checker

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


def model_of(record: CallRecord, happened: list[events.CallEvent]) -> CallModel:
    return model_at_callers_end(record, happened, started_at=1_790_000_000.0, gateway="1.2.3")


def conversation() -> CallModel:
    return model_of(record_of(SENT, HEARD, ended=4.1), HAPPENED)


def rounded(span: Span) -> tuple[float, float]:
    return round(span.start, 6), round(span.end, 6)


# The caller's end


def test_speech_is_where_mouth_and_ear_had_it() -> None:
    model = conversation()
    # Sent frame 40 leaves at 0.82 s: it was spoken from 0.80 s on. Frames heard audio from their arrival on.
    assert [rounded(s) for s in model.caller_speech] == [(0.8, 1.0), (2.3, 2.8)]
    assert [rounded(s) for s in model.agent_speech] == [(0.01, 0.21), (1.61, 2.384), (3.61, 3.81)]
    assert model.record.first_audio_ms == 9
    assert model.record.setup_ms == 5
    assert model.record.peer == "127.0.0.1:4000"


def test_the_wait_for_an_answer_runs_from_the_last_audio_of_the_caller_to_the_first_of_the_agent() -> None:
    assert [answer.latency_ms for answer in conversation().answers] == [near(610), near(810)]


def test_who_speaks_on_is_not_answered() -> None:
    assert model_of(record_of("#" * 5 + "." * 30 + "#" * 5, "." * 10), []).answers == ()
    model = model_of(record_of("#" * 5 + "." * 30 + "#" * 5, "." * 45 + "#" * 5), [])
    assert model.answers == (Answer(near(0.8), near(0.91)),)


def test_a_pause_between_words_belongs_to_the_utterance() -> None:
    model = model_of(record_of("#" * 5 + "." * 19 + "#" * 5), [])
    assert [rounded(s) for s in model.caller_speech] == [(0, 0.58)]


def test_barge_in_is_measured_to_the_end_of_the_last_audio() -> None:
    (barge_in,) = conversation().barge_ins
    assert barge_in == BargeIn(near(2.384), near(2.3), near(26), near(110), 9_000)


def test_audio_of_the_old_reply_after_a_silence_counts_against_the_barge_in() -> None:
    heard = "#" * 40 + "." * 20 + "#" + "." * 20
    model = model_of(record_of("." * 90, heard), [events.Interrupted(CALL, START + 0.75, 1_000)])
    assert model.barge_ins[0].stop_ms == near((0.01 + 61 * 0.02 - 0.75) * 1_000)


def test_an_interruption_between_two_words_is_silent_at_once() -> None:
    happened: list[events.CallEvent] = [events.Interrupted(CALL, START + 1.0, 0)]
    (barge_in,) = model_of(record_of("." * 90, "#" * 10 + "." * 80), happened).barge_ins
    assert barge_in == BargeIn(1.0, None, 0, None, 0)


def test_audio_is_laid_out_sample_for_sample() -> None:
    record = record_of(".##.", "#.#", ended=0.1, late=lambda number: 0.005 if number == 1 else 0.0)
    both = np.frombuffer(stereo(record), "<i2").reshape(-1, 2)
    assert len(both) == 800
    expected = np.zeros(800, "<i2")
    expected[160:480] = np.frombuffer(TONE * 2, "<i2")
    assert np.array_equal(both[:, 0], expected)
    expected = np.zeros(800, "<i2")
    expected[80:560] = np.frombuffer(TONE + SILENCE + TONE, "<i2")
    assert np.array_equal(both[:, 1], expected)
    agent = model_of(record, []).agent
    assert agent is not None
    lateness = agent.lateness()
    assert lateness is not None
    assert lateness.tolist() == [near(0), near(5), near(0)]


def test_audio_longer_than_the_call_is_kept() -> None:
    assert len(stereo(record_of("", "##", ended=0.01))) == 4 * 400


def test_a_call_in_which_nothing_happened_has_a_page() -> None:
    model = model_of(record_of(ended=0.0, ending=Ending.ERROR, error="refused"), [])
    assert Checker(render(model, title="A <call>", wav=b"RIFF")).open == []
    assert stereo(record_of(ended=0.0)) == b""


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
    assert "Answer, median             710 ms     good: target 1.5 s, bad over 2 s\n" in output
    assert "Barge-in to silence        110 ms     good" in output


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
    Show(stream).summary(model_of(record_of(), []))
    lines = stream.getvalue().splitlines()[1:]
    assert [line.split("–")[1].strip() for line in lines] == [
        "it never did",
        "the caller heard no agent",
        *["the agent answered nothing"] * 2,
        *["the caller never interrupted"] * 2,
    ]


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
    page = (tmp_path / "new/out/call.html").read_bytes()
    assert Checker(page).open == []
    assert base64.b64encode((tmp_path / "new/out/call.wav").read_bytes()) in page
    assert b"of 4; " in page
    assert page.count(b"The caller interrupted;") >= 1
    assert b"The call ended: agent-hangup" in page
    assert "Thank you, goodbye." in stream.getvalue()
    assert "Frame lateness, p99" in stream.getvalue()


async def test_a_call_that_goes_wrong_is_a_failure_and_still_leaves_its_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run_demo(tmp_path, limit_s=0.2) == 1
    assert "The call went wrong: caller-hangup" in capsys.readouterr().out
    assert b"caller-hangup" in (tmp_path / "call.html").read_bytes()


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
