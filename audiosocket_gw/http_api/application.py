"""The ASGI application: it checks who asks, finds the endpoint, and puts errors into JSON."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from audiosocket_gw.http_api.access import Access
from audiosocket_gw.http_api.connection import HttpConnection
from audiosocket_gw.http_api.endpoint import ApiError, Endpoint, error_response
from audiosocket_gw.http_api.tickets import Tickets

logger = logging.getLogger("audiosocket_gw.http")


def create_application(endpoints: Iterable[Endpoint], access: Access) -> ASGIApp:
    """Return the application that serves the endpoints."""
    tickets = Tickets()
    endpoints = (*endpoints, *tickets.endpoints)
    public = frozenset(endpoint.path for endpoint in endpoints if endpoint.is_public)
    application = Starlette(
        routes=[Route(each.path, each.handler, methods=[each.method]) for each in endpoints],
        middleware=[Middleware(_Guard, access=access, tickets=tickets, public=public)],
        exception_handlers={ApiError: _answer, HTTPException: _answer_unknown, Exception: _answer_defect},
    )
    application.router.redirect_slashes = False  # to the host that the request names
    return application


class _Guard:
    """Refuses the requests that may not pass. Those to the Unix socket may: its mode is their permission."""

    def __init__(self, app: ASGIApp, access: Access, tickets: Tickets, public: frozenset[str]) -> None:
        self._app = app
        self._access = access
        self._tickets = tickets
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection: HttpConnection = scope["state"]["connection"]
        if not connection.is_local and scope["path"] not in self._public:
            refusal = self._access.refuse(scope["method"], Headers(scope=scope))
            if refusal is not None and not self._has_ticket(scope):
                logger.warning(
                    "%s: HTTP request refused (%d): %s", _client(scope), refusal.status, refusal.message
                )
                headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None
                await error_response(refusal.status, refusal.message, headers)(scope, receive, send)
                return
            connection.is_trusted = True
        await self._app(scope, receive, send)

    def _has_ticket(self, scope: Scope) -> bool:
        # Without a token none is needed, and a foreign site must not use one.
        return self._access.token is not None and self._tickets.redeem(
            scope["method"], scope["path"], scope["query_string"]
        )


def _client(scope: Scope) -> str:
    host, port = scope["client"] or ("", 0)
    return f"{host}:{port}"


async def _answer(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(error.status, str(error), error.headers)


async def _answer_unknown(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    messages = {
        404: "there is no such path: GET /openapi.json lists what is served",
        405: f"the path is served, but by {(error.headers or {}).get('Allow', 'another method')} only",
    }
    return error_response(error.status_code, messages.get(error.status_code, error.detail), error.headers)


async def _answer_defect(_: Request, error: Exception) -> Response:
    return error_response(500, f"a defect of the gateway, which its log has: {type(error).__name__}")
