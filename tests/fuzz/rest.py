"""Answers of REST services: an agent's address to connect to, or an error that ends the call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from audiosocket_gw.elevenlabs import client_messages
from audiosocket_gw.elevenlabs.agent import AgentAddress, AgentLocator
from audiosocket_gw.elevenlabs.settings import AgentSettings
from audiosocket_gw.errors import AgentError
from tests.fuzz.ami import event_loop
from tests.fuzz.choices import Choices
from tests.fuzz.target import Target
from tests.harness.setup_steps import untold_steps

BASE = "https://api.elevenlabs.io"
AGENT_URL = "https://agents.example/"
SIGNED = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=a&token=t"
KEYS = ("system", "signed_url", "dynamic_variables", "conversation_config_override")
TEXTS = ("agent_1", SIGNED, "ws://evil.example/", "wss://[::1/", "\ud800")
STATUSES = (200, 200, 200, 204, 302, 401, 404, 429, 500)
HEADERS = ("Content-Encoding", "Location", "Content-Type", "X-Other")


def _response(choices: Choices) -> httpx.Response:
    content = choices.rest() if choices.flag() else json.dumps(choices.json_object(KEYS, TEXTS)).encode()
    headers = [
        (choices.of(HEADERS).encode(), choices.take(choices.number(24))) for _ in range(choices.number(3))
    ]
    return httpx.Response(choices.of(STATUSES), headers=headers, stream=httpx.ByteStream(content))


async def locate(choices: Choices) -> AgentAddress:
    settings = AgentSettings(
        elevenlabs_agent_id="agent_1",
        elevenlabs_agent_url=AGENT_URL if choices.flag() else None,
        elevenlabs_api_key=SecretStr("key") if choices.flag() else None,
        elevenlabs_base_url=BASE,
        agent_url_timeout=60,
        agent_connect_timeout=60,
        allow_private_agent=choices.flag(),
    )

    async def headers() -> dict[str, str]:
        return {"X-AVR-UUID": "1"}

    transport = httpx.MockTransport(lambda request: _response(choices))
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        return await AgentLocator(settings, http).locate(headers, untold_steps())


def check(data: bytes) -> None:
    try:
        address = event_loop().run_until_complete(locate(Choices(data)))
    except AgentError as error:
        assert len(str(error)) < 1_000
        return
    parts = urlsplit(address.url)
    assert parts.scheme == "wss"
    assert (parts.hostname or "").rstrip(".").endswith("elevenlabs.io")
    assert address.url.isascii()
    assert address.url.isprintable()
    client_messages.initiation(address.dynamic_variables, address.config_override)


def answers() -> Iterator[bytes]:
    agent = b'{"system":"a","dynamic_variables":{"x":1},"conversation_config_override":{"a":{}}}'
    signed = json.dumps({"signed_url": SIGNED}).encode()
    yield b"\1\0\0\1" + agent
    yield b"\0\1\0\1" + signed
    yield b"\0\1\1\0\3\1\0\1\0\0"
    yield b"\1\1\0\0\1\0\0\0\0\0\0\1\1\0\1"


TARGETS = (Target("rest-answers", check, answers, (b'"system"', b'"signed_url"', b"wss://"), max_bytes=600),)
