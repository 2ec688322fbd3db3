"""The demo's call as it was at the caller's end: its model for the call page, and its audio. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from audiosocket_gw import events
from audiosocket_gw.audio import FRAME_MS
from audiosocket_gw.audio.frame_timing import TimedFrame, due_times
from audiosocket_gw.call_page.build import build_model, record_of
from audiosocket_gw.call_page.direction import Direction, DirectionBuilder
from audiosocket_gw.call_page.model import CallModel, Source
from audiosocket_gw.ledger.reducer import begin
from audiosocket_gw.testing.softphone import CallRecord

FRAME_S = FRAME_MS / 1000

Samples = npt.NDArray[np.int16]


def model_at_callers_end(
    record: CallRecord, happened: Iterable[events.CallEvent], *, started_at: float, gateway: str
) -> CallModel:
    """Build the model of a call from the softphone's record and the gateway's events, on one clock.

    ``started_at``: seconds since the epoch; ``gateway``: its version.
    """
    call_events = [replace(event, at=event.at - record.started_at) for event in happened]
    first = next((event for event in call_events if isinstance(event, events.CallStarted)), None)
    started = events.CallStarted(record.uuid, 0.0, first.peer if first else "")
    return build_model(
        record_of(begin(started, started_at), call_events),
        call_events,
        source=Source.CALLER,
        gateway=gateway,
        # A frame that is sent was spoken in the 20 ms before; one that is received plays from then on.
        caller=_direction(record.sent, record, ends_then=True),
        agent=_direction(record.heard, record, ends_then=False),
    )


def _direction(frames: Sequence[TimedFrame], record: CallRecord, *, ends_then: bool) -> Direction:
    builder = DirectionBuilder(ends_then=ends_then)
    at = [frame.at - record.started_at for frame in frames]
    builder.add(at, [frame.payload for frame in frames], record.rate)
    return builder.build()


def stereo(record: CallRecord) -> bytes:
    """Return the call's audio, interleaved: the caller left, the agent, as the caller heard it, right.

    It is sample for sample what was sent and received.
    """
    caller = _lay_out(record.sent, record, lead_s=FRAME_S)
    agent = _lay_out(record.heard, record, lead_s=0.0)
    size = max(caller.size, agent.size, round(record.duration_ms / 1000 * record.rate))
    both = [np.pad(samples, (0, size - samples.size)) for samples in (caller, agent)]
    return np.stack(both, axis=1).astype("<i2").tobytes()


def _lay_out(frames: Sequence[TimedFrame], record: CallRecord, *, lead_s: float) -> Samples:
    """Join the audio of all frames, after the silence before the first was due."""
    if not frames:
        return np.zeros(0, np.int16)
    earliest = min(frame.at - due for frame, due in zip(frames, due_times(frames, record.rate), strict=True))
    lead = max(0, round((earliest - lead_s - record.started_at) * record.rate))
    audio = np.frombuffer(b"".join(frame.payload for frame in frames), "<i2")
    return np.concatenate((np.zeros(lead, np.int16), audio))
