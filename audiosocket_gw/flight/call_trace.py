"""A recorded call, read from its file, for a summary or a replay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audiosocket_gw.audio import PCM_8000, AudioFormat, Encoding
from audiosocket_gw.end_reasons import CallEnd, EndReason
from audiosocket_gw.events import CallEnded
from audiosocket_gw.flight.format import (
    AgentMessage,
    CallerFormat,
    CallerFrame,
    Decoder,
    Event,
    FlightError,
    GatewayMessage,
    HeardFrame,
    Record,
    Start,
)
from audiosocket_gw.flight.recorded_cause import read_cause
from audiosocket_gw.protocol.audiosocket import SAMPLE_RATES, Kind

CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class CallTrace:
    """A recorded call. ``end``, its last record, is None when the recording breaks off before it."""

    start: Start
    records: tuple[Record, ...]
    end: CallEnd | None

    @property
    def heard(self) -> list[HeardFrame]:
        return [record for record in self.records if isinstance(record, HeardFrame)]

    @property
    def said(self) -> list[CallerFrame]:
        return [record for record in self.records if isinstance(record, CallerFrame)]

    @property
    def agent_messages(self) -> list[AgentMessage]:
        return [record for record in self.records if isinstance(record, AgentMessage)]

    @property
    def events(self) -> list[Event]:
        return [record for record in self.records if isinstance(record, Event)]

    @property
    def had_agent(self) -> bool:
        """Whether the WebSocket to the agent was open: something was sent on it."""
        return any(isinstance(record, AgentMessage | GatewayMessage) for record in self.records)

    @property
    def caller_format(self) -> AudioFormat:
        """The format of the caller's audio, once it was known."""
        formats = [record.format for record in self.records if isinstance(record, CallerFormat)]
        return formats[-1] if formats else PCM_8000

    @property
    def heard_format(self) -> AudioFormat:
        """The last format of the audio to the caller: linear, at the rate of the frames' kind."""
        kind = self.heard[-1].kind if self.heard else Kind.SLIN
        return AudioFormat(Encoding.PCM, SAMPLE_RATES[kind])

    @property
    def duration_us(self) -> int:
        return self.records[-1].at_us


def load_trace(path: Path) -> CallTrace:
    """Load a recording; an incomplete one is loaded as far as it goes.

    Raises:
        FlightError: the file can't be read, is not a flight recording, or is too large; the message
            doesn't name the file.
    """
    records = tuple(read_records(path))
    if not records or not isinstance(records[0], Start):
        raise FlightError("it breaks off before its first record, or doesn't begin with the start")
    return CallTrace(records[0], records, _end_of(records))


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a recording; an incomplete one is read as far as it goes.

    Raises:
        FlightError: see `load_trace`.
    """
    decoder = Decoder()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield from decoder.receive(chunk)
    except OSError as error:
        raise FlightError(f"it can't be read: {error.strerror}") from None


def _end_of(records: tuple[Record, ...]) -> CallEnd | None:
    last = records[-1]
    if not isinstance(last, Event) or last.name != CallEnded.__name__:
        return None
    reason = str(last.fields.get("reason"))
    if reason not in set(EndReason):
        raise FlightError(f"it ended for a reason unknown to this gateway: {reason!r:.40}")
    cause = read_cause(last.fields.get("cause"), str(last.fields.get("detail") or ""))
    return CallEnd(EndReason(reason), cause)
