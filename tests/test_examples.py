"""The example services run, and the gateway understands them."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest

from audiosocket_gw.ami.call_control import CallerData
from audiosocket_gw.ami.registry import Channel
from audiosocket_gw.call.caller_data import caller_headers, caller_variables
from audiosocket_gw.elevenlabs.agent import AgentAddress, AgentLocator
from audiosocket_gw.runtime.http_client import create_http_client
from audiosocket_gw.runtime.tls_trust import create_ssl_context
from audiosocket_gw.settings import GatewaySettings, load_settings
from tests.harness.setup_steps import untold_steps

ROUTER = Path(__file__).parents[1] / "examples" / "agent_router.py"

MONDAY_NOON = datetime(2026, 11, 23, 12)
MONDAY_NIGHT = datetime(2026, 11, 23, 18)
SUNDAY_NOON = datetime(2026, 11, 22, 12)


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("DAY_AGENT", "day")
    monkeypatch.setenv("NIGHT_AGENT", "night")
    spec = importlib.util.spec_from_file_location("agent_router", ROUTER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("now", "system", "office"),
    [
        (MONDAY_NOON, "day", "open"),
        (MONDAY_NIGHT, "night", "closed"),
        (SUNDAY_NOON, "night", "closed"),
    ],
)
def test_router_goes_by_the_time(router: ModuleType, now: datetime, system: str, office: str) -> None:
    assert router.choose({}, now) == {
        "system": system,
        "dynamic_variables": {"customer_name": "unknown", "office": office},
    }


def test_router_goes_by_the_number(router: ModuleType) -> None:
    answer = router.choose({"x-avr-caller-number": "+493012345678"}, SUNDAY_NOON)
    assert (answer["system"], answer["dynamic_variables"]["customer_name"]) == ("agent_for_grace", "Grace")


@pytest.mark.parametrize(("language", "overridden"), [("de", True), ("en", False), ("../x", False)])
def test_router_goes_by_the_language(router: ModuleType, language: str, overridden: bool) -> None:
    answer = router.choose({"x-avr-line-language": language}, MONDAY_NOON)
    assert ("conversation_config_override" in answer) is overridden


@asynccontextmanager
async def _running() -> AsyncIterator[str]:
    """Run the router as its users do; yield its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        ROUTER,
        env={"PATH": os.environ["PATH"], "DAY_AGENT": "agent", "PORT": "0"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        line = b""
        while (found := re.search(r"running on (http://127\.0\.0\.1:\d+)", line.decode())) is None:
            line = await process.stderr.readline()
            assert line, "it ended before it listened"
        yield f"{found[1]}/agent"
    finally:
        process.terminate()
        await process.communicate()


async def _locate(url: str, number: str, language: str) -> AgentAddress:
    settings = load_settings(elevenlabs_agent_url=url, elevenlabs_base_url="http://h")
    channel = Channel("PJSIP/1-1", "1.1", "1.1", number, "Ada Lovelace", "5001", "phones", "5001")
    data = CallerData(channel, {"LINE_LANGUAGE": language})

    async def headers() -> dict[str, str]:
        return caller_headers(caller_variables(uuid4(), data, {"LINE_LANGUAGE": "en"}))

    async with create_http_client(create_ssl_context()) as http:
        return await AgentLocator(GatewaySettings.of(settings).agent, http).locate(headers, untold_steps())


async def test_router_and_gateway_understand_each_other() -> None:
    async with _running() as url:
        german = await _locate(url, "1001", "de")
        stranger = await _locate(url, "Zoë %41\r\n", "")
    assert german.url == "ws://h/v1/convai/conversation?agent_id=agent"
    assert german.dynamic_variables["customer_name"] == "Ada"
    assert german.config_override["agent"]["language"] == "de"
    assert stranger.dynamic_variables["customer_name"] == "unknown"
    assert stranger.config_override == {}
