"""``GET /calls/{uuid}/transcript``: what was said and done in a call, so far or until it ended.

An operator looks at a call when something has gone wrong: what led to it must be there. It is kept in memory
only, for the calls that are up and for the last ones that ended.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from audiosocket_gw import events
from audiosocket_gw.http_api.endpoint import ApiError, Endpoint, encoded
from audiosocket_gw.http_api.event_json import MAX_TEXT, EventView, type_of
from audiosocket_gw.http_api.operator_actions import read_uuid
from audiosocket_gw.http_api.paced import map_in_steps
from audiosocket_gw.http_api.shared_answer import ChunkedResponse
from audiosocket_gw.ledger.ledger import MAX_RECENT, Ledger
from audiosocket_gw.ledger.record import CallRecord

MAX_LINES = 200
"""Lines of a call; the oldest go first."""

_KEPT = (
    events.CallerSaid,
    events.AgentSaid,
    events.ReplyHeard,
    events.Interrupted,
    events.DigitPressed,
    events.ToolCalled,
    events.ToolAnswered,
    events.TransferRequested,
    events.TransferDecided,
    events.AgentSilent,
    events.AnswerLate,
    events.CallerUndecodable,
)


@dataclass(slots=True)
class _Line:
    """An event, ``at_ms`` after the start of its call. ``shown``: as JSON, once it has been asked for."""

    at_ms: int
    event: events.CallEvent
    shown: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Transcript:
    started_at: float
    lines: deque[_Line] = field(default_factory=lambda: deque(maxlen=MAX_LINES))


class Transcripts:
    """The transcripts of a ledger's calls.

    Texts are kept only where they may be shown; they are masked when they are shown for the first time.
    """

    def __init__(self, ledger: Ledger, view: EventView) -> None:
        self._ledger = ledger
        self._view = view
        self._live: dict[UUID, _Transcript] = {}
        self._ended: OrderedDict[UUID, _Transcript] = OrderedDict()
        ledger.follow(self._follow)
        self.endpoints = (Endpoint("GET", "/calls/{uuid}/transcript", self._answer),)

    def _follow(self, event: events.CallEvent, record: CallRecord) -> None:
        if isinstance(event, events.CallStarted):
            self._live[event.uuid] = _Transcript(record.started_at)
            return
        if not isinstance(event, (*_KEPT, events.CallEnded)):
            return
        transcript = self._live.get(event.uuid)
        # A call that a later one of the same UUID has superseded has no transcript any more.
        if transcript is None or transcript.started_at != record.started_at:
            return
        if isinstance(event, events.CallEnded):
            self._end(event.uuid)
        else:
            transcript.lines.append(_Line(self._ledger.age_ms(event.uuid) or 0, self._without_excess(event)))

    def _end(self, uuid: UUID) -> None:
        self._ended[uuid] = self._live.pop(uuid)
        self._ended.move_to_end(uuid)
        if len(self._ended) > MAX_RECENT:
            self._ended.popitem(last=False)

    def _without_excess(self, event: events.CallEvent) -> events.CallEvent:
        limit = MAX_TEXT if self._view.transcripts else 0
        match event:
            case events.CallerSaid(text=text) | events.AgentSaid(text=text) if len(text) > limit:
                return replace(event, text=text[:limit])
            case events.ReplyHeard():
                return replace(event, text="", heard=event.heard[:limit])
            case _:
                return event

    async def _answer(self, request: Request) -> Response:
        uuid = read_uuid(request)
        transcript = self._live.get(uuid) or self._ended.get(uuid)
        record = self._ledger.find(uuid)
        if transcript is None or record is None:
            raise ApiError(404, f"no transcript of call {uuid}: there is one of live and of recent calls")
        lines = await map_in_steps(lambda line: self._encode(line, record), tuple(transcript.lines))
        texts = b"true" if self._view.transcripts else b"false"
        body = b'{"texts":' + texts + b',"lines":[' + b",".join(lines) + b"]}"
        return ChunkedResponse(body, media_type="application/json")

    def _encode(self, line: _Line, record: CallRecord) -> bytes:
        if line.shown is None:
            details = self._view.details(line.event, record, None)
            line.shown = {"type": type_of(line.event), "at_ms": line.at_ms, **details}
        return encoded(line.shown)
