"""``GET /calls``, ``/calls/{uuid}`` and ``/history``: what is known of calls.

A list has summaries: what fits into a line of a table. A call by itself is its whole record
(`docs/call-record.md`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice

from starlette.requests import Request
from starlette.responses import Response

from audiosocket_gw.http_api.call_summary import summary
from audiosocket_gw.http_api.endpoint import ApiError, Endpoint, json_response
from audiosocket_gw.http_api.operator_actions import read_uuid
from audiosocket_gw.http_api.paced import map_in_steps
from audiosocket_gw.http_api.shared_answer import ChunkedResponse, SharedAnswer
from audiosocket_gw.ledger.ledger import Ledger
from audiosocket_gw.ledger.record import CallRecord
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import shown

DEFAULT_LIMIT = 50
MAX_LIMIT = 1_000
"""Calls in an answer of ``/history``."""


class CallViews:
    """The calls of a ledger, with callers as ``CALLER_NUMBERS`` wants them."""

    def __init__(self, ledger: Ledger, numbers: CallerNumbers) -> None:
        self._ledger = ledger
        self._numbers = numbers
        self._live = SharedAnswer(lambda: self._list(ledger.live()))
        self.endpoints = (
            Endpoint("GET", "/calls", self._calls),
            Endpoint("GET", "/calls/{uuid}", self._call),
            Endpoint("GET", "/history", self._history),
        )

    async def _calls(self, _: Request) -> Response:
        return ChunkedResponse(await self._live.body(), media_type="application/json")

    async def _call(self, request: Request) -> Response:
        uuid = read_uuid(request)
        record = self._ledger.find(uuid)
        if record is None:
            raise ApiError(404, f"no call {uuid}: GET /calls and GET /history list those that are known")
        return json_response(shown(record, self._numbers, age_ms=self._ledger.age_ms(uuid)))

    async def _history(self, request: Request) -> Response:
        limit, only_bad = _limit(request), _flag(request, "bad")
        ended = (record for record in self._ledger.recent() if record.is_bad or not only_bad)
        return ChunkedResponse(await self._list(islice(ended, limit)), media_type="application/json")

    async def _list(self, records: Iterable[CallRecord]) -> bytes:
        encoded = await map_in_steps(self._encode, records)
        return b'{"calls":[' + b",".join(encoded) + b"]}"

    def _encode(self, record: CallRecord) -> bytes:
        members = summary(record, self._numbers, age_ms=self._ledger.age_ms(record.uuid))
        return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(DEFAULT_LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_LIMIT):
        raise ApiError(422, f"limit={text[:20]!r} is not between 1 and {MAX_LIMIT}")
    return int(text)


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise ApiError(422, f"{name}={text[:20]!r} is neither true nor false")
    return text == "true"
