"""The figures of a call, each with a target and a verdict: `docs/call-page.md` has their sources. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from audiosocket_gw.audio.frame_timing import GAP_MS
from audiosocket_gw.call_page.model import CallModel


class Verdict(StrEnum):
    """How a figure compares with its target, in words."""

    GOOD = "good"
    FAIR = "over target"
    BAD = "bad"
    NONE = "no figure"


@dataclass(frozen=True, slots=True)
class Target:
    """Up to ``good`` a figure is good, and over ``bad`` it is bad; ``unit`` is that of both."""

    good: float
    bad: float
    unit: str = "ms"

    def verdict(self, value: float) -> Verdict:
        if value <= self.good:
            return Verdict.GOOD
        return Verdict.FAIR if value <= self.bad else Verdict.BAD

    def __str__(self) -> str:
        if self.bad == self.good:
            return f"target {self._shown(self.good)}"
        return f"target {self._shown(self.good)}, bad over {self._shown(self.bad)}"

    def _shown(self, value: float) -> str:
        if self.unit != "ms":
            return f"{value:g}{self.unit}"
        return f"{value / 1000:g} s" if value >= 1_000 else f"{value:g} ms"


TARGETS = {
    "Agent connected": Target(1_000, 2_000),
    "First audio": Target(1_200, 2_000),
    "Answer, median": Target(1_500, 2_000),
    "Slowest answer": Target(2_000, 3_000),
    "Barge-in to silence": Target(400, 800),
    "Barge-in, gateway's share": Target(40, 100),
    "Frame lateness, p99": Target(10, 20),
    "Gaps to the caller": Target(0, 1, " a minute"),
    "Late frames": Target(0.1, 1, " %"),
}
"""By the name of the figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: what it is, ``value`` in words, and ``note`` on how it was measured."""

    name: str
    value: str
    unit: str
    verdict: Verdict
    note: str

    @property
    def target(self) -> str:
        return str(TARGETS[self.name])


def figures(model: CallModel) -> tuple[Figure, ...]:
    """Return the figures of a call; one that isn't known says so."""
    return (
        _connected(model),
        _first_audio(model),
        *_answers(model),
        *_barge_ins(model),
        *_frames(model),
    )


def _connected(model: CallModel) -> Figure:
    ms = model.record.setup_ms
    return _ms(
        "Agent connected", ms, "the start to the agent's metadata" if ms is not None else "it never did"
    )


def _first_audio(model: CallModel) -> Figure:
    ms = model.record.first_audio_ms
    note = "the start to the first frame of the agent" if ms is not None else "the caller heard no agent"
    return _ms("First audio", ms, note)


def _answers(model: CallModel) -> Iterator[Figure]:
    latencies = [answer.latency_ms for answer in model.answers]
    how = "measured in the audio" if model.answers_measured else "end of the caller's speech to the agent's"
    note = f"of {len(latencies)}; {how}" if latencies else "the agent answered nothing"
    yield _ms("Answer, median", median(latencies) if latencies else None, note)
    yield _ms("Slowest answer", max(latencies, default=None), note)


SINCE = ("caller's first audio", "agent's message")


def _barge_ins(model: CallModel) -> Iterator[Figure]:
    if model.barge_ins:
        ways = [f"slowest of {len(model.barge_ins)}; from the {since}" for since in SINCE]
    else:
        ways = ["the caller never interrupted"] * 2
    silence = [each.silence_ms for each in model.barge_ins if each.silence_ms is not None]
    stop = [each.stop_ms for each in model.barge_ins if each.stop_ms is not None]
    yield _ms("Barge-in to silence", max(silence, default=None), ways[0])
    yield _ms("Barge-in, gateway's share", max(stop, default=None), ways[1])


def _frames(model: CallModel) -> Iterator[Figure]:
    timing, frames = model.to_caller, model.record.frames
    if timing is not None and timing.frames:
        note = f"max {timing.max_ms:.1f} ms; {timing.frames} frames to the caller"
        yield _ms("Frame lateness, p99", timing.p99_ms, note, digits=1)
        per_minute = timing.gaps / max(1.0, model.duration / 60)
        verdict = TARGETS["Gaps to the caller"].verdict(per_minute)
        note = f"over {GAP_MS} ms; the longest pause {timing.longest_gap_ms:.0f} ms"
        yield Figure("Gaps to the caller", str(timing.gaps), "", verdict, note)
    elif model.record.end is not None and model.duration > 0:
        share = 100 * (frames.late + frames.skipped) / (model.duration * 50)
        verdict = TARGETS["Late frames"].verdict(share)
        note = f"{frames.late} over 10 ms late, {frames.skipped} never sent"
        yield Figure("Late frames", f"{share:.1f}", "%", verdict, note)


def _ms(name: str, ms: float | None, note: str, digits: int = 0) -> Figure:
    if ms is None:
        return Figure(name, "–", "", Verdict.NONE, note)
    return Figure(name, f"{ms:,.{digits}f}", "ms", TARGETS[name].verdict(ms), note)
