"""Recorded calls made by hand, and strategies for their records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from audiosocket_gw.audio import AGENT_FORMATS
from audiosocket_gw.causes import Cause
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.flight.call_trace import CallTrace, load_trace
from audiosocket_gw.flight.format import (
    PREAMBLE,
    AgentMessage,
    CallerFormat,
    CallerFrame,
    Event,
    GatewayMessage,
    HeardFrame,
    Record,
    Start,
    encode_block,
)
from audiosocket_gw.flight.recorded_cause import cause_fields
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Kind

CALL = UUID("11111111-2222-3333-4444-555555555555")
START = Start(CALL, datetime(2026, 3, 1, 12, 30, tzinfo=UTC), "1.2.3", "192.0.2.7:40000")
SILENCE = bytes(320)

INITIATION = GatewayMessage(5_000, b'{"type":"conversation_initiation_client_data","dynamic_variables":{}}')
METADATA = AgentMessage(
    6_000,
    json.dumps(
        {
            "type": "conversation_initiation_metadata",
            "conversation_initiation_metadata_event": {
                "conversation_id": "conv_1",
                "agent_output_audio_format": "pcm_8000",
                "user_input_audio_format": "pcm_8000",
            },
        }
    ).encode(),
)
AGENT_THERE: tuple[Record, ...] = (INITIATION, METADATA)


def ended(at_ms: int, reason: EndReason, cause: Cause) -> Event:
    end = {"reason": str(reason), "detail": str(cause), "cause": cause_fields(cause)}
    return Event(at_ms * 1000, "CallEnded", {**end, "duration_ms": at_ms, "heard_ms": 0})


def spoken(until_ms: int, audio: bytes = SILENCE) -> tuple[Record, ...]:
    """Frames from the caller, one each 20 ms."""
    return tuple(CallerFrame(ms * 1000, Kind.SLIN, audio) for ms in range(20, until_ms, 20))


def heard(until_ms: int) -> tuple[Record, ...]:
    return tuple(HeardFrame(ms * 1000, Kind.SLIN, SILENCE) for ms in range(10, until_ms, 20))


def agent_says(at_ms: int, audio: bytes, event_id: int = 1) -> AgentMessage:
    text = f'{{"type":"audio","audio_event":{{"audio_base_64":"","event_id":{event_id}}}}}'
    return AgentMessage(at_ms * 1000, text.encode(), audio)


def write(path: Path, records: Sequence[Record]) -> Path:
    """Write a recording whose records are in order of time."""
    path.write_bytes(PREAMBLE + encode_block([START, *sorted(records, key=lambda record: record.at_us)]))
    return path


def trace(path: Path, *records: Record) -> CallTrace:
    return load_trace(write(path, records))


def recordings(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


# Strategies

times = st.integers(0, 2**50)
kinds = st.sampled_from(sorted(SAMPLE_RATES))
payloads = st.binary(min_size=1, max_size=400)
scalars: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers() | st.text()
names = st.text(min_size=1).filter(lambda name: name != "event")

records: st.SearchStrategy[Record] = st.one_of(
    st.builds(CallerFrame, times, kinds, payloads),
    st.builds(HeardFrame, times, kinds, payloads),
    st.builds(AgentMessage, times, st.binary(), st.none() | st.binary()),
    st.builds(GatewayMessage, times, st.binary()),
    st.builds(CallerFormat, times, st.sampled_from(AGENT_FORMATS)),
    st.builds(Event, times, st.text(), st.dictionaries(names, scalars)),
    st.builds(Start, st.uuids(), st.datetimes(timezones=st.just(UTC)), st.text(), st.text(), st.just(0)),
)
