"""``GET /calls``, ``/calls/{uuid}`` and ``/history``: what is known of calls.

The list of those in progress has summaries: what fits into a line of a table. Elsewhere a call is its whole
record (`docs/call-record.md`).
"""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from audiosocket_gw.errors import HistoryError
from audiosocket_gw.http_api.call_summary import summary
from audiosocket_gw.http_api.endpoint import ApiError, Endpoint, encoded, json_response
from audiosocket_gw.http_api.history_query import read_query
from audiosocket_gw.http_api.operator_actions import read_uuid
from audiosocket_gw.http_api.paced import map_in_steps
from audiosocket_gw.http_api.shared_answer import ChunkedResponse, SharedAnswer
from audiosocket_gw.ledger.database import Query
from audiosocket_gw.ledger.history import History
from audiosocket_gw.ledger.ledger import Ledger
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import shown
from audiosocket_gw.ledger.trouble import is_bad


class CallViews:
    """The calls of a ledger, with callers as ``CALLER_NUMBERS`` wants them.

    ``history`` (``HISTORY_DB``) knows those that ended earlier; None: the ledger knows the last hundred.
    """

    def __init__(self, ledger: Ledger, history: History | None, numbers: CallerNumbers) -> None:
        self._ledger = ledger
        self._history = history
        self._numbers = numbers
        self._live = SharedAnswer(self._list_live)
        self.endpoints = (
            Endpoint("GET", "/calls", self._calls),
            Endpoint("GET", "/calls/{uuid}", self._call),
            Endpoint("GET", "/history", self._ended),
        )

    async def _calls(self, _: Request) -> Response:
        return _json(await self._live.body())

    async def _call(self, request: Request) -> Response:
        uuid = read_uuid(request)
        record = self._ledger.find(uuid)
        if record is not None:
            return json_response(shown(record, self._numbers, age_ms=self._ledger.age_ms(uuid)))
        found = await past_record(self._history, uuid)
        if found is not None:
            return _json(found.encode())
        raise ApiError(404, f"no call {uuid}: GET /calls and GET /history list those that are known")

    async def _ended(self, request: Request) -> Response:
        query = read_query(request.query_params)
        if self._history is not None:
            try:
                return _json((await self._history.find(query)).json.encode())
            except HistoryError as error:
                if query.before is not None:
                    raise ApiError(503, str(error)) from None
        # Also while the disk of the history hangs: a dashboard must go on.
        records = [record for record in self._ledger.recent() if _matches(record, query)][: query.limit]
        calls = await map_in_steps(lambda record: encoded(shown(record, self._numbers)), records)
        return _json(b'{"calls":[' + b",".join(calls) + b'],"before":null}')

    async def _list_live(self) -> bytes:
        calls = await map_in_steps(self._summarise, self._ledger.live())
        return b'{"calls":[' + b",".join(calls) + b"]}"

    def _summarise(self, record: CallRecord) -> bytes:
        return encoded(summary(record, self._numbers, age_ms=self._ledger.age_ms(record.uuid)))


async def past_record(history: History | None, uuid: UUID) -> str | None:
    """Return the record of a call of the past as JSON, if it is known.

    Raises:
        ApiError: the disk of the history doesn't answer.
    """
    if history is None:
        return None
    try:
        return await history.get(uuid)
    except HistoryError as error:
        raise ApiError(503, str(error)) from None


def _matches(record: CallRecord, query: Query) -> bool:
    return (
        record.end is not None
        and query.before is None
        and query.reason in (None, record.end.reason.value)
        and query.bad in (None, is_bad(record))
        and query.agent in (None, record.agent)
        and (query.since is None or record.started_at >= query.since)
    )


def _json(body: bytes) -> Response:
    return ChunkedResponse(body, media_type="application/json")
