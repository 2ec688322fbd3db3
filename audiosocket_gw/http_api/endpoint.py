"""What the HTTP surface serves: its endpoints, and how each answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method on a path. ``is_public``: it needs no token, and is open to any page."""

    method: str
    path: str
    handler: Handler
    is_public: bool = False


class ApiError(Exception):
    """An answer that isn't a success: its status, and in words what to do."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


def encoded(content: Any) -> bytes:
    """Return JSON as all answers have it, without blanks."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a small response: it is encoded in one step of the event loop."""
    return Response(encoded(content), status, headers, media_type="application/json")


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``{"error": message}``."""
    return json_response({"error": message}, status, headers)
