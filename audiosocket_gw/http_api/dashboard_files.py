"""The dashboard's files: what the browser gets at ``/``. They hold no data, so they need no token.

The page reads the calls as any other client does. What callers and agents say ends up in it, so it may load
and run its own files only, and no text may become markup (`HEADERS`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from audiosocket_gw.http_api.endpoint import Endpoint, Handler

HEADERS: Mapping[str, str] = {  # besides `server.HEADERS`
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class DashboardFile:
    """A file, its path on the HTTP surface and its media type."""

    path: str
    media_type: str
    content: bytes


def read_dashboard() -> tuple[DashboardFile, ...]:
    """Return the files of the dashboard, read from the package; called once, at the start."""
    found = []
    for file in files("audiosocket_gw").joinpath("http_api", "dashboard").iterdir():
        if (media_type := _TYPES.get(file.name.rpartition(".")[2])) is not None:
            path = "/" if file.name == "index.html" else f"/dashboard/{file.name}"
            found.append(DashboardFile(path, media_type, file.read_bytes()))
    return tuple(found)


def endpoints() -> Iterator[Endpoint]:
    """Yield an endpoint for each file, which anyone may read."""
    for file in read_dashboard():
        yield Endpoint("GET", file.path, _answer_with(file), is_public=True)


def _answer_with(file: DashboardFile) -> Handler:
    async def answer(_: Request) -> Response:
        return Response(file.content, headers=HEADERS, media_type=file.media_type)

    return answer
