"""Asks a running gateway over HTTP: by its Unix socket if there is one, else by its port."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

import httpx

from audiosocket_gw.errors import ConfigurationError, GatewayError
from audiosocket_gw.http_api.settings import HttpSettings
from audiosocket_gw.log.text import escape

ANSWER_S = 5.0
"""Time for an answer."""

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where this machine reaches a gateway that listens on all addresses."""


class NoAnswer(GatewayError):
    """The gateway doesn't answer, or refuses; the message says why and what to do."""


class GatewayClient:
    """A client of the gateway of these settings, while its context is open.

    Raises:
        ConfigurationError: the settings name neither a port nor a socket.
    """

    def __init__(self, settings: HttpSettings) -> None:
        token = settings.http_token.get_secret_value() if settings.http_token is not None else None
        transport: httpx.HTTPTransport | None = None
        if settings.http_socket is not None and settings.http_socket.is_socket():
            self._place = f"HTTP_SOCKET={settings.http_socket}"
            transport, base = httpx.HTTPTransport(uds=str(settings.http_socket)), "http://localhost"
        elif settings.http_port:
            host = _EVERY_ADDRESS.get(settings.http_host, settings.http_host)
            base = f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}"
            self._place = f"HTTP_HOST={settings.http_host} HTTP_PORT={settings.http_port}"
        else:
            raise ConfigurationError(
                "HTTP_PORT and HTTP_SOCKET are not set, so no gateway can be asked: set one of them here and "
                "where the gateway runs (docs/http-api.md)"
            )
        self._client = httpx.Client(
            base_url=base,
            transport=transport,
            headers={"Authorization": f"Bearer {token}"} if token else None,
            timeout=ANSWER_S,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str) -> Any:
        """Return the JSON at a path.

        Raises:
            NoAnswer: there is none.
        """
        return self._ask("GET", path, None)

    def post(self, path: str, content: Any = None) -> Any:
        """Return the answer to a request.

        Raises:
            NoAnswer: it is refused.
        """
        return self._ask("POST", path, content)

    def _ask(self, method: str, path: str, content: Any) -> Any:
        try:
            answer = self._client.request(method, path, json=content)
        except httpx.TimeoutException:
            raise NoAnswer(f"{self._place}: no answer in {ANSWER_S:g} s; is the process stuck?") from None
        except httpx.TransportError as error:
            why = escape(str(error))
            raise NoAnswer(f"{self._place}: no gateway answers there ({why}); is it running?") from None
        try:
            found = answer.json()
        except json.JSONDecodeError:
            raise NoAnswer(
                f"{self._place}: what listens there is no gateway ({answer.status_code})"
            ) from None
        if answer.is_success:
            return found
        words = found.get("error") if isinstance(found, dict) else None
        raise NoAnswer(f"{self._place}: {escape(str(words or answer.reason_phrase))}")
