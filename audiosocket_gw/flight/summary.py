"""The summary of a recorded call: a time line and a few figures. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from audiosocket_gw.audio.frame_timing import GAP_MS, FrameTiming
from audiosocket_gw.elevenlabs.messages import DEFAULT_FORMAT
from audiosocket_gw.flight.call_trace import CallTrace
from audiosocket_gw.flight.format import AgentMessage, Event, GatewayMessage
from audiosocket_gw.flight.recorded_call import has_turns, record_of
from audiosocket_gw.flight.timing import gaps, timing
from audiosocket_gw.ledger.figures import median
from audiosocket_gw.ledger.json_object import json_object
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.log.text import escape

WIDTH = 200
"""Characters of a line; a longer one is cut."""

MAX_MESSAGE = 4 * 2**20
"""Largest message to parse, in bytes: JSON takes far more memory than its text."""

COUNTED_ONLY = ("ping", "pong")
"""Messages that are counted but not listed."""

Entry = tuple[int, str]
"""A time in microseconds, and a line."""


def summarize(trace: CallTrace) -> Iterator[str]:
    """Yield the lines of the summary."""
    yield from _head(trace)
    yield ""
    for at_us, line in sorted(_entries(trace), key=lambda entry: entry[0]):
        yield f"{at_us / 1e6:9.3f} s  {line}"
    yield ""
    yield from _figures(trace)
    yield from map(_cut, _course(record_of(trace), has_turns=has_turns(trace)))
    yield how_it_ended(trace)


def how_it_ended(trace: CallTrace) -> str:
    """Return in words how the recorded call ended."""
    if trace.end is None:
        return (
            f"The recording breaks off after {trace.duration_us / 1e6:.1f} s: "
            "the gateway died, its disk failed, or the call is still up."
        )
    end = trace.end
    detail = f": {escape(end.detail)}" if end.detail else ""
    return f"Ended after {trace.duration_us / 1e6:.1f} s: {end.reason}{detail}"


def describe_event(name: str, fields: Mapping[str, Any]) -> str:
    """Say in a line what an event tells: the words of its name, and its fields but the cause (see detail)."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    shown = ", ".join(f"{escape(key)}={_value(value)}" for key, value in fields.items() if key != "cause")
    return _cut(f"{escape(words):<16} {shown}".rstrip())


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    return escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def _head(trace: CallTrace) -> Iterator[str]:
    start = trace.start
    yield f"call {start.uuid}, from {escape(start.peer)}"
    yield f"started {start.started_at:%Y-%m-%d %H:%M:%S} UTC, with audiosocket-gw {escape(start.gateway)}"
    yield f"caller's side {trace.caller_format}; agent {_agent_formats(trace)}"


def _agent_formats(trace: CallTrace) -> str:
    for message in trace.agent_messages:
        content = _content(message.text)
        event = content.get("conversation_initiation_metadata_event")
        if isinstance(event, dict):
            spoken = event.get("agent_output_audio_format") or DEFAULT_FORMAT
            wanted = event.get("user_input_audio_format") or DEFAULT_FORMAT
            return escape(f"speaks {spoken}, listens to {wanted}")
    return "announced no format"


def _entries(trace: CallTrace) -> Iterator[Entry]:
    for record in trace.records:
        match record:
            case Event(at_us, name, fields):
                yield at_us, describe_event(name, fields)
            case AgentMessage(at_us, _, audio) if audio is not None:
                yield at_us, _cut(f"agent > gateway  {_message(record.text)} + {len(audio)} bytes of audio")
            case AgentMessage(at_us, text) if _kind(text) not in COUNTED_ONLY:
                yield at_us, _cut(f"agent > gateway  {_message(text)}")
            case GatewayMessage(at_us, text) if _kind(text) not in COUNTED_ONLY:
                yield at_us, _cut(f"gateway > agent  {_message(text)}")
    for at_us, length_ms in gaps(trace.said):
        yield at_us, f"gap              {length_ms:.0f} ms without a frame from Asterisk"
    for at_us, length_ms in gaps(trace.heard):
        yield at_us, f"gap              {length_ms:.0f} ms without a frame to Asterisk"


def _content(text: bytes) -> dict[str, Any]:
    if len(text) > MAX_MESSAGE:
        return {"type": f"({len(text)} bytes)"}
    return json_object(text) or {}


def _kind(text: bytes) -> str:
    return str(_content(text).get("type", ""))


def _message(text: bytes) -> str:
    """Return a message's type and its content, without empty audio and alignment."""
    content = _content(text)
    if not content:
        return f"(not a JSON object) {escape(text[:WIDTH].decode(errors='backslashreplace'))}"
    kind = str(content.pop("type", "(no type)"))
    event = content.get("audio_event")
    if isinstance(event, dict):
        content["audio_event"] = {
            key: value
            for key, value in event.items()
            if key != "alignment" and not (key == "audio_base_64" and value == "")
        }
    return f"{escape(kind)} {escape(json.dumps(content, ensure_ascii=False))}"


def _figures(trace: CallTrace) -> Iterator[str]:
    counted = Counter(
        _kind(record.text) for record in trace.records if isinstance(record, AgentMessage | GatewayMessage)
    )
    kinds = ", ".join(f"{count} {escape(kind) or '(no type)'}" for kind, count in counted.most_common())
    yield _cut(f"messages         {kinds or 'none'}")
    yield f"from Asterisk    {figures_line(timing(trace.said, trace.caller_format))}"
    yield f"to Asterisk      {figures_line(timing(trace.heard, trace.heard_format))}"


def _course(record: CallRecord, *, has_turns: bool) -> Iterator[str]:
    """Yield what is known of how the call went."""
    if record.setup_ms is not None:
        steps = "".join(f", {step} {ms}" for step, ms in record.setup_steps.items())
        yield f"set-up           {record.setup_ms} ms{steps}"
    if record.first_audio_ms is not None:
        yield f"first audio      {record.first_audio_ms} ms after the start"
    if record.silent_ms is not None:
        yield f"silent agent     the caller heard nothing for {record.silent_ms} ms"
    if record.undecodable:
        yield "caller           its audio couldn't be decoded: the agent got silence"
    if has_turns:
        yield f"turns            {_turns(record)}"
        frames = record.frames
        yield f"frames           {frames.late} late, {frames.skipped} skipped, {frames.missing} missing"
    if record.interruptions:
        heard = [f"{one.silence_ms} ms" for one in record.interruptions if one.silence_ms is not None]
        silence = f"; silence after {', '.join(heard)}" if heard else ""
        yield f"interruptions    {len(record.interruptions)}, {record.discarded_ms} ms discarded{silence}"
    for tool in record.tools:
        ms = "" if tool.ms is None else f" after {tool.ms} ms"
        yield f"tool             {escape(tool.name)}: {tool.outcome}{ms}"
    for transfer in record.transfers:
        why = f": {escape(transfer.detail)}" if transfer.detail else ""
        where = escape(transfer.target)
        yield f"transfer         to {where}, {transfer.outcome or 'not decided'}{why}"


def _turns(record: CallRecord) -> str:
    """Return how long the caller waited for answers."""
    latencies = [turn.latency_ms for turn in record.turns]
    late = f", {record.late_answers} late" if record.late_answers else ""
    if not latencies:
        return f"0{late}"
    waits = ", ".join(map(str, latencies))
    return f"{len(latencies)}{late}; p50 {median(latencies)}, max {max(latencies)} ms: {waits}"


def figures_line(figures: FrameTiming) -> str:
    """Return the regularity of frames in words."""
    if not figures.frames:
        return "no frames"
    return (
        f"{figures.frames} frames; lateness p50 {figures.p50_ms:.1f}, p99 {figures.p99_ms:.1f}, "
        f"max {figures.max_ms:.1f} ms; {figures.gaps} gaps over {GAP_MS} ms, "
        f"the longest {figures.longest_gap_ms:.0f} ms"
    )
