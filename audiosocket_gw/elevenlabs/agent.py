"""Locates the agent of a call: its WebSocket address, by REST if necessary.

A public agent's address is derived from its id. A private agent's is a signed URL, requested with the API
key. With ``ELEVENLABS_AGENT_URL`` that service is asked first, and names the agent of each call.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx

from audiosocket_gw import USER_AGENT
from audiosocket_gw.causes import MAX_FOREIGN, HttpRefused, RequestFailed, TimedOut
from audiosocket_gw.elevenlabs.close_codes import reason_of_status, redirect_target
from audiosocket_gw.elevenlabs.settings import AgentSettings
from audiosocket_gw.elevenlabs.setup_steps import SetupSteps
from audiosocket_gw.elevenlabs.signed_url import check_signed_url, is_chosen_by_answer
from audiosocket_gw.end_reasons import EndReason
from audiosocket_gw.errors import AgentError, reason_of
from audiosocket_gw.events import SetupStep

CONVERSATION_PATH = "/v1/convai/conversation"
MAX_BODY = 65_536
"""Bytes to read of an answer, which is a short JSON object."""


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """The address of a call's agent, and the additions of ``ELEVENLABS_AGENT_URL`` to the initiation
    message.
    """

    url: str
    dynamic_variables: Mapping[str, Any] = field(default_factory=dict)
    config_override: Mapping[str, Any] = field(default_factory=dict)
    public_only: bool = False
    """Whether the host, which an answer has named, must not have a private address."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    location: str | None
    encoding: str
    """What the body is compressed with, if it is; then it wasn't read."""
    body: bytes


class AgentLocator:
    """Finds the WebSocket address of each call's agent."""

    def __init__(self, settings: AgentSettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http

    async def locate(
        self, headers: Callable[[], Awaitable[Mapping[str, str]]], steps: SetupSteps
    ) -> AgentAddress:
        """Return the ``ws`` or ``wss`` URL to open. Use it at once: a signed URL expires.

        ``headers`` are sent to the agent URL; without that URL they aren't awaited. ``steps`` times the
        requests, and gets the agent's id.

        Raises:
            AgentError: no agent, no access, or no answer in time; its reason and message say which.
        """
        settings = self._settings
        answer: Mapping[str, Any] = {"system": settings.elevenlabs_agent_id}
        if settings.elevenlabs_agent_url is not None:
            caller = await headers()
            with steps.timed(SetupStep.AGENT_URL):
                answer = await self._ask_agent_url(settings.elevenlabs_agent_url, caller)
                steps.set_agent(answer["system"])
        else:
            steps.set_agent(answer["system"] or "")
        query = urlencode({"agent_id": answer["system"]})
        public_only = False
        if settings.elevenlabs_api_key is None:
            # http becomes ws, https becomes wss: one setting for both, as in the official SDK.
            url = f"ws{settings.elevenlabs_base_url.removeprefix('http')}{CONVERSATION_PATH}?{query}"
        else:
            with steps.timed(SetupStep.SIGNED_URL):
                url = await self._signed_url(query, settings.elevenlabs_api_key.get_secret_value())
            public_only = not settings.allow_private_agent and is_chosen_by_answer(
                url, settings.elevenlabs_base_url
            )
        return AgentAddress(
            url,
            answer.get("dynamic_variables") or {},
            answer.get("conversation_config_override") or {},
            public_only,
        )

    async def _ask_agent_url(self, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
        answer = await self._get(
            "ELEVENLABS_AGENT_URL",
            url,
            headers,
            timeout_s=self._settings.agent_url_timeout,
            timeout_setting="AGENT_URL_TIMEOUT",
            failure=EndReason.AGENT_URL_FAILED,
        )
        agent_id = answer.get("system")
        if not isinstance(agent_id, str) or not agent_id.isprintable() or not agent_id:
            raise AgentError(
                EndReason.AGENT_URL_FAILED,
                f'ELEVENLABS_AGENT_URL answered {answer!r:.100}; it must answer {{"system": "<agent id>"}}',
            )
        for name in ("dynamic_variables", "conversation_config_override"):
            if not isinstance(answer.get(name) or {}, dict):
                raise AgentError(
                    EndReason.AGENT_URL_FAILED, f"ELEVENLABS_AGENT_URL answered {name} that is not an object"
                )
        return answer

    async def _signed_url(self, query: str, api_key: str) -> str:
        answer = await self._get(
            "ElevenLabs (get-signed-url)",
            f"{self._settings.elevenlabs_base_url}{CONVERSATION_PATH}/get-signed-url?{query}",
            {"xi-api-key": api_key},
            timeout_s=self._settings.agent_connect_timeout,
            timeout_setting="AGENT_CONNECT_TIMEOUT",
        )
        signed_url = answer.get("signed_url")
        if not isinstance(signed_url, str):
            raise AgentError(
                EndReason.AGENT_PROTOCOL, "ElevenLabs answered get-signed-url without a signed_url"
            )
        try:
            check_signed_url(signed_url, self._settings.elevenlabs_base_url)
        except ValueError as error:
            raise AgentError(
                EndReason.AGENT_PROTOCOL, f"the signed URL of get-signed-url is rejected: {error}"
            ) from None
        return signed_url

    async def _get(
        self,
        who: str,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        timeout_setting: str,
        failure: EndReason | None = None,
    ) -> dict[str, Any]:
        """GET a JSON object. ``failure`` replaces the reason for every error."""
        try:
            reply = await self._read(url, headers, timeout_s)
        except TimeoutError:
            raise AgentError(
                failure or EndReason.AGENT_TIMEOUT,
                TimedOut(f"{who} did not answer", timeout_s, timeout_setting),
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise AgentError(
                failure or EndReason.AGENT_UNREACHABLE,
                RequestFailed(who, reason_of(error)),
            ) from None
        text = reply.body.decode(errors="replace")
        if reply.status != 200:
            raise AgentError(
                failure or reason_of_status(reply.status, text),
                HttpRefused(who, reply.status, text[:MAX_FOREIGN], redirect_target(reply.location)),
            )
        if reply.encoding:
            raise AgentError(
                failure or EndReason.AGENT_PROTOCOL,
                f"{who} answered with Content-Encoding {reply.encoding!r:.40}, which was not asked for",
            )
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict) or len(reply.body) > MAX_BODY:
            raise AgentError(
                failure or EndReason.AGENT_PROTOCOL,
                f"{who} did not answer with a JSON object but with {text[:60]!r}",
            )
        return answer

    async def _read(self, url: str, headers: Mapping[str, str], timeout_s: float) -> _Answer:
        """GET slightly more than `MAX_BODY` bytes at most, within the deadline.

        Raises:
            TimeoutError, httpx.HTTPError, httpx.InvalidURL
        """
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"} | dict(headers)
        # httpx's own time limits are per read: a peer that sends one byte a second would never time out.
        async with asyncio.timeout(timeout_s), self._http.stream("GET", url, headers=headers) as response:
            encoding = response.headers.get("Content-Encoding", "").strip().lower()
            body = b""
            if encoding in ("", "identity"):
                encoding = ""
                async for piece in response.aiter_raw():  # decoding could make gigabytes of it
                    body += piece
                    if len(body) > MAX_BODY:
                        break
            return _Answer(response.status_code, response.headers.get("Location"), encoding, body)
