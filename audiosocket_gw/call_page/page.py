"""The document: one HTML file that loads nothing, and runs no script but its own player, if it has audio."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median
from string import Template

from audiosocket_gw.call_page.figures import Figure, Verdict, figures
from audiosocket_gw.call_page.findings import Finding, Head, Outcome, head
from audiosocket_gw.call_page.markup import clock, foreign, length, plain, with_code
from audiosocket_gw.call_page.model import CallModel, Source
from audiosocket_gw.call_page.sections import section_of, sections
from audiosocket_gw.call_page.strips import Section, lay_out

FOLDER = Path(__file__).parent

MADE_OF = {
    Source.FLIGHT: "its flight recording: both voices, all messages and events, measured at the gateway.",
    Source.RECORDING: "its recording (RECORD_DIR): both voices and the transcript, measured at the gateway.",
    Source.RECORD: "its call record alone: no audio and no words. FLIGHT_DIR or RECORD_DIR keeps them.",
    Source.CALLER: "the frames at the caller's socket and the gateway's events, on one clock.",
}

SHAPES = {
    Verdict.GOOD: "good",
    Verdict.FAIR: "fair",
    Verdict.BAD: "bad",
    Verdict.NONE: "none",
}

OUTCOMES = {
    Outcome.NORMAL: "good",
    Outcome.LOOK: "fair",
    Outcome.BAD: "bad",
    Outcome.UP: "none",
    Outcome.BROKEN_OFF: "fair",
}


def render(model: CallModel, *, title: str = "", note: str = "", wav: bytes | None = None) -> bytes:
    """Return the page in UTF-8.

    ``title``: instead of what the call's end says; ``note``: at its foot; ``wav``: audio to play.
    """
    laid_out = lay_out(model)
    found = head(model)
    css, script = _asset("page.css"), _asset("player.js") if wav else ""
    page = Template(_asset("page.html")).substitute(
        policy=content_security_policy(with_audio=wav is not None),
        css=css,
        title=plain(title or _title(model, found)),
        shape=OUTCOMES[found.outcome],
        heading=plain(title) if title else _heading(found),
        when=_when(model),
        explanation=_explanation(found, laid_out),
        figures="".join(map(_figure, figures(model))),
        audio=_player(wav) if wav else "",
        legend=_legend(model),
        sections=sections(model, laid_out, has_audio=wav is not None),
        setup=_setup(model),
        facts=_table(_facts(model)),
        frames=_table(_frames(model)),
        source=plain(f"{MADE_OF[model.source]} {note}".strip()),
        script=f"<script>{script}</script>" if script else "",
    )
    return page.encode()


def content_security_policy(*, with_audio: bool = False) -> str:
    """Return the page's policy, which a server may repeat: its own style and, with audio, its own script."""
    policy = f"default-src 'none'; style-src '{_hash('page.css')}'; img-src data:; base-uri 'none'"
    if with_audio:
        policy += f"; script-src '{_hash('player.js')}'; media-src data:"
    return policy + "; form-action 'none'"


@cache
def _asset(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(name: str) -> str:
    digest = hashlib.sha256(_asset(name).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


# The head


def _title(model: CallModel, found: Head) -> str:
    return f"{found.reason or found.outcome}: call {model.record.uuid}"


def _heading(found: Head) -> str:
    return (
        f"{plain(found.outcome)}: <code>{plain(found.reason)}</code>"
        if found.reason
        else plain(found.outcome)
    )


def _when(model: CallModel) -> str:
    started = datetime.fromtimestamp(model.record.started_at, UTC)
    return f"Call of {started:%Y-%m-%d %H:%M:%S} UTC <span>·</span> {length(model.duration)}"


def _explanation(found: Head, laid_out: tuple[Section, ...]) -> str:
    rows = [("Detail", foreign(found.detail))] if found.detail else []
    if found.happened:
        rows.append(("What it means", with_code(found.happened)))
        rows.append(("What to do", with_code(found.to_do)))
    explained = "".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in rows)
    listed = "".join(f"<li>{_finding(finding, laid_out)}</li>" for finding in found.findings)
    if found.unlisted:
        listed += f"<li>and {found.unlisted} more, marked on the time line</li>"
    look = f"<h2>Look at</h2><ol>{listed}</ol>" if listed else ""
    return f'<dl class="explained">{explained}</dl>{look}'


def _finding(finding: Finding, laid_out: tuple[Section, ...]) -> str:
    text = f"<bdi>{with_code(finding.text)}</bdi>"
    if finding.at is None:
        return text
    return f'<a href="#{section_of(laid_out, finding.at)}">{clock(finding.at)}</a> {text}'


def _figure(figure: Figure) -> str:
    shape = SHAPES[figure.verdict]
    unit = f'<span class="unit"> {plain(figure.unit)}</span>' if figure.unit else ""
    return (
        f'<div class="figure {shape}"><dt>{plain(figure.name)}</dt>'
        f'<dd><span class="value">{plain(figure.value)}{unit}</span>'
        f'<span class="verdict">{_shape(shape)} {plain(figure.verdict)}</span>'
        f"<small>{plain(figure.target)}</small><small>{plain(figure.note)}</small></dd></div>"
    )


def _shape(name: str) -> str:
    return f'<svg class="shape" aria-hidden="true"><use href="#shape-{name}"/></svg>'


def _player(wav: bytes) -> str:
    encoded = base64.b64encode(wav).decode("ascii")
    return (
        '<audio id="audio" controls preload="auto" aria-label="The call: caller left, agent right"'
        f' src="data:audio/wav;base64,{encoded}"></audio>'
        '<p class="hint">A click on the time line, or on a time in the table, plays from there.</p>'
    )


def _legend(model: CallModel) -> str:
    shown = []
    if model.caller or model.agent:
        shown += [("caller", "the caller's voice"), ("agent", "the agent, as the caller hears it")]
    shown += [
        ("answer", "wait for an answer"),
        ("barge-in", "barge-in"),
        ("tool", "tool, transfer, set-up"),
        ("fault", "▲ fault"),
    ]
    return "".join(f'<li><i class="{kind}"></i>{text}</li>' for kind, text in shown)


# The tables at the end


def _setup(model: CallModel) -> str:
    steps = model.record.setup_steps
    rows = [(step.replace("_", " "), f"{ms:,} ms") for step, ms in steps.items()]
    if model.record.setup_ms is not None:
        rows.append(("start to the agent's metadata", f"{model.record.setup_ms:,} ms"))
    return _table(rows) if rows else "<p>The agent never connected, and no step was recorded.</p>"


def _facts(model: CallModel) -> Iterator[tuple[str, str]]:
    record = model.record
    yield "UUID", str(record.uuid)
    known = {
        "Agent": record.agent,
        "Conversation": record.conversation_id,
        "Caller": " ".join(filter(None, (record.caller_name, record.caller_number))),
        "Dialled number": record.dialled_number,
        "Channel": record.channel,
        "PBX": record.pbx,
        "AudioSocket from": record.peer,
        "Gateway": model.gateway,
    }
    yield from ((name, value) for name, value in known.items() if value)
    yield "Audio heard", f"{record.heard_ms / 1000:.1f} s of the agent"
    yield "Never heard", f"{record.discarded_ms / 1000:.1f} s, discarded at interruptions"
    if model.round_trips_ms:
        trips = model.round_trips_ms
        yield "Round trip to the agent", f"median {median(trips):.0f} ms, longest {max(trips):.0f} ms"
    if record.holds:
        yield "Replies held", f"{record.holds}, of which {record.resumed} resumed"
    if record.digits:
        yield "Keys", f"{record.digits} pressed"


def _frames(model: CallModel) -> Iterator[tuple[str, str]]:
    for name, timing in (("To the caller", model.to_caller), ("From the caller", model.from_caller)):
        if timing is not None:
            yield (
                name,
                f"{timing.frames} frames; lateness p50 {timing.p50_ms:.1f}, p99 {timing.p99_ms:.1f}, max"
                f" {timing.max_ms:.1f} ms; jitter (RFC 3550) {timing.jitter_ms:.1f} ms; gaps over 60 ms:"
                f" {timing.gaps}, the longest pause {timing.longest_gap_ms:.0f} ms",
            )
    frames = model.record.frames
    if model.to_caller is None or frames.late or frames.skipped or frames.missing:
        yield "Counted", f"{frames.late} late, {frames.skipped} never sent, {frames.missing} missing"


def _table(rows: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> str:
    body = "".join(
        f'<tr><th scope="row">{plain(name)}</th><td>{foreign(value)}</td></tr>' for name, value in rows
    )
    return f'<table class="facts"><tbody>{body}</tbody></table>'
