"""``GET /calls/{uuid}/page``: the call page, made in a process of its own (`call_page/apart.py`)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from audiosocket_gw.call_page.apart import Wanted, make_page_apart
from audiosocket_gw.call_page.files import PageError
from audiosocket_gw.call_page.page import content_security_policy
from audiosocket_gw.http_api.calls import past_record
from audiosocket_gw.http_api.endpoint import ApiError, Endpoint
from audiosocket_gw.http_api.operator_actions import read_uuid
from audiosocket_gw.http_api.shared_answer import ChunkedResponse
from audiosocket_gw.ledger.history import History
from audiosocket_gw.ledger.ledger import Ledger
from audiosocket_gw.ledger.settings import CallerNumbers
from audiosocket_gw.ledger.shown import shown

MAX_WAITING = 4
"""Pages that are made or wait; one is made at a time."""


@dataclass(frozen=True, slots=True)
class PageSources:
    """Where pages come from, and what they may show: ``numbers`` of callers, and words ``with_words``."""

    flight_dir: Path | None
    record_dir: Path | None
    numbers: CallerNumbers
    with_words: bool


class CallPages:
    """The pages of the calls that are known, and of those in ``FLIGHT_DIR`` and ``RECORD_DIR``."""

    def __init__(self, ledger: Ledger, history: History | None, sources: PageSources) -> None:
        self._ledger = ledger
        self._history = history
        self._sources = sources
        self._turn = asyncio.Lock()
        self._waiting = 0
        self.endpoints = (Endpoint("GET", "/calls/{uuid}/page", self._page),)

    async def _page(self, request: Request) -> Response:
        uuid = read_uuid(request)
        if self._waiting >= MAX_WAITING:
            raise ApiError(503, "other call pages are being made: try again", {"Retry-After": "2"})
        self._waiting += 1
        try:
            async with self._turn:
                sources = self._sources
                wanted = Wanted(
                    uuid,
                    await self._shown(uuid),
                    sources.flight_dir,
                    sources.record_dir,
                    sources.with_words,
                )
                page = await asyncio.to_thread(make_page_apart, wanted)
        except PageError as error:
            raise ApiError(500, f"there is no page of this call: {error}") from None
        finally:
            self._waiting -= 1
        if page is None:
            raise ApiError(404, f"no call {uuid}: GET /calls and GET /history list those that are known")
        headers = {"Content-Security-Policy": f"{content_security_policy()}; frame-ancestors 'none'"}
        return ChunkedResponse(page, headers=headers, media_type="text/html; charset=utf-8")

    async def _shown(self, uuid: UUID) -> dict[str, Any] | None:
        """Return the record of the call, if there is one."""
        record = self._ledger.find(uuid)
        if record is not None:
            return shown(record, self._sources.numbers, age_ms=self._ledger.age_ms(uuid))
        past = await past_record(self._history, uuid)
        found: dict[str, Any] | None = json.loads(past) if past is not None else None
        return found
