"""One call as one self-contained HTML file: it loads no script, font, picture or audio."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import median
from string import Template

import numpy as np

from audiosocket_gw import events
from audiosocket_gw.audio.frame_timing import FrameTiming, TimedFrame
from audiosocket_gw.testing.demo.timeline import BargeIn, Samples, Segment, Timeline, Utterance
from audiosocket_gw.testing.softphone import is_speech, level_dbfs

TEMPLATE = Path(__file__).parent / "page.html"

BUCKET_S = 0.01
"""Buckets of the waveform; each is drawn as the range from its lowest to its highest sample."""

LATENESS_BINS_MS = (1, 2, 5, 10, 20)

SCALES_MS = (5, 10, 20, 50, 100, 200, 500, 1_000)
"""Scales of the lateness strip; the smallest that fits the latest frame is used."""

RULER_END_S = 0.4
"""Room for the last figure of the ruler."""

NEAR_END = 0.9
"""From this fraction of the call on, a mark has its figure on its left."""


def render_page(timeline: Timeline, wav: bytes, *, title: str, subtitle: str) -> str:
    """Return the page; ``wav`` is the stereo file that it plays."""
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        tiles=_tiles(timeline),
        duration=f"{timeline.duration:.3f}",
        duration_text=_clock(timeline.duration),
        ruler=_ruler(timeline.duration),
        caller_alt=escape(_alternative("Caller", timeline.caller_speech)),
        agent_alt=escape(_alternative("Agent", timeline.agent_speech)),
        caller_bands=_bands(timeline.caller_speech, timeline.duration),
        agent_bands=_bands(timeline.agent_speech, timeline.duration),
        caller_wave=_wave(timeline.caller_samples, timeline.record.rate),
        agent_wave=_wave(timeline.agent_samples, timeline.record.rate),
        buckets=_bucket_count(timeline.caller_samples, timeline.record.rate),
        marks=_marks(timeline),
        lines=_barge_in_lines(timeline),
        lateness=_lateness(timeline),
        lateness_width=f"{timeline.duration * 100:.1f}",
        lateness_alt=escape(_timing_sentence(timeline.record.timing)),
        lateness_scale=f"{_lateness_scale(timeline):.0f}",
        transcript=_transcript(timeline),
        histogram=_histogram([late for _, late in timeline.lateness]),
        timing=_table(_timing_rows(timeline.record.timing)),
        call=_table(_call_rows(timeline)),
        events=_events(timeline),
        wav=base64.b64encode(wav).decode("ascii"),
        data=json.dumps({"duration": timeline.duration, "starts": [u.at for u in timeline.transcript]}),
    )


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole if whole else 0:.3f}%"


# The figures at the top


def _tiles(timeline: Timeline) -> str:
    latencies = [response.latency_ms for response in timeline.responses]
    timing = timeline.record.timing
    return "".join(
        (
            _tile("Agent connected", timeline.setup_ms, "from the UUID frame to the agent's metadata"),
            _tile(
                "First word", timeline.first_speech_ms, "from the UUID frame to speech at the caller's end"
            ),
            _tile(
                "Response latency",
                median(latencies) if latencies else None,
                f"median of {len(latencies)}: " + " · ".join(f"{latency:.0f}" for latency in latencies),
            ),
            _barge_in_tile(timeline.barge_ins),
            _tile(
                "Frame lateness, p99",
                timing.p99_ms if timing.frames else None,
                f"max {timing.max_ms:.1f} ms · {timing.gaps} gaps over 60 ms · {timing.frames} frames",
                digits=1,
            ),
        )
    )


def _barge_in_tile(barge_ins: Sequence[BargeIn]) -> str:
    if not barge_ins:
        return _tile("Barge-in to silence", None, "the caller never cut in")
    worst = max(barge_ins, key=lambda barge_in: barge_in.message_to_silence_ms)
    return _tile(
        "Barge-in to silence",
        worst.message_to_silence_ms,
        f"{worst.speech_to_silence_ms:.0f} ms from the caller's first audio ·"
        f" {worst.discarded_ms / 1000:.1f} s never heard",
        kind="barge",
    )


def _tile(name: str, ms: float | None, note: str, *, digits: int = 0, kind: str = "") -> str:
    value = "–" if ms is None else f'{ms:.{digits}f}<span class="unit"> ms</span>'
    return (
        f'<div class="tile {kind}"><dt>{escape(name)}</dt><dd>{value}<small>{escape(note)}</small></dd></div>'
    )


# The time line


def _ruler(duration: float) -> str:
    return "".join(
        f'<span style="left:{_percent(second, duration)}" class="{"major" if second % 5 == 0 else "minor"}">'
        f"{second} s</span>"
        for second in range(int(duration - RULER_END_S) + 1)
    )


def _alternative(speaker: str, speech: Sequence[Segment]) -> str:
    spans = ", ".join(f"{segment.start:.1f} to {segment.end:.1f} s" for segment in speech)
    return f"{speaker} speaks: {spans}." if spans else f"{speaker} never speaks."


def _bands(speech: Sequence[Segment], duration: float) -> str:
    return "".join(_span("band", segment.start, segment.end, duration) for segment in speech)


def _span(kind: str, start: float, end: float, duration: float, content: str = "", hint: str = "") -> str:
    width = _percent(max(0.0, end - start), duration)
    kind += " near-end" if end > NEAR_END * duration else ""
    return (
        f'<span class="{kind}" style="left:{_percent(start, duration)};width:{width}" title="{escape(hint)}">'
        f"{content}</span>"
    )


def _bucket_count(samples: Samples, rate: int) -> int:
    return max(1, -(-samples.size // round(rate * BUCKET_S)))


def _wave(samples: Samples, rate: int) -> str:
    """Return the outline as an SVG path, ``_bucket_count`` wide, and from -100 to 100 high."""
    buckets = _bucket_count(samples, rate)
    size = round(rate * BUCKET_S)
    folded = np.pad(samples, (0, buckets * size - samples.size)).reshape(buckets, size).astype(int)
    peak = max(1, int(np.abs(folded).max()))
    tops = -(folded.max(axis=1) * 96 // peak) - 1
    bottoms = -(folded.min(axis=1) * 96 // peak) + 1
    upper = [f"{x},{y}" for x, y in enumerate(tops)]
    lower = [f"{x},{y}" for x, y in enumerate(bottoms)]
    return "M" + "L".join(upper + lower[::-1]) + "Z"


def _marks(timeline: Timeline) -> str:
    responses = (
        _span(
            "wait",
            response.asked_at,
            response.answered_at,
            timeline.duration,
            f"<b>{response.latency_ms:.0f} ms</b>",
            f"response latency: {response.latency_ms:.0f} ms from the caller's last audio"
            " to the agent's first",
        )
        for response in timeline.responses
    )
    barge_ins = (
        _span(
            "cut",
            barge_in.spoken_at,
            barge_in.silent_at,
            timeline.duration,
            f"<b>barge-in: silent after {barge_in.message_to_silence_ms:.0f} ms</b>",
            f"the caller cuts in; {barge_in.message_to_silence_ms:.0f} ms from the agent's interruption"
            " message to silence at the caller's end",
        )
        for barge_in in timeline.barge_ins
    )
    return "".join((*responses, *barge_ins))


def _barge_in_lines(timeline: Timeline) -> str:
    return "".join(
        f'<i style="left:{_percent(barge_in.interrupted_at, timeline.duration)}"></i>'
        for barge_in in timeline.barge_ins
    )


def _lateness_scale(timeline: Timeline) -> float:
    latest = max((late for _, late in timeline.lateness), default=0.0)
    return next((scale for scale in SCALES_MS if scale >= latest), latest)


def _lateness(timeline: Timeline) -> str:
    """Return one bar per frame, as an SVG path 100 high over the call in hundredths of a second."""
    scale = _lateness_scale(timeline)
    return "".join(
        f"M{at * 100:.1f} 100V{100 - max(1.0, 100 * late / scale):.1f}" for at, late in timeline.lateness
    )


# Transcript, tables


def _transcript(timeline: Timeline) -> str:
    entries = [(utterance.at, _utterance(utterance)) for utterance in timeline.transcript]
    entries += [(barge_in.interrupted_at, _cut_in(barge_in)) for barge_in in timeline.barge_ins]
    return "".join(entry for _, entry in sorted(entries))


def _utterance(utterance: Utterance) -> str:
    speaker = "agent" if utterance.by_agent else "caller"
    unheard = (
        f' <del title="never heard">{escape(utterance.unheard.strip())}</del>' if utterance.unheard else ""
    )
    return (
        f'<li class="said {speaker}"><button type="button" data-at="{utterance.at:.2f}">'
        f"<time>{_clock(utterance.at)}</time> <b>{speaker.title()}</b> "
        f"<span>{escape(utterance.text)}{unheard}</span></button></li>"
    )


def _cut_in(barge_in: BargeIn) -> str:
    return (
        f'<li class="note">The caller cuts in. {barge_in.discarded_ms / 1000:.1f} s of queued speech'
        f" discarded, silence after {barge_in.message_to_silence_ms:.0f} ms.</li>"
    )


def _histogram(lateness: Sequence[float]) -> str:
    """Return the distribution of lateness, as bars."""
    if not lateness:
        return ""
    edges = [0, *LATENESS_BINS_MS, float("inf")]
    counts, _ = np.histogram(lateness, edges)
    labels = [
        f"< {LATENESS_BINS_MS[0]}",
        *(f"{low}–{high}" for low, high in pairwise(LATENESS_BINS_MS)),
    ]
    labels.append(f"> {LATENESS_BINS_MS[-1]}")
    return "".join(
        f'<div><span>{escape(label)} ms</span><span class="bar">'
        f'<i style="width:{_percent(count, len(lateness))}"></i></span><span>{count}</span></div>'
        for label, count in zip(labels, counts.tolist(), strict=True)
    )


def _timing_sentence(timing: FrameTiming) -> str:
    return (
        f"{timing.frames} frames heard; lateness: median {timing.p50_ms:.1f} ms, 99th percentile"
        f" {timing.p99_ms:.1f} ms, largest {timing.max_ms:.1f} ms."
    )


def _timing_rows(timing: FrameTiming) -> list[tuple[str, str]]:
    return [
        ("Lateness p50 / p99 / max", f"{timing.p50_ms:.2f} / {timing.p99_ms:.2f} / {timing.max_ms:.2f} ms"),
        ("Jitter (RFC 3550)", f"{timing.jitter_ms:.2f} ms"),
        ("Gaps over 60 ms", str(timing.gaps)),
        ("Longest gap", f"{timing.longest_gap_ms:.1f} ms"),
    ]


def _call_rows(timeline: Timeline) -> list[tuple[str, str]]:
    record = timeline.record
    return [
        ("UUID", str(record.uuid)),
        ("Duration", f"{record.duration_ms / 1000:.2f} s"),
        ("TCP connection", f"{record.connect_ms:.1f} ms"),
        ("Caller sent", _flow(record.sent)),
        ("Caller heard", _flow(record.heard)),
        ("Ended by", f"{record.ending}{': ' if record.error else ''}{record.error}"),
    ]


def _flow(frames: Sequence[TimedFrame]) -> str:
    speech = b"".join(frame.payload for frame in frames if is_speech(frame.payload))
    return f"{len(frames)} frames" + (
        f", speech at {level_dbfs(speech):.0f} dBFS" if speech else ", no speech"
    )


def _table(rows: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows
    )


def _events(timeline: Timeline) -> str:
    return "".join(
        f'<tr><td class="number">{event.at:.3f}</td><td>{type(event).__name__}</td>'
        f"<td>{escape(events.describe(event))}</td></tr>"
        for event in timeline.events
    )
