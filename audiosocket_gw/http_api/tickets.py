"""Tickets for call pages: a browser that opens a page in a tab of its own can't send a token as a header.

Anyone who has the token gets a ticket (``POST /calls/{uuid}/page``), which is good for one request of that
page, soon: in a browser's history it is worth nothing.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from audiosocket_gw.http_api.endpoint import Endpoint, json_response
from audiosocket_gw.http_api.operator_actions import read_uuid

VALID_S = 60.0
MAX_TICKETS = 100
"""Tickets at the same time; the oldest go first."""

_PAGE = re.compile(r"/calls/([0-9a-fA-F-]{32,36})/page")


@dataclass(frozen=True, slots=True)
class _Ticket:
    uuid: UUID
    valid_until: float


class Tickets:
    """The tickets that haven't been used. All of it belongs to the event loop."""

    def __init__(self) -> None:
        self._issued: dict[str, _Ticket] = {}
        self.endpoints = (Endpoint("POST", "/calls/{uuid}/page", self._issue),)

    async def _issue(self, request: Request) -> Response:
        uuid = read_uuid(request)
        while len(self._issued) >= MAX_TICKETS:
            del self._issued[next(iter(self._issued))]
        name = secrets.token_urlsafe(24)
        self._issued[name] = _Ticket(uuid, _now() + VALID_S)
        return json_response({"page": f"calls/{uuid}/page?ticket={name}"}, 201)

    def redeem(self, method: str, path: str, query: bytes) -> bool:
        """Return whether the request has a ticket for its page, which is used up then."""
        found = _PAGE.fullmatch(path)
        if method != "GET" or found is None or not query.startswith(b"ticket="):
            return False
        ticket = self._issued.pop(query.removeprefix(b"ticket=").decode("ascii", "replace"), None)
        return ticket is not None and _now() < ticket.valid_until and str(ticket.uuid) == found[1].lower()


def _now() -> float:
    return asyncio.get_running_loop().time()
