"""The model of a call from its flight recording. The file is read once; its audio isn't kept in memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from audiosocket_gw import events
from audiosocket_gw.audio import PCM_8000, AudioFormat, Converter, Encoding
from audiosocket_gw.call_page.build import build_model, record_of
from audiosocket_gw.call_page.direction import Direction, DirectionBuilder
from audiosocket_gw.call_page.model import CallModel, Source
from audiosocket_gw.flight.call_trace import read_records
from audiosocket_gw.flight.capture import UNFINISHED
from audiosocket_gw.flight.format import (
    CallerFormat,
    CallerFrame,
    Event,
    FlightError,
    HeardFrame,
    Record,
    Start,
)
from audiosocket_gw.flight.recorded_event import read_event
from audiosocket_gw.ledger.reducer import begin
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES

BATCH = 2_000
"""Frames whose audio is kept until it is reduced."""

MAX_EVENTS = 100_000
"""Events that are read; a call of two hours has a tenth of that."""


def model_of_flight(path: Path) -> CallModel:
    """Return the model of a call.

    Raises:
        FlightError: the file can't be read, is not a flight recording, or is damaged; the message doesn't
            name the file.
    """
    return model_of_records(read_records(path), is_up=path.suffix == UNFINISHED)


def model_of_records(records: Iterable[Record], *, is_up: bool = False) -> CallModel:
    """Return the model of a call from the records of its flight recording.

    Raises:
        FlightError: the first of them isn't the start.
    """
    remaining = iter(records)
    start = next(remaining, None)
    if not isinstance(start, Start):
        raise FlightError("it breaks off before its first record, or doesn't begin with the start")
    happened: list[events.CallEvent] = []
    caller, agent = _Frames(ends_then=True), _Frames(ends_then=False)
    caller_format = PCM_8000
    for record in remaining:
        match record:
            case CallerFrame(at_us, _, audio):
                caller.add(at_us, audio, caller_format)
            case HeardFrame(at_us, kind, audio):
                agent.add(at_us, audio, AudioFormat(Encoding.PCM, SAMPLE_RATES[kind]))
            case CallerFormat():
                caller_format = record.format
            case Event() if len(happened) < MAX_EVENTS and (event := read_event(record, start.uuid)):
                happened.append(event)
    started = events.CallStarted(start.uuid, 0.0, start.peer)
    return build_model(
        record_of(begin(started, start.started_at.timestamp()), happened),
        happened,
        source=Source.FLIGHT,
        gateway=start.gateway,
        caller=caller.build(),
        agent=agent.build(),
        is_up=is_up,
    )


class _Frames:
    """Frames of one direction, reduced batch by batch; a batch has one format."""

    def __init__(self, *, ends_then: bool) -> None:
        self._builder = DirectionBuilder(ends_then=ends_then)
        self._format = PCM_8000
        self._at: list[float] = []
        self._audio: list[bytes] = []

    def add(self, at_us: int, audio: bytes, audio_format: AudioFormat) -> None:
        if audio_format != self._format or len(self._at) >= BATCH:
            self._reduce()
            self._format = audio_format
        self._at.append(at_us / 1e6)
        self._audio.append(audio)

    def build(self) -> Direction:
        self._reduce()
        return self._builder.build()

    def _reduce(self) -> None:
        linear = AudioFormat(Encoding.PCM, self._format.rate)
        convert = Converter(self._format, linear).convert
        self._builder.add(self._at, [convert(audio) for audio in self._audio], self._format.rate)
        self._at, self._audio = [], []
