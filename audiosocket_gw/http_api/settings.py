"""Settings of the HTTP surface."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from audiosocket_gw.http_api.access import is_loopback

if TYPE_CHECKING:
    from pydantic import SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """The settings of the HTTP surface; each has the name of its environment variable.

    ``http_port`` and ``http_socket`` None: it doesn't listen there. ``http_port`` 0 takes a free port.
    ``http_transcripts``: events have what is said, with numbers and secrets masked.
    """

    http_host: str
    http_port: int | None
    http_token: SecretStr | None
    http_socket: Path | None
    http_transcripts: bool

    @property
    def is_on(self) -> bool:
        """Whether anything listens."""
        return self.http_port is not None or self.http_socket is not None

    def exposure(self) -> Iterator[str]:
        """Return a line if other machines could reach the port, and no token is required."""
        if self.http_port is not None and self.http_token is None and not is_loopback(self.http_host):
            yield (
                f"HTTP_HOST={self.http_host!r} HTTP_TOKEN='': anyone who reaches the port could see and hang "
                "up calls: set HTTP_TOKEN to a secret of 16 characters or more (openssl rand -hex 32), or "
                "HTTP_HOST to 127.0.0.1"
            )
